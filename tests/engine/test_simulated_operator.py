"""The stated operator of a replay (D-23)."""

from __future__ import annotations

import pytest

from engine.ports import StrategyStatus, TradingState
from engine.simulated_operator import DAY_MS, SimulatedOperator

NOON = DAY_MS * 10 + DAY_MS // 2


def operator(days: int = 2) -> SimulatedOperator:
    return SimulatedOperator({"breakout": StrategyStatus.ACTIVE}, days)


def test_day_loss_ends_at_the_next_utc_day_and_forgives_nothing() -> None:
    """D-27: the day starts anew by itself, peaks and streaks stay."""
    gate = operator()
    gate.escalate(TradingState.REDUCING, "DAY_LOSS", "day loss 0.031", NOON)
    gate.observe(DAY_MS * 11 - 1)
    assert gate.trading_state("BTC/USDT", "breakout") is TradingState.REDUCING
    gate.observe(DAY_MS * 11)
    assert gate.trading_state("BTC/USDT", "breakout") is TradingState.ACTIVE
    assert gate.resets() == {}


def test_drawdown_halt_lasts_the_stated_days_and_is_counted_as_a_reset() -> None:
    """D-23: the operator resumes after the stated days; the peak then starts anew."""
    gate = operator(days=2)
    gate.escalate(TradingState.HALTED, "MAX_DRAWDOWN", "drawdown 0.2", NOON)
    gate.observe(DAY_MS * 12 - 1)
    assert gate.trading_state("BTC/USDT", "breakout") is TradingState.HALTED
    gate.observe(DAY_MS * 12)
    assert gate.trading_state("BTC/USDT", "breakout") is TradingState.ACTIVE
    assert gate.resets() == {"global": 1}
    assert [stop.reason_code for stop in gate.interventions] == ["MAX_DRAWDOWN"]


def test_a_strategy_stop_leaves_the_others_alone() -> None:
    gate = SimulatedOperator(
        {"breakout": StrategyStatus.ACTIVE, "ensemble": StrategyStatus.ACTIVE}, 1
    )
    gate.escalate(TradingState.REDUCING, "LOSS_STREAK", "5 losses", NOON, "strategy:breakout")
    assert gate.trading_state("BTC/USDT", "breakout") is TradingState.REDUCING
    assert gate.trading_state("BTC/USDT", "ensemble") is TradingState.ACTIVE
    assert gate.state_reason("BTC/USDT", "breakout") == "5 losses"


def test_severity_is_never_lowered_by_a_breaker() -> None:
    """OPT-72: a day loss after a halt does not turn the halt into REDUCING."""
    gate = operator()
    gate.escalate(TradingState.HALTED, "MAX_DRAWDOWN", "drawdown", NOON)
    gate.escalate(TradingState.REDUCING, "DAY_LOSS", "day loss", NOON + 1)
    assert gate.trading_state("BTC/USDT", "breakout") is TradingState.HALTED


def test_an_unknown_strategy_is_an_error_and_a_senseless_patience_too() -> None:
    with pytest.raises(KeyError):
        operator().strategy_status("nobody")
    with pytest.raises(ValueError, match="resume_after_days was 0"):
        operator(days=0)
