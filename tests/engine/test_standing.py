"""What an account remembers of its last days."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal as D

import pytest

from engine.account import Account
from engine.ledger import Ledger
from engine.limits import RiskLimits
from engine.ports import StrategyStatus, TradingState
from engine.simulated_operator import SimulatedOperator
from engine.standing import EntryCounts, WeekPnl, first_day_of_week
from engine.types.ledger import EquityPoint
from engine.types.opinions import Side
from tests.bar_factory import random_walk
from tests.engine.books import BTC
from tests.engine.phases.scene import CONFIG, Rule, pipeline
from tests.engine.sessions import play, scene

MINUTE_MS = 60_000
DAY_MS = 86_400_000
MONDAY = 4


def point(day: int, pnl: str) -> EquityPoint:
    return EquityPoint(day * DAY_MS, D(10_000), D(0), D(0), D(10_000), 0.0, D(pnl))


def test_entries_are_counted_by_strategy_symbol_and_side() -> None:
    """CTL-7: neither another strategy nor another symbol nor the other side counts."""
    counts = EntryCounts()
    for who, where, side in (("a", BTC, Side.BUY), ("b", BTC, Side.BUY), ("a", BTC, Side.SELL)):
        counts.note(who, where, side, 0)
    counts.note("a", "ETH/USDT", Side.BUY, 0)
    assert counts.counts("a", BTC, Side.BUY, MINUTE_MS) == (1, 1)


def test_an_entry_is_recent_for_fifteen_minutes_and_counted_for_a_day() -> None:
    """CTL-7"""
    counts = EntryCounts()
    counts.note("a", BTC, Side.BUY, 0)
    assert counts.counts("a", BTC, Side.BUY, 15 * MINUTE_MS - 1) == (1, 1)
    assert counts.counts("a", BTC, Side.BUY, 15 * MINUTE_MS) == (0, 1)
    assert counts.counts("a", BTC, Side.BUY, DAY_MS) == (0, 0)


def test_a_person_who_lets_a_strategy_trade_again_starts_its_count_anew() -> None:
    """CTL-7: else it would be off again at its next entry."""
    account = Account(Ledger("USDT", {"USDT": D(10_000)}))
    account.entries.note("a", BTC, Side.BUY, 0)
    account.entries.note("ab", BTC, Side.BUY, 0)
    account.note_resets({"strategy:a": 1})
    assert account.entries.counts("a", BTC, Side.BUY, 1) == (0, 0)
    assert account.entries.counts("ab", BTC, Side.BUY, 1) == (1, 1)


def test_what_is_remembered_survives_a_restart() -> None:
    """CTL-7, CTL-9: through JSON."""
    counts, week = EntryCounts(), WeekPnl()
    counts.note("a", BTC, Side.BUY, 7)
    week.at(point(MONDAY, "-5.25"))
    stored = json.loads(json.dumps([counts.state(), week.state()]))
    assert EntryCounts.restore(stored[0]).counts("a", BTC, Side.BUY, 8) == (1, 1)
    assert WeekPnl.restore(stored[1]).at(point(MONDAY + 1, "-1")) == D("-6.25")
    for bad in ({"a": 3}, {"a": ["x"]}):
        with pytest.raises(ValueError, match="list of times"):
            EntryCounts.restore(bad)
    with pytest.raises(ValueError, match="numbers by day"):
        WeekPnl.restore({"4": "much"})


def test_a_week_is_the_sum_of_its_days_from_monday_on() -> None:
    """CTL-9: Sunday's loss ends with the week, Monday's counts until Sunday."""
    week = WeekPnl()
    assert week.at(point(MONDAY - 1, "-400")) == D(-400)
    assert week.at(point(MONDAY, "-100")) == D(-100)
    assert week.at(point(MONDAY, "-150")) == D(-150), "a day's last word counts"
    assert week.at(point(MONDAY + 6, "50")) == D(-100)
    assert [first_day_of_week(day) for day in (3, 4, 10, 11)] == [-3, 4, 4, 11]


def test_a_week_loss_stop_of_a_replay_ends_on_monday_and_forgives_nothing() -> None:
    """CTL-9, D-23"""
    operator = SimulatedOperator({}, resume_after_days=1)
    at_ms = (MONDAY + 2) * DAY_MS + 5
    operator.escalate(TradingState.REDUCING, "WEEK_LOSS", "6 %", at_ms)
    operator.observe((MONDAY + 7) * DAY_MS - 1)
    assert operator.trading_state(BTC, "a") is TradingState.REDUCING
    operator.observe((MONDAY + 7) * DAY_MS)
    assert operator.trading_state(BTC, "a") is TradingState.ACTIVE
    assert operator.resets() == {}


def test_a_strategy_that_enters_too_often_is_switched_off_until_somebody_resumes_it() -> None:
    """CTL-7: the one entry too many is denied, and the state of the strategy latches."""
    bars = random_walk(21, 800, sigma=0.003)
    operator = SimulatedOperator({"one": StrategyStatus.ACTIVE}, resume_after_days=1)
    eager = replace(CONFIG, max_holding_bars=2)
    session = scene(
        bars,
        pipeline([Rule("one", 0.6, side=1)], config=eager),
        first_row=400,
        limits=RiskLimits(max_entries_per_15m=2),
        gatekeeper=operator,
    )
    play(session, bars, range(400, 460))
    decided = [d for d in session.journal.decisions if d.strategy == "one" and d.proposal]
    entered = [d.bar_close_ms for d in decided if d.action.value == "BUY"]
    assert len(entered) == 2, "two within the window, and nothing after the switch"
    denied = next(d for d in decided if d.reason_code == "REPEATED_ENTRIES")
    assert denied.bar_close_ms > entered[-1]
    (stop,) = operator.interventions
    assert (stop.scope, stop.state) == ("strategy:one", TradingState.REDUCING)
    assert "one on BTC/USDT" in stop.text
    later = [d for d in decided if d.bar_close_ms > denied.bar_close_ms]
    assert later and {d.reason_code for d in later if d.action.value == "HOLD"} == {"REDUCING"}
    assert {d.action.value for d in later} == {"HOLD"}
