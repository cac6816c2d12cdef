"""What stops one account stops no other; what stops all stops each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.ports import TradingState
from engine.types.requests import Flatten
from tests.trades.rows import make_lot, make_order, make_run, make_strategy
from tests.trades.test_gate import NOON_MS, Notes
from trades.errors import ControlRefused, RequestRefused
from trades.flatten import flatten_confirm, flatten_preview
from trades.gate import DatabaseGatekeeper
from trades.models import ControlState, TradingRun
from trades.scopes import confined, of_account, overlap, scopes_over, split
from trades.send_rules import refusal_of
from trades.services import control_set

pytestmark = pytest.mark.django_db
BTC, BREAKOUT = "BTC/USDT", "breakout"


@pytest.fixture
def main() -> TradingRun:
    make_strategy(BREAKOUT)
    return make_run()


@pytest.fixture
def second(main: TradingRun) -> TradingRun:
    return make_run(account="second", config={"accounts": {"second": {}}})


def gate(run: TradingRun) -> DatabaseGatekeeper:
    keeper = DatabaseGatekeeper(run, lambda: True, Notes())
    keeper.observe(NOON_MS)
    return keeper


def state(run: TradingRun) -> TradingState:
    return gate(run).trading_state(BTC, BREAKOUT)


def switch(scope: str, to: str = "HALTED", **more: Any) -> None:
    control_set(scope=scope, state=to, actor="olga", reason="a person looks", **more)


@pytest.mark.parametrize(
    "scope",
    ["account:second", f"account:second/strategy:{BREAKOUT}", f"account:second/symbol:{BTC}"],
)
def test_a_halt_of_one_account_leaves_the_other_trading(
    main: TradingRun, second: TradingRun, scope: str
) -> None:
    """CTL-13, D-59: the gate at the decision and the rules at the send say the same."""
    switch(scope)
    assert (state(main), state(second)) == (TradingState.ACTIVE, TradingState.HALTED)
    denied = refusal_of(make_order(second, strategy=BREAKOUT), "")
    assert denied is not None and denied.code == "HALTED" and scope in denied.message
    assert refusal_of(make_order(main, strategy=BREAKOUT), "") is None


def test_a_halt_of_everything_halts_every_account(main: TradingRun, second: TradingRun) -> None:
    """CTL-13, D-59."""
    switch("global")
    assert {state(main), state(second)} == {TradingState.HALTED}
    for run in (main, second):
        denied = refusal_of(make_order(run, strategy=BREAKOUT), "")
        assert denied is not None and denied.message.startswith("global is halted")


def test_a_breaker_stops_the_account_that_lost_and_no_other(
    main: TradingRun, second: TradingRun
) -> None:
    """D-27, D-59: a paper account's bad day must not stop real money, nor the other way round."""
    gate(second).escalate(TradingState.REDUCING, "DAY_LOSS", "lost 3 %", NOON_MS)
    gate(second).escalate(
        TradingState.REDUCING, "LOSS_STREAK", "lost 5", NOON_MS, scope=f"strategy:{BREAKOUT}"
    )
    assert set(ControlState.objects.values_list("scope", flat=True)) == {
        "account:second",
        f"account:second/strategy:{BREAKOUT}",
    }
    assert (state(main), state(second)) == (TradingState.ACTIVE, TradingState.REDUCING)


def test_an_only_accounts_breakers_stand_where_they_always_stood(main: TradingRun) -> None:
    """D-27: one account is everything there is."""
    make_run(account="second", ended_at=main.started_at)
    gate(main).escalate(TradingState.REDUCING, "DAY_LOSS", "lost 3 %", NOON_MS)
    assert ControlState.objects.get().scope == "global"


def test_a_stop_ends_by_the_clock_of_its_own_venue_only(
    main: TradingRun, second: TradingRun
) -> None:
    """D-24, D-27: a practice clock that is years ahead must not let a live account trade again."""
    gate(main).escalate(TradingState.REDUCING, "DAY_LOSS", "lost 3 %", NOON_MS)
    switch("global", "REDUCING", releases_at=datetime(2026, 1, 6, tzinfo=UTC))
    ahead = DatabaseGatekeeper(second, lambda: True, Notes())
    ahead.observe(NOON_MS + round(timedelta(days=900).total_seconds() * 1000))
    assert set(ControlState.objects.values_list("state", flat=True)) == {"REDUCING"}
    own = DatabaseGatekeeper(main, lambda: True, Notes())
    own.observe(NOON_MS + round(timedelta(hours=12).total_seconds() * 1000))
    assert set(ControlState.objects.values_list("state", flat=True)) == {"ACTIVE"}


