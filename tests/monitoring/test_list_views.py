"""Lists filter by their address, sum up what is left and leave as files."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from decimal import Decimal
from urllib.parse import parse_qs

import pytest
from django.urls import reverse

from monitoring import list_views
from tests.monitoring import factories as make
from tests.monitoring import scene
from trades.apis import exports
from trades.models import Trade

pytestmark = pytest.mark.django_db


@pytest.fixture
def viewer(client):
    client.force_login(make.make_user("vera", "viewer"))
    return client


def entered(run, code: str, **trade):
    decision = make.make_decision(run, action="BUY", quantity="0.01", strategy=code)
    order = make.make_order(run, decision, reason_code=f"TAG_{code}")
    return make.make_trade(run, strategy=code, entry_order_id=order.client_order_id, **trade)


def shown(page) -> set[str]:
    return {row.trade_id for row in page.context["rows"]}


def test_every_filter_of_trades_leaves_what_it_names(viewer):
    run = make.make_run()
    day = timedelta(days=1)
    one = entered(run, "breakout", exit_reason="STOP", symbol="ETH/USDT", side="SELL")
    two = entered(run, "ema-trend", exit_reason="TARGET", closed_at=make.START + day)
    for query, expected in {
        "": {one, two},
        "symbol=ETH/USDT": {one},
        "strategy=ema-trend": {two},
        "side=SELL": {one},
        "tag=TAG_breakout": {one},
        "exit=TARGET": {two},
        "since=2026-03-03T00:00": {two},
        "until=2026-03-03T00:00": {one},
        "exit=TARGET&side=SELL": set(),
        "side=sideways&since=never": {one, two},
    }.items():
        page = viewer.get(f"{reverse('trades')}?{query}")
        assert shown(page) == {row.trade_id for row in expected}, query


def test_tables_are_of_the_trades_the_filters_leave(viewer):
    run = make.make_run()
    entered(run, "breakout", exit_reason="STOP", pnl_quote=Decimal("-2"))
    entered(run, "ema-trend", exit_reason="STOP", pnl_quote=Decimal("5"))
    page = viewer.get(f"{reverse('trades')}?exit=STOP&strategy=breakout")
    tables = {table["name"]: table["rows"] for table in page.context["tables"]}
    assert [(row["key"], row["pnl"]) for row in tables["entry_tag"]] == [("TAG_breakout", -2.0)]
    assert [row["key"] for row in tables["mix_tag"]] == ["TAG_breakout > STOP"]


def test_every_filter_of_orders_leaves_what_it_names(viewer):
    run = make.make_run()
    bought = make.make_order(run, make.make_decision(run, action="BUY", quantity="0.01"))
    later = make.START + timedelta(days=1)
    decision = make.make_decision(run, action="EXIT", strategy="breakout", at=later)
    sold = make.make_order(run, decision, status="REJECTED", refusal_code="FUNDS")
    for query, expected in {
        "side=BUY": {bought},
        "purpose=exit": {sold},
        "status=REJECTED": {sold},
        "strategy=breakout": {sold},
        "until=2026-03-02T12:00": {bought},
        "status=NONSENSE": {bought, sold},
    }.items():
        rows = viewer.get(f"{reverse('orders')}?{query}").context["rows"]
        assert set(rows) == expected, query


def test_an_empty_list_says_whether_the_filters_are_why(viewer):
    make.make_run()
    assert "No closed trade yet" in viewer.get(reverse("trades")).content.decode()
    page = viewer.get(f"{reverse('trades')}?exit=STOP").content.decode()
    assert "No trade matches" in page


@pytest.mark.parametrize("name", ["trades", "orders"])
def test_the_file_holds_exactly_the_rows_of_the_list(viewer, name):
    scene.build(n_bars=150)
    page = viewer.get(f"{reverse(name)}?strategy=ema-trend")
    given = parse_qs(page.context["exports"]["query"])
    assert given["strategy"] == ["ema-trend"]
    address = reverse(f"api:{name.removesuffix('s')}-export")
    as_json = viewer.get(f"{address}?file=json&{page.context['exports']['query']}").json()
    assert len(as_json) == page.context["rows"].paginator.count > 0
    answer = viewer.get(f"{address}?file=csv&{page.context['exports']['query']}")
    assert answer["Content-Disposition"] == f'attachment; filename="{name}.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [row["symbol"] for row in rows] == [row["symbol"] for row in as_json]
    assert list(rows[0]) == list(as_json[0])


def test_a_cell_of_a_file_is_never_a_formula(viewer):
    """SEC-40"""
    make.make_trade(make.make_run(), exit_reason="=HYPERLINK(1)")
    text = viewer.get(f"{reverse('api:trade-export')}?file=csv").content.decode()
    assert "'=HYPERLINK(1)" in text


def test_more_rows_than_a_file_holds_are_refused_and_the_page_says_so(viewer, monkeypatch):
    monkeypatch.setattr(exports, "ROWS_IN_A_FILE", 1)
    monkeypatch.setattr(list_views, "ROWS_IN_A_FILE", 1)
    run = make.make_run()
    make.make_trade(run)
    assert viewer.get(reverse("api:trade-export")).status_code == 200
    make.make_trade(run)
    answer = viewer.get(reverse("api:trade-export"))
    assert answer.status_code == 400
    assert "the filters leave 2 trades, allowed in one file: 1" in answer.content.decode()
    page = viewer.get(reverse("trades")).content.decode()
    assert "too many rows for one file (1): choose a period" in page


@pytest.mark.parametrize("query", ["file=xml", "cursor=abc", "page_size=5", "side=UP", "run=1"])
def test_what_a_file_cannot_be_asked_is_refused(viewer, query):
    assert viewer.get(f"{reverse('api:trade-export')}?{query}").status_code == 400


def test_a_stranger_gets_no_file(client):
    """SEC-8"""
    assert client.get(reverse("api:trade-export")).status_code == 401
    assert client.get(reverse("api:order-export")).status_code == 401


def test_trades_of_the_api_name_their_entry_tag(viewer):
    run = make.make_run()
    entered(run, "breakout")
    make.make_trade(run)
    answer = viewer.get(f"{reverse('api:trades')}?entry_tag=TAG_breakout").json()
    assert [row["entry_tag"] for row in answer["results"]] == ["TAG_breakout"]
    assert Trade.objects.count() == 2


def test_orders_stand_by_the_moment_their_first_column_shows(viewer):
    """A row written later for an earlier bar stands where its time says."""
    run = make.make_run()
    moments = [make.START + timedelta(hours=hours) for hours in (2, 3, 1)]
    for at in moments:
        decision = make.make_decision(run, action="BUY", quantity="0.01", at=at)
        order = make.make_order(run, decision)
        type(order).objects.filter(pk=order.pk).update(decided_at=at)
    rows = viewer.get(reverse("orders")).context["rows"]
    assert [row.decided_at for row in rows] == sorted(moments, reverse=True)
