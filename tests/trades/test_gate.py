"""The gatekeeper over rows: severity, holds, breakers, resets."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.ports import StrategyStatus, TradingState
from tests.trades.rows import make_order, make_run, make_strategy
from trades.alerts import Alert
from trades.gate import DatabaseGatekeeper
from trades.models import ControlState, TradingRun
from trades.services import control_set

pytestmark = pytest.mark.django_db
NOON_MS = round(datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp() * 1000)


class Notes:
    """A watch that remembers."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.changes: list[tuple[str, TradingState]] = []

    def alarm(self, alert: Alert) -> None:
        self.alerts.append(alert)

    def control_changed(self, scope: str, state: TradingState, reason: str) -> None:
        self.changes.append((scope, state))


@pytest.fixture
def run() -> TradingRun:
    make_strategy("breakout")
    return make_run()


@pytest.fixture
def notes() -> Notes:
    return Notes()


def gate(run: TradingRun, notes: Notes, reconciled: bool = True) -> DatabaseGatekeeper:
    keeper = DatabaseGatekeeper(run, lambda: reconciled, notes)
    keeper.observe(NOON_MS)
    return keeper


def test_the_most_severe_scope_counts(run: TradingRun, notes: Notes) -> None:
    control_set(scope="global", state="REDUCING", actor="a", reason="global")
    control_set(scope="symbol:BTC/USDT", state="HALTED", actor="a", reason="delisted")
    keeper = gate(run, notes)
    assert keeper.trading_state("BTC/USDT", "breakout") is TradingState.HALTED
    assert keeper.state_reason("BTC/USDT", "breakout") == "delisted"
    assert keeper.trading_state("ETH/USDT", "breakout") is TradingState.REDUCING


def test_one_event_is_judged_by_one_reading(run: TradingRun, notes: Notes) -> None:
    """F-085: a switch thrown in the middle of an event counts from the next one on."""
    keeper = gate(run, notes)
    control_set(scope="global", state="HALTED", actor="a", reason="now")
    assert keeper.trading_state("BTC/USDT", "breakout") is TradingState.ACTIVE
    keeper.observe(NOON_MS)
    assert keeper.trading_state("BTC/USDT", "breakout") is TradingState.HALTED


def test_no_entry_before_the_start_was_reconciled(run: TradingRun, notes: Notes) -> None:
    """I-19: until then only exits."""
    keeper = gate(run, notes, reconciled=False)
    assert keeper.trading_state("BTC/USDT", "breakout") is TradingState.REDUCING
    assert "not reconciled" in keeper.state_reason("BTC/USDT", "breakout")


def test_no_entry_while_an_order_is_without_an_answer(run: TradingRun, notes: Notes) -> None:
    """F-045: an unknown order may hold a position; no new risk on unknown books."""
    make_order(run, status="UNKNOWN")
    assert gate(run, notes).trading_state("BTC/USDT", "breakout") is TradingState.REDUCING


def test_a_strategy_without_a_row_cannot_be_judged(run: TradingRun, notes: Notes) -> None:
    """D-03: the caller denies what cannot be evaluated."""
    with pytest.raises(KeyError):
        gate(run, notes).strategy_status("nobody")
    assert gate(run, notes).strategy_status("breakout") is StrategyStatus.ACTIVE


def test_a_breaker_is_latched_told_once_and_counted_as_reset_by_a_person(
    run: TradingRun, notes: Notes
) -> None:
    """D-27: a losing streak stops its strategy until a person resets it."""
    keeper = gate(run, notes)
    for _ in range(2):
        keeper.escalate(
            TradingState.REDUCING, "LOSS_STREAK", "5 losses", NOON_MS, "strategy:breakout"
        )
    assert ControlState.objects.get().state == "REDUCING"
    assert keeper.trading_state("BTC/USDT", "breakout") is TradingState.REDUCING
    assert {alert.code for alert in notes.alerts} == {"LOSS_STREAK"}
    assert keeper.resets() == {}
    control_set(scope="strategy:breakout", state="ACTIVE", actor="anna", reason="reviewed")
    keeper.observe(NOON_MS)
    assert keeper.resets() == {"strategy:breakout": 1}
    assert notes.changes == [
        ("strategy:breakout", TradingState.REDUCING),
        ("strategy:breakout", TradingState.ACTIVE),
    ]


def test_what_was_stopped_and_resumed_between_two_looks_is_told(
    run: TradingRun, notes: Notes
) -> None:
    """ORC-78: else the alert of that stop would stand for ever; also where no process looked."""
    keeper = gate(run, notes)
    for state in ("HALTED", "ACTIVE"):
        control_set(scope="global", state=state, actor="anna", reason="a look")
    keeper.observe(NOON_MS)
    keeper.observe(NOON_MS)
    assert notes.changes == [("global", TradingState.ACTIVE)]
    later = Notes()
    gate(run, later)
    assert later.changes == notes.changes


def test_a_day_loss_announces_the_next_utc_day(run: TradingRun, notes: Notes) -> None:
    """D-27: and its end is no reset: nobody forgave anything."""
    keeper = gate(run, notes)
    keeper.escalate(TradingState.REDUCING, "DAY_LOSS", "day loss 0.03", NOON_MS)
    row = ControlState.objects.get()
    assert row.releases_at == datetime(2026, 1, 6, tzinfo=UTC)
    keeper.observe(NOON_MS + 12 * 3_600_000)
    assert keeper.trading_state("BTC/USDT", "breakout") is TradingState.ACTIVE
    assert keeper.resets() == {}