def test_a_reset_of_one_account_forgives_that_account_alone(
    main: TradingRun, second: TradingRun
) -> None:
    """D-27: the drawdown of the other is measured from the peak it had."""
    gate(second).escalate(TradingState.HALTED, "MAX_DRAWDOWN", "20 % down", NOON_MS)
    switch("account:second", "ACTIVE")
    assert gate(second).resets() == {"global": 1}
    assert gate(main).resets() == {}
    assert of_account({"global": 1, "account:b": 2, "account:b/strategy:x": 1}, "b") == {
        "global": 3,
        "strategy:x": 1,
    }


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("account:third", "allowed: global, or account: with one of main, second"),
        ("account:", "account: with one of main, second"),
        ("account:second/strategy:nope", f"strategy: with one of {BREAKOUT}"),
        ("account:second/everything", "allowed: global, strategy:CODE, symbol:SYMBOL or account"),
    ],
)
def test_a_scope_that_switches_nothing_is_refused(
    main: TradingRun, second: TradingRun, scope: str, said: str
) -> None:
    """CTL-13: a halt on a misspelt account would halt nothing."""
    with pytest.raises(ControlRefused) as refused:
        switch(scope)
    assert said in str(refused.value)
    assert not ControlState.objects.exists()


def test_an_account_that_is_gone_can_be_resumed(main: TradingRun, second: TradingRun) -> None:
    """CTL-13: its stop must not stand on every page for ever."""
    switch("account:second")
    TradingRun.objects.filter(pk=second.pk).update(ended_at=second.started_at)
    switch("account:second", "ACTIVE")
    assert ControlState.objects.get().state == "ACTIVE"


def test_a_flatten_of_one_account_closes_what_it_holds_and_nothing_else(
    main: TradingRun, second: TradingRun
) -> None:
    """D-28, D-59: the other account keeps its positions and its state."""
    for run in (main, second):
        make_lot(run, strategy=BREAKOUT)
    preview = flatten_preview(scope="account:second", actor="olga")
    assert [closing.run for closing in preview.closings] == [second]
    rows = flatten_confirm(
        scope="account:second", token=preview.token, actor="olga", reason="leaving"
    )
    assert [row.run for row in rows] == [second]
    assert (state(main), state(second)) == (TradingState.ACTIVE, TradingState.REDUCING)
    everything = flatten_preview(scope="global", actor="olga")
    assert {closing.run for closing in everything.closings} == {main, second}
    switch("account:second")
    with pytest.raises(RequestRefused, match="account:second was HALTED"):
        flatten_preview(scope=f"account:second/strategy:{BREAKOUT}", actor="olga")


@pytest.mark.parametrize("scope", ["global", "account:second", f"account:second/symbol:{BTC}"])
def test_a_drawdown_halts_no_account_that_is_being_flattened(
    main: TradingRun, second: TradingRun, scope: str
) -> None:
    """D-28, D-59: whatever the flatten covers, its exits get out; the halt comes after it."""
    switch(scope, "REDUCING", reason_code="FLATTENING")
    gate(second).escalate(TradingState.HALTED, "MAX_DRAWDOWN", "20 % down", NOON_MS)
    assert state(second) is TradingState.REDUCING
    assert ControlState.objects.get(scope="account:second").state == "REDUCING", "it entered on"
    switch(scope, "REDUCING", reason_code="FLATTEN_LEFT_OPEN")
    gate(second).escalate(TradingState.HALTED, "MAX_DRAWDOWN", "20 % down", NOON_MS)
    assert state(second) is TradingState.HALTED


def test_a_drawdown_of_an_only_account_leaves_the_flatten_of_it_alone(main: TradingRun) -> None:
    """D-28: its breakers stand in the unconfined scopes, its flatten may not."""
    switch("account:main", "REDUCING", reason_code="FLATTENING")
    gate(main).escalate(TradingState.HALTED, "MAX_DRAWDOWN", "20 % down", NOON_MS)
    assert state(main) is TradingState.REDUCING


def test_a_flatten_of_one_account_keeps_no_other_from_its_halt(
    main: TradingRun, second: TradingRun
) -> None:
    """CTL-9, D-59"""
    switch("account:main", "REDUCING", reason_code="FLATTENING")
    gate(second).escalate(TradingState.HALTED, "MAX_DRAWDOWN", "20 % down", NOON_MS)
    assert state(second) is TradingState.HALTED


def test_scopes_overlap_where_one_order_may_stand_under_both() -> None:
    """D-28"""
    btc, eth = f"symbol:{BTC}", "symbol:ETH/USDT"
    assert overlap("global", f"account:second/{btc}")
    assert overlap("account:second", btc)
    assert overlap(btc, f"account:second/strategy:{BREAKOUT}")
    assert not overlap("account:main", f"account:second/{btc}")
    assert not overlap(btc, f"account:second/{eth}")


def test_a_flatten_within_an_account_covers_its_part_of_the_book() -> None:
    """D-28: the engine knows its own book only."""
    whole = Flatten("1", "account:second", "olga", "x")
    part = Flatten("2", f"account:second/symbol:{BTC}", "olga", "x")
    assert whole.covers(BREAKOUT, BTC) and whole.judged_as == ("", "")
    assert part.covers(BREAKOUT, BTC) and not part.covers(BREAKOUT, "ETH/USDT")
    assert part.judged_as == (BTC, "")


def test_scopes_read_back_as_they_were_made() -> None:
    for scope in ("global", f"strategy:{BREAKOUT}", f"symbol:{BTC}"):
        assert split(scope) == ("", scope)
        assert split(confined("second", scope)) == ("second", scope)
        assert confined("second", scope) in scopes_over("second", BTC, BREAKOUT)
        assert confined("other", confined("second", scope)) == confined("second", scope)
