from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse

from engine.side_books import COUNTERFACTUAL
from monitoring.counterfactual import book_began, counterfactual_view
from research.core.comparison import BETTER, UNCLEAR
from tests.monitoring import factories as make
from tests.monitoring import learning_scene as scene
from trades.models import SessionState, SideEquityPoint

pytestmark = pytest.mark.django_db
N_BARS = 400
HOUR = timedelta(hours=1)


@pytest.fixture
def run():
    run = make.make_run()
    make.make_equity(run, [10_000.0] * N_BARS)
    return run


@pytest.fixture
def weeks():
    """A run on hour bars: the same number of them is more than the week a verdict needs."""
    run = make.make_run(timeframe_ms=3_600_000)
    make.make_equity(run, [10_000.0] * N_BARS, bar=HOUR)
    return run


def points(run, start: int, stop: int) -> None:
    SideEquityPoint.objects.bulk_create(
        SideEquityPoint(
            run=run,
            book=COUNTERFACTUAL,
            at=make.START + i * make.MINUTE,
            equity_quote=Decimal(10_000 - i),
            exposure_quote=Decimal(0),
            drawdown_fraction=0.0,
        )
        for i in range(start, stop)
    )


def test_without_a_run_or_a_book_the_panel_says_why_it_is_empty(run):
    """OPT-83: an empty state is an answer."""
    assert "No run" in counterfactual_view(None)["empty"]
    assert "begins when the layer is switched on" in counterfactual_view(run)["empty"]
    points(run, 5, 6)
    assert "just begun" in counterfactual_view(run)["empty"]


def test_what_filtering_saved_and_missed_is_told_by_reason_with_an_interval(weeks):
    """OPT-83: refused decisions meet the trades of the other book by strategy, symbol and bar."""
    scene.counterfactual(weeks, n_refused=40, bar=HOUR)
    found = counterfactual_view(weeks)
    (row,) = found["filtering"]
    assert (row["reason_code"], row["signals"], row["traded"]) == ("LOW_QUALITY", 40, 40)
    assert (row["saved_quote"], row["missed_quote"]) == (36 * 4, 4 * 10)
    assert row["earned_quote"] == 36 * 4 - 4 * 10
    assert 0 < row["low"] < row["earned_quote"] < row["high"]
    assert row["verdict"] == BETTER
    assert found["shortfall"] == ""
    assert found["curve"]["ts_ms"] == sorted(found["curve"]["ts_ms"])
    assert found["figures"]["return_fraction"]["off"] < found["figures"]["return_fraction"]["on"]


def test_below_the_sample_nothing_is_called_better_or_worse(run):
    """OPT-88: no claim without the sample, whatever the curve looks like."""
    scene.counterfactual(run, n_refused=29)
    found = counterfactual_view(run)
    assert found["shortfall"] == "closed trades were 29, needed are 30"
    assert {row["verdict"] for row in found["figures"].values()} == {UNCLEAR}
    assert found["filtered"]["verdict"] == UNCLEAR


def test_a_book_of_some_hours_is_not_called_better_or_worse(run):
    """OPT-88: trades enough, time not."""
    scene.counterfactual(run, n_refused=40)
    found = counterfactual_view(run)
    assert found["shortfall"] == "days seen were 0.3, needed are 7"
    assert {row["verdict"] for row in found["figures"].values()} == {UNCLEAR}
    assert found["filtered"]["verdict"] == found["filtering"][0]["verdict"] == UNCLEAR


def test_what_sizing_added_comes_from_entries_that_both_books_took(run):
    """OPT-86: matched by the entry's order, at the multiplier it was sized with."""
    for i in range(4):
        trade = scene.taken(run, multiplier=0.5, pnl="-2", i=i)
        scene.side_trade(run, trade.entry_order_id, Decimal(-4), trade.opened_at, trade.closed_at)
    scene.taken(run, multiplier=2.0, pnl="-50", i=9)
    points(run, 0, N_BARS)
    sizing = counterfactual_view(run)["sizing"]
    assert (sizing["entries"], sizing["mean_multiplier"]) == (4, 0.5)
    assert sizing["earned_quote"] == 8.0
    assert sizing["verdict"] == UNCLEAR


def test_only_the_stretch_since_the_book_last_began_is_compared(run):
    """D-60: it begins anew as a copy of the account whenever the layer is switched on."""
    points(run, 0, 100)
    points(run, 250, N_BARS)
    began = make.START + 250 * make.MINUTE
    assert book_began(run) == began
    found = counterfactual_view(run)
    assert found["curve"]["ts_ms"][0] == int(began.timestamp() * 1000)
    later = began + timedelta(minutes=20)
    payload = {"side_books": {COUNTERFACTUAL: {"since_ms": int(later.timestamp() * 1000)}}}
    SessionState.objects.create(run=run, payload=payload, event_at=later)
    assert book_began(run) == later


def test_an_outage_of_both_books_is_no_new_beginning(run):
    run.equity_points.filter(
        at__gt=make.START + 100 * make.MINUTE, at__lt=make.START + 250 * make.MINUTE
    ).delete()
    points(run, 0, 101)
    points(run, 250, N_BARS)
    assert book_began(run) == make.START


def test_the_panel_is_read_by_viewers(client, run):
    """SEC-9"""
    client.force_login(make.make_user("vera", "viewer"))
    scene.counterfactual(run, n_refused=3)
    answer = client.get(reverse("counterfactual-data"))
    assert answer.status_code == 200
    assert answer.json()["trades"] == {"off": 3, "on": 0, "needed": 30}
