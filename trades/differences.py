"""What a balance that differs from our books is worth, and what it calls for (CTL-16)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from engine.ports import TradingState
from engine.types.opinions import Side
from market.models import Candle
from trades import models
from trades.alerts import Alert
from trades.core.operating_limits import OperatingLimits

CODE = "BALANCE_DIFFERENCE"


@dataclass(frozen=True, slots=True)
class Difference:
    """One asset as the venue and as our books have it; ``symbol`` is the market that values it,
    empty for the quote. ``on_its_way`` is what transfers that are not done explain of it."""

    asset: str
    held: Decimal
    expected: Decimal
    symbol: str = ""
    on_its_way: Decimal = Decimal(0)

    @property
    def amount(self) -> Decimal:
        """What the venue holds more than our books and what is on its way."""
        return self.held - self.expected - self.on_its_way


def judged_difference(
    run: models.TradingRun, found: Difference, limits: OperatingLimits
) -> Alert | None:
    """Return the alert a difference calls for, with a brake where it is too large to trade on.

    None where it is below what is told. One that cannot be valued brakes: what cannot be evaluated
    denies (D-03).
    """
    asset = found.asset
    text = (
        f"the venue holds {found.held:f} {asset}, our books {found.expected:f}: "
        f"{found.amount:+f} {asset}"
    )
    if found.on_its_way:
        text += f" besides {found.on_its_way:+f} that is on its way"
    share = share_of_equity(run, found)
    if share is None:
        unknown = f"{text}; what that is worth is not known"
        return Alert(CODE, asset, unknown, brake=TradingState.REDUCING)
    if share <= limits.difference_alert:
        return None
    text = f"{text}, {share:.4%} of equity"
    if share <= limits.difference_reduce:
        return Alert(CODE, asset, f"{text}, alert above {limits.difference_alert:.2%}")
    text = f"{text}, no entries above {limits.difference_reduce:.2%}"
    return Alert(CODE, asset, text, brake=TradingState.REDUCING)


def share_of_equity(run: models.TradingRun, found: Difference) -> float | None:
    """Return what a difference is worth as a fraction of equity >= 0, None where nobody knows."""
    price = _price(run, found.symbol) if found.symbol else Decimal(1)
    point = models.EquityPoint.objects.filter(run=run).order_by("-at").first()
    if price is None or point is None or point.equity_quote <= 0:
        return None
    return float(abs(found.amount) * price / point.equity_quote)


class QuoteFlows:
    """What trades have added to the account's quote since the run began: of orders of ours, and by
    other hands. Exact; fees count where they were taken in the quote.

    What a venue rounds in each cost stays far below what is told. Fills are only ever added, so
    each is read once a session.
    """

    def __init__(self, run: models.TradingRun) -> None:
        self._run = run
        self._of_fills = Decimal(0)
        self._newest_fill_id = 0

    def total(self) -> Decimal:
        """Return the sum as of now, in quote."""
        fresh = models.Fill.objects.filter(run=self._run, pk__gt=self._newest_fill_id)
        for fill in fresh.order_by("pk").iterator(chunk_size=2000):
            self._of_fills += self._flow(fill)
            self._newest_fill_id = fill.pk
        # what closed lots is among our fills already; what did not may still be found to have
        others = models.ExternalFill.objects.filter(run=self._run, closed_lots=False)
        return sum((self._flow(fill) for fill in others), self._of_fills)

    def _flow(self, fill: models.Fill | models.ExternalFill) -> Decimal:
        paid: Decimal = Side(fill.side).sign * fill.price * fill.quantity_base
        return -paid - (fill.fee if fill.fee_asset == self._run.quote else Decimal(0))


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
