"""What an entry is asked right before it leaves: the world may have moved since it was decided.

Exits pass: leaving a position is worth more than any of this, and HALTED stops them elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from engine.ceilings import Ceilings, as_filed
from engine.controls import collar_denial, price_distance
from engine.risk import RiskLimits
from engine.types.bars import Instrument
from engine.types.decisions import Reason
from engine.types.opinions import Side
from engine.types.orders import OrderIntent, OrderStatus, OrderType, Rejection
from trades import models
from trades.core.operating_limits import OperatingLimits

Check = Callable[[OrderIntent], Rejection | None]
# A price that took longer than this to arrive tells of another market (CTL-3).
MAX_REFERENCE_AGE_S = 10.0
_RESTING = (OrderStatus.OPEN, OrderStatus.PARTIAL, OrderStatus.PENDING_CANCEL)
_MEETABLE = (OrderType.LIMIT.value, OrderType.STOP_LIMIT.value)
_REFUSED = (OrderStatus.DENIED, OrderStatus.REJECTED)


def no_checks(intent: OrderIntent) -> Rejection | None:
    """Ask nothing; only for brokers that reach no venue with money on it."""
    return None


class SendChecks:
    """Asks everything of one run's entries; the first refusal counts.

    ``quote`` returns a symbol's best (bid, ask) from the venue, or why it has none.
    """

    def __init__(
        self,
        run: models.TradingRun,
        instruments: Mapping[str, Instrument],
        quote: Callable[[str], tuple[float, float] | str],
        limits: RiskLimits,
        operating: OperatingLimits,
        *,
        clock: Callable[[], Rejection | None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        ceilings: Ceilings = as_filed,
    ) -> None:
        self._ceilings = ceilings
        self._run = run
        self._instruments = instruments
        self._quote = quote
        self._limits = limits
        self._operating = operating
        self._clock = clock
        self._monotonic = monotonic

    def __call__(self, intent: OrderIntent) -> Rejection | None:
        if intent.purpose.reduces_risk:
            return None
        return (
            self._allowed(intent)
            or self._clock()
            or self._repeated(intent)
            or self._own_other_side(intent)
            or self._moved(intent)
        )

    def _allowed(self, intent: OrderIntent) -> Rejection | None:
        """Symbol, side and type are on the lists (CTL-18)."""
        operating = self._operating
        symbols = operating.allowed_symbols or tuple(self._run.symbols)
        types = operating.allowed_order_types or tuple(kind.value for kind in OrderType)
        for code, what, value, allowed in (
            ("SYMBOL_NOT_ALLOWED", "symbol", intent.symbol, symbols),
            ("SIDE_NOT_ALLOWED", "side", intent.side.value, operating.allowed_sides),
            ("TYPE_NOT_ALLOWED", "type", intent.order_type.value, types),
        ):
            if value not in allowed:
                return _denied(code, f"{what} was {value}, allowed: {', '.join(allowed)}")
        if intent.symbol not in self._instruments:
            return _denied("SYMBOL_NOT_ALLOWED", f"the venue lists no {intent.symbol}")
        return None

    def _repeated(self, intent: OrderIntent) -> Rejection | None:
        """The same strategy, symbol, side and size within seconds is a mistake (CTL-8, D-21)."""
        window = timedelta(seconds=self._operating.duplicate_window_s)
        ours = self._orders(intent).filter(client_order_id=intent.client_order_id).first()
        if ours is None:
            return _denied("NOT_WRITTEN", f"order {intent.client_order_id} has no row of its own")
        twin = (
            self._orders(intent)
            .filter(
                strategy=intent.strategy,
                side=intent.side.value,
                purpose=intent.purpose.value,
                quantity_base=intent.quantity_base,
                decided_at__gt=ours.decided_at - window,
                decided_at__lte=ours.decided_at,
                pk__lt=ours.pk,
            )
            .exclude(status__in=_REFUSED)
            # a leg is sent after the one before it has ended, for what that one left
            .exclude(decision_id=ours.decision_id, leg__lt=ours.leg)
            .order_by("-pk")
            .first()
        )
        if twin is None:
            return None
        apart_s = (ours.decided_at - twin.decided_at).total_seconds()
        text = (
            f"order {twin.client_order_id} was the same in symbol, side and size {apart_s:g} s "
            f"before, limit {window.total_seconds():g} s"
        )
        return _denied("DUPLICATE_ORDER", text, apart_s, window.total_seconds())

    def _own_other_side(self, intent: OrderIntent) -> Rejection | None:
        """Never meet an order of our own; a stop that waits cannot be met (CTL-24, D-21)."""
        resting = (
            self._orders(intent)
            .filter(order_type__in=_MEETABLE, status__in=_RESTING)
            .exclude(side=intent.side.value)
        )
        for order in resting.order_by("pk"):
            if _is_at_its_limit(order, intent) and _could_meet(intent, order.limit_price):
                text = (
                    f"{order.side} {order.client_order_id} rests at {order.limit_price} and could "
                    f"meet this {intent.side}"
                )
                return _denied("SELF_TRADE", text)
        return None

    def _moved(self, intent: OrderIntent) -> Rejection | None:
        """The market is still where the decision was made (CTL-3, F-057)."""
        began_s = self._monotonic()
        quote = self._quote(intent.symbol)
        age_s = self._monotonic() - began_s
        if isinstance(quote, str):
            return _denied("NO_REFERENCE", f"the venue's price is not known: {quote}")
        if age_s > MAX_REFERENCE_AGE_S:
            text = f"the venue's price was {age_s:.1f} s old, limit {MAX_REFERENCE_AGE_S:g} s"
            return _denied("REFERENCE_OLD", text, age_s, MAX_REFERENCE_AGE_S)
        bid, ask = quote
        instrument = self._instruments[intent.symbol]
        price = intent.limit_price or intent.reference_price
        limits = self._ceilings(self._limits)
        reason = collar_denial(float(price), (bid + ask) / 2.0, instrument, limits)
        return _of(reason) if reason else self._slipped(intent, ask if _buys(intent) else bid)

    def _slipped(self, intent: OrderIntent, meets: float) -> Rejection | None:
        """A market order takes whatever price is there: not one worse than this (CTL-3)."""
        decided, most = float(intent.reference_price), self._operating.max_slippage
        worse = (meets - decided) * intent.side.sign > 0.0
        distance = price_distance(meets, decided)
        if intent.order_type is not OrderType.MARKET or not worse or distance <= most:
            return None
        text = (
            f"the market was at {meets:.8g}, {distance:.4f} worse than {decided:.8g} of the "
            f"decision, limit {most:g}"
        )
        return _denied("SLIPPAGE", text, distance, most)

    def _orders(self, intent: OrderIntent) -> Any:
        return models.Order.objects.filter(run=self._run, symbol=intent.symbol)


def _buys(intent: OrderIntent) -> bool:
    return intent.side is Side.BUY


def _is_at_its_limit(order: models.Order, intent: OrderIntent) -> bool:
    """False for a stop-limit whose stop the price has not reached: it rests for nobody yet."""
    if order.order_type != OrderType.STOP_LIMIT or order.stop_price is None:
        return True
    return Side(order.side).sign * (intent.reference_price - order.stop_price) >= 0


def _could_meet(intent: OrderIntent, resting: Decimal | None) -> bool:
    if intent.order_type.has_trigger:
        return False
    if intent.limit_price is None or resting is None:
        return True
    return (intent.limit_price - resting) * intent.side.sign >= 0


def _of(reason: Reason) -> Rejection:
    return _denied(reason.code, reason.text, reason.value, reason.limit)


def _denied(
    code: str, text: str, value: float | None = None, limit: float | None = None
) -> Rejection:
    return Rejection(code, text, by_venue=False, value=value, limit=limit)
