"""Limits with what is used of them."""

from datetime import timedelta
from decimal import Decimal

import pytest

from engine.ports import TradingState
from engine.risk import RiskLimits
from tests.trades.rows import (
    START,
    make_candle,
    make_equity,
    make_lot,
    make_order,
    make_run,
    make_trade,
)
from trades.selectors import risk_status
from trades.selectors.risk import MEASURES
from trades.services import control_set

pytestmark = pytest.mark.django_db


def limits(run):
    return {limit.name: limit for limit in risk_status(run=run).limits}


def test_every_measured_limit_is_one_of_the_engines():
    assert set(MEASURES) <= set(RiskLimits.__dataclass_fields__)


def test_a_limit_the_configuration_leaves_out_has_the_engines_default():
    run = make_run(config={"risk": {"max_day_loss": 0.01, "max_total_drawdown": 0.15}})
    found = limits(run)
    assert found["max_day_loss"].limit == 0.01
    assert found["max_drawdown"].limit == 0.15
    assert found["max_gross_exposure"].limit == 0.60


def test_losses_use_up_the_day_limit_and_the_drawdown():
    run = make_run()
    make_equity(run, equity=9_900)
    found = limits(run)
    assert found["max_day_loss"].used == pytest.approx(0.01)
    assert found["max_day_loss"].left == pytest.approx(0.02)
    assert found["max_drawdown"].used == pytest.approx(0.01)


def test_a_profit_uses_up_nothing_and_left_is_never_negative():
    run = make_run()
    make_equity(run, equity=10_500)
    assert limits(run)["max_day_loss"].used == 0.0
    make_equity(run, minute=1, equity=9_000)
    assert limits(run)["max_day_loss"].left == 0.0


def test_exposure_is_summed_by_symbol_and_by_strategy():
    run = make_run()
    make_equity(run, equity=1_000, exposure_quote=Decimal(220))
    make_candle(close=110.0)
    make_lot(run, strategy="breakout", quantity_base=Decimal(1))
    make_lot(run, strategy="ema-trend", quantity_base=Decimal(1))
    found = limits(run)
    assert found["max_position_size"].used == pytest.approx(0.22)
    assert found["max_strategy_exposure"].used == pytest.approx(0.11)
    assert found["max_gross_exposure"].used == pytest.approx(0.22)
    assert found["max_open_positions"].used == 2


def test_what_cannot_be_measured_is_unknown_not_zero():
    run = make_run()
    make_lot(run)
    found = limits(run)
    assert found["max_day_loss"].used is None
    assert found["max_position_size"].left is None


def test_orders_in_flight_and_entries_are_counted_in_venue_time():
    run = make_run(last_event_at=START + timedelta(hours=2))
    make_order(run, status="OPEN", decided_at=START + timedelta(minutes=90))
    make_order(run, status="FILLED", decided_at=START)
    make_order(run, status="FILLED", purpose="exit", decided_at=START + timedelta(minutes=90))
    found = limits(run)
    assert found["max_open_orders"].used == 1
    assert found["max_open_orders_per_symbol"].used == 1
    assert found["max_orders_per_hour"].used == 1
    assert found["max_orders_per_day"].used == 2


def test_the_loss_streak_ends_at_the_last_trade_that_did_not_lose():
    run = make_run()
    for minute, pnl in enumerate((-1, 2, -1, -3)):
        make_trade(run, pnl, minute=minute)
    assert limits(run)["loss_streak"].used == 2


def test_the_state_is_the_global_one_and_the_effective_one_the_most_severe():
    assert risk_status(run=None).state == "ACTIVE"
    run = make_run()
    control_set(scope="global", state=TradingState.REDUCING, actor="ada", reason="r")
    control_set(scope="symbol:BTC/USDT", state=TradingState.HALTED, actor="ada", reason="r")
    status = risk_status(run=run)
    assert (status.state, status.effective_state) == ("REDUCING", "HALTED")
    assert [row.scope for row in status.scopes] == ["global", "symbol:BTC/USDT"]
