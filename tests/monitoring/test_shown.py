"""Which account a page shows: that of ``main``, until a person chooses another."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from monitoring import selectors
from tests.accounts.callers import by_token
from tests.monitoring import factories as make
from tests.trades.rows import START, make_run, make_strategy, make_trade
from trades.models import TradingRun
from trades.services import control_set

pytestmark = pytest.mark.django_db


@pytest.fixture
def main() -> TradingRun:
    run = make_run()
    make_trade(run, 1)
    return run


@pytest.fixture
def second(main: TradingRun) -> TradingRun:
    run = make_run(
        account="second",
        config={"accounts": {"second": {}}},
        started_at=START + timedelta(days=1),
    )
    make_trade(run, 2)
    return run


@pytest.fixture
def viewer(client: Any) -> Any:
    client.force_login(make.make_user("vera", "viewer"))
    return client


def shown(client: Any, page: str = "overview", **query: str) -> str:
    return str(client.get(reverse(page), query).context["strip"]()["run"]["account"])


def test_a_page_shows_main_until_another_account_is_chosen_and_then_that_one_everywhere(
    viewer: Any, second: TradingRun
) -> None:
    """D-59: the choice holds for the session; an address that names a run wins for its page."""
    assert {shown(viewer, page) for page in ("overview", "orders", "trades")} == {"main"}
    answer = viewer.post(reverse("account-choose"), {"account": "second", "next": "/orders/"})
    assert answer["Location"] == "/orders/"
    assert {shown(viewer, page) for page in ("overview", "orders", "preflight")} == {"second"}
    rows = viewer.get(reverse("trades")).context["rows"]
    assert {row.run.account for row in rows} == {"second"}
    assert viewer.get(reverse("strip-data")).json()["run"]["account"] == "second"
    named = TradingRun.objects.get(account="main")
    assert shown(viewer, run=str(named.code)) == "main"
    assert shown(viewer) == "second"


def test_the_switch_is_there_where_several_accounts_trade_and_only_there(
    viewer: Any, main: TradingRun
) -> None:
    """D-59."""
    assert 'id="account-shown"' not in viewer.get(reverse("orders")).content.decode()
    make_run(account="second", config={"accounts": {"second": {}}})
    page = viewer.get(reverse("orders")).content.decode()
    assert '<option value="main" selected>' in page and '<option value="second">' in page


def test_an_account_that_nobody_has_is_not_chosen(viewer: Any, second: TradingRun) -> None:
    """D-59: and a choice that was made outlives the end of its run no longer than it must."""
    viewer.post(reverse("account-choose"), {"account": "third"})
    assert shown(viewer) == "main"
    viewer.post(reverse("account-choose"), {"account": "second"})
    TradingRun.objects.filter(pk=second.pk).delete()
    assert shown(viewer) == "main"


def test_a_stranger_chooses_nothing(client: Any, second: TradingRun) -> None:
    """SEC-8."""
    answer = client.post(reverse("account-choose"), {"account": "second"})
    assert answer["Location"].startswith("/login/")
    assert "account" not in client.session


def test_the_strip_tells_of_its_own_accounts_stops_and_of_everybodys(
    main: TradingRun, second: TradingRun
) -> None:
    """CTL-13, D-59: what stops another account is not shown as a stop of this one."""
    make_strategy("breakout")
    control_set(scope="account:second", state="HALTED", actor="olga", reason="a look")
    control_set(
        scope="account:second/strategy:breakout", state="REDUCING", actor="olga", reason="losses"
    )
    ours, theirs = (selectors.control_status(run) for run in (second, main))
    assert (ours["state"], ours["effective_state"]) == ("ACTIVE", "HALTED")
    assert [row["scope"] for row in ours["scopes"]] == [
        "account:second",
        "account:second/strategy:breakout",
    ]
    assert "HALTED" not in (theirs["state"], theirs["effective_state"])
    assert theirs["scopes"] == []


def test_the_api_answers_for_main_and_for_another_account_when_asked(
    main: TradingRun, second: TradingRun
) -> None:
    """D-59: by name or by run, and one line where there is none."""
    client = by_token("viewer")

    def profits(query: str = "") -> list[str]:
        rows = client.get(f"/api/v1/trades/{query}").json()["results"]
        return [row["pnl_quote"] for row in rows]

    assert (profits(), profits("?account=second")) == (["1"], ["2"])
    listed = client.get("/api/v1/runs/").json()["results"]
    assert {row["account"] for row in listed} == {"main", "second"}
    refused = client.get("/api/v1/trades/?account=third")
    assert refused.status_code == 400 and "it never had a run" in refused.content.decode()
    both = client.get(f"/api/v1/trades/?account=main&run={main.code}")
    assert both.status_code == 400 and "was given beside run" in both.content.decode()
