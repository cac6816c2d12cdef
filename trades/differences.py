"""What a balance that differs from our books is worth, and what it calls for (CTL-16)."""

from __future__ import annotations

from decimal import Decimal

from engine.ports import TradingState
from engine.types.bars import Instrument
from market.models import Candle
from trades import models
from trades.alerts import Alert
from trades.core.operating_limits import OperatingLimits

CODE = "BALANCE_DIFFERENCE"


def judged_difference(
    run: models.TradingRun,
    instrument: Instrument,
    difference_base: Decimal,
    limits: OperatingLimits,
) -> Alert | None:
    """Return the alert a difference calls for, with a brake where it is too large to trade on.

    None where it is below what is told. One that cannot be valued brakes: what cannot be evaluated
    denies (D-03).
    """
    text = f"the venue holds {difference_base:+f} {instrument.base} more than our books"
    share = _share_of_equity(run, instrument.symbol, difference_base)
    if share is None:
        unknown = f"{text}; what that is worth is not known"
        return Alert(CODE, instrument.base, unknown, brake=TradingState.REDUCING)
    if share <= limits.difference_alert:
        return None
    text = f"{text}, {share:.4%} of equity"
    if share <= limits.difference_reduce:
        return Alert(CODE, instrument.base, f"{text}, alert above {limits.difference_alert:.2%}")
    text = f"{text}, no entries above {limits.difference_reduce:.2%}"
    return Alert(CODE, instrument.base, text, brake=TradingState.REDUCING)


def _share_of_equity(run: models.TradingRun, symbol: str, difference_base: Decimal) -> float | None:
    price = _price(run, symbol)
    point = models.EquityPoint.objects.filter(run=run).order_by("-at").first()
    if price is None or point is None or point.equity_quote <= 0:
        return None
    return float(abs(difference_base) * price / point.equity_quote)


def _price(run: models.TradingRun, symbol: str) -> Decimal | None:
    """Return the last close, else the last price an order of ours was decided at."""
    of_market = Candle.objects.filter(
        instrument__venue=run.venue, instrument__symbol=symbol, timeframe_ms=run.timeframe_ms
    )
    close = of_market.order_by("-opened_at").values_list("close", flat=True).first()
    if close is not None:
        return Decimal(repr(close))
    orders = models.Order.objects.filter(run=run, symbol=symbol).order_by("-pk")
    return orders.values_list("reference_price", flat=True).first()
