"""Balances that differ from our books, in fractions of equity."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import timezone

from engine.ports import TradingState
from tests.trades.order_factory import INSTRUMENT, make_intent, make_run, write_intent
from trades import models
from trades.core.operating_limits import OperatingLimits
from trades.differences import judged_difference

pytestmark = pytest.mark.django_db
LIMITS = OperatingLimits()


@pytest.fixture
def run() -> models.TradingRun:
    """Equity 10,000; the last price known is 50,000."""
    run = make_run()
    write_intent(run, make_intent())
    money = {"cash_quote": Decimal(0), "exposure_quote": Decimal(0), "day_pnl_quote": Decimal(0)}
    models.EquityPoint.objects.create(
        run=run,
        at=timezone.now(),
        equity_quote=Decimal(10_000),
        peak_equity_quote=Decimal(10_000),
        drawdown_fraction=0.0,
        **money,
    )
    return run


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("difference", "is_told", "brake"),
    [
        ("0.00020", False, None),
        ("0.00021", True, None),
        ("0.00100", True, None),
        ("0.00101", True, TradingState.REDUCING),
    ],
)
def test_a_thousandth_of_equity_is_told_and_five_end_entries(
    run: models.TradingRun, difference: str, is_told: bool, brake: TradingState | None, sign: int
) -> None:
    """CTL-16: 0.1 % of 10,000 is 0.0002 at 50,000; too much and too little alike."""
    alert = judged_difference(run, INSTRUMENT, sign * Decimal(difference), LIMITS)
    assert (alert is not None) is is_told
    if alert is not None:
        assert (alert.code, alert.brake) == ("BALANCE_DIFFERENCE", brake)


def test_a_difference_that_cannot_be_valued_ends_entries(run: models.TradingRun) -> None:
    """CTL-16, D-03: without a price, or without equity."""
    models.Order.objects.all().delete()
    alert = judged_difference(run, INSTRUMENT, Decimal("0.00001"), LIMITS)
    assert alert is not None and alert.brake is TradingState.REDUCING
    write_intent(run, make_intent())
    assert judged_difference(run, INSTRUMENT, Decimal("0.00001"), LIMITS) is None
    models.EquityPoint.objects.update(equity_quote=Decimal(0))
    alert = judged_difference(run, INSTRUMENT, Decimal("0.00001"), LIMITS)
    assert alert is not None and alert.brake is TradingState.REDUCING
