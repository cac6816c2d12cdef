"""Balances that differ from our books, in fractions of equity."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import timezone

from engine.ports import TradingState
from tests.trades.order_factory import BTC, make_intent, make_run, write_intent
from trades import models
from trades.core.operating_limits import OperatingLimits
from trades.differences import Difference, QuoteFlows, judged_difference

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


def of(difference_base: Decimal) -> Difference:
    return Difference("BTC", 1 + difference_base, Decimal(1), BTC)


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
    alert = judged_difference(run, of(sign * Decimal(difference)), LIMITS)
    assert (alert is not None) is is_told
    if alert is not None:
        assert (alert.code, alert.brake) == ("BALANCE_DIFFERENCE", brake)


def test_a_difference_that_cannot_be_valued_ends_entries(run: models.TradingRun) -> None:
    """CTL-16, D-03: without a price, or without equity."""
    models.Order.objects.all().delete()
    alert = judged_difference(run, of(Decimal("0.00001")), LIMITS)
    assert alert is not None and alert.brake is TradingState.REDUCING
    write_intent(run, make_intent())
    assert judged_difference(run, of(Decimal("0.00001")), LIMITS) is None
    models.EquityPoint.objects.update(equity_quote=Decimal(0))
    alert = judged_difference(run, of(Decimal("0.00001")), LIMITS)
    assert alert is not None and alert.brake is TradingState.REDUCING


def test_the_quote_is_judged_by_the_same_shares_and_told_with_both_numbers(
    run: models.TradingRun,
) -> None:
    """CTL-16, I-6: 0.1 % of 10,000 is 10, 0.5 % is 50."""
    for held, brake in (("1060.5", TradingState.REDUCING), ("1011", None)):
        alert = judged_difference(run, Difference("USDT", Decimal(held), Decimal(1_000)), LIMITS)
        assert alert is not None and alert.brake is brake
        assert f"the venue holds {held} USDT, our books 1000: +" in alert.text
    assert judged_difference(run, Difference("USDT", Decimal(991), Decimal(1_000)), LIMITS) is None


def fill(run: models.TradingRun, side: str, fee_asset: str = "USDT") -> None:
    """2 at 100, fee 0.3."""
    order = write_intent(run, make_intent())
    models.Fill.objects.create(
        run=run,
        order=order,
        trade_id=f"t{order.pk}",
        strategy=order.strategy,
        symbol=BTC,
        side=side,
        price=Decimal(100),
        quantity_base=Decimal(2),
        fee=Decimal("0.3"),
        fee_asset=fee_asset,
        executed_at=timezone.now(),
        applied_at=timezone.now(),
    )


def test_what_trades_moved_is_summed_once_and_fees_in_other_assets_are_none_of_it(
    run: models.TradingRun,
) -> None:
    """I-6: bought, sold, paid with another coin, and by hand; to the last digit."""
    flows = QuoteFlows(run)
    fill(run, "BUY")
    assert flows.total() == Decimal("-200.3")
    fill(run, "SELL", "BNB")
    assert flows.total() == Decimal("-0.3")
    by_hand = models.ExternalFill.objects.create(
        run=run,
        symbol=BTC,
        trade_id="9",
        side="SELL",
        price=Decimal(50),
        quantity_base=Decimal(1),
        fee=Decimal("0.05"),
        fee_asset="USDT",
        executed_at=timezone.now(),
        noticed_at=timezone.now(),
    )
    assert flows.total() == QuoteFlows(run).total() == Decimal("49.65")
    models.ExternalFill.objects.filter(pk=by_hand.pk).update(closed_lots=True)
    assert flows.total() == Decimal("-0.3"), "what closed lots is a fill of ours by then"
