"""How entries are sent, and what becomes of those that do not fill.

A limit order that takes at once is over when it is answered: what its limit did not allow is given
up, because a missed entry is cheap and a chased one is not. One that waits and is not filled within
its time is cancelled. Once it has ended, its fills first, what is left of it is priced anew from
the market as the next leg, a stated number of times; then the rest is given up. Nothing of this
adds to what the decision wanted (F-018).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum

from engine.client_ids import RunIdentity, client_order_id
from engine.types.bars import EventKind, Instrument, MarketEvent
from engine.types.opinions import Side
from engine.types.orders import OrderIntent, OrderType, Purpose

_BPS = Decimal("0.0001")


class EntryType(StrEnum):
    MARKET = "market"
    LIMIT = "limit"
    IOC_LIMIT = "ioc_limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRules:
    """``limit_offset_bps`` >= 0 is how far on the better side of the price a limit order waits;
    ``timeout_bars`` >= 1 how long each leg may wait, ``reprice_times`` >= 0 how many legs follow
    the first. An ``IOC_LIMIT`` pays at most ``max_slippage_bps`` >= 0 more than the price it was
    decided at."""

    entry_type: EntryType = EntryType.MARKET
    limit_offset_bps: Decimal = Decimal(0)
    max_slippage_bps: Decimal = Decimal(50)
    timeout_bars: int = 3
    reprice_times: int = 2

    def __post_init__(self) -> None:
        for name in ("limit_offset_bps", "max_slippage_bps"):
            value = getattr(self, name)
            if not value.is_finite() or value < 0:
                raise ValueError(f"{name} must be 0 or more, was {value}")
        if self.timeout_bars < 1 or self.reprice_times < 0:
            raise ValueError(
                "timeout_bars must be 1 or more and reprice_times 0 or more, "
                f"were {self.timeout_bars} and {self.reprice_times}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Entering:
    """What the desk looks at: orders that may still fill, what has filled of an order by its name,
    a symbol's last price, and whether a strategy may enter a symbol now."""

    orders: Sequence[OrderIntent]
    filled_base: Callable[[str], Decimal]
    mark: Callable[[str], Decimal | None]
    may_enter: Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class EntryPlan:
    """Entries to cancel, each with the reason, and entries priced anew."""

    cancels: tuple[tuple[OrderIntent, str], ...] = ()
    new: tuple[OrderIntent, ...] = ()


class EntryDesk:
    """Shapes the entries of one book and follows those that wait.

    What it remembers are the orders it has cancelled. A restart forgets them: the rest of such an
    entry is then not priced anew, and a missed entry is cheap.
    """

    def __init__(
        self, rules: EntryRules, identity: RunIdentity, instruments: Mapping[str, Instrument]
    ) -> None:
        self._rules = rules
        self._identity = identity
        self._instruments = dict(instruments)
        self._ending: dict[str, OrderIntent] = {}

    def shape(self, intent: OrderIntent) -> OrderIntent:
        """Return a decision's intent as it is to be sent; an exit goes to the market as it is."""
        kind = self._rules.entry_type
        if kind is EntryType.MARKET or intent.purpose is not Purpose.ENTRY:
            return intent
        if kind is EntryType.IOC_LIMIT:
            worst = self._moved(intent, intent.reference_price, -self._rules.max_slippage_bps)
            return replace(intent, order_type=OrderType.IOC_LIMIT, limit_price=worst)
        price = self._limit(intent, intent.reference_price)
        if price is None:
            return intent
        return replace(intent, order_type=OrderType.LIMIT, limit_price=price)

    @property
    def is_waiting(self) -> bool:
        """True where an entry that was cancelled may have to be priced anew."""
        return bool(self._ending)

    def plan(self, entering: Entering, event: MarketEvent) -> EntryPlan:
        """Return which entries have waited long enough, and the next legs of those that ended."""
        open_ids = {order.client_order_id for order in entering.orders}
        new = []
        for name, order in list(self._ending.items()):
            # a bar of its symbol prices anew, so that every wiring does so at the same moment
            if name in open_ids or event.kind is not EventKind.BAR or event.symbol != order.symbol:
                continue
            del self._ending[name]
            leg = self._next_leg(order, entering)
            if leg is not None:
                new.append(leg)
        cancels = []
        for order in entering.orders:
            if not _waits(order) or order.client_order_id in self._ending:
                continue
            reason, is_over = self._end_of(order, entering, event)
            if reason:
                wanted = order.quantity_base + entering.filled_base(order.client_order_id)
                whole = replace(order, quantity_base=wanted)
                if not is_over:
                    self._ending[order.client_order_id] = whole
                cancels.append((order, reason))
        return EntryPlan(tuple(cancels), tuple(new))

    def _end_of(
        self, order: OrderIntent, entering: Entering, event: MarketEvent
    ) -> tuple[str, bool]:
        """Return why the order is to end, empty where it may wait, and whether for good."""
        if not entering.may_enter(order.symbol, order.strategy):
            return "no entry may be made any more", True
        rules, bar_ms = self._rules, self._identity.timeframe_ms
        if event.kind is not EventKind.BAR or event.symbol != order.symbol:
            return "", False
        # each leg before this one waited its time, and one bar passed until the next was sent
        bars = order.leg * (rules.timeout_bars + 1) + rules.timeout_bars
        if event.ts_ms < order.decided_at_ms + bars * bar_ms:
            return "", False
        waited = f"not filled within {rules.timeout_bars} bars"
        if order.leg >= rules.reprice_times:
            return f"{waited} at the last of {order.leg + 1} prices: given up", True
        return f"{waited}, to be priced anew", False

    def _next_leg(self, order: OrderIntent, entering: Entering) -> OrderIntent | None:
        """Return the next leg with what is left, None where nothing worth an order is."""
        mark = entering.mark(order.symbol)
        left = order.quantity_base - entering.filled_base(order.client_order_id)
        if mark is None or not entering.may_enter(order.symbol, order.strategy):
            return None
        price = self._limit(order, mark)
        if price is None or left <= 0:
            return None
        instrument = self._instruments[order.symbol]
        left = instrument.quantity(left * _room(order, price))
        if left < max(instrument.min_quantity_base, instrument.lot_size):
            return None
        if left * price < instrument.min_notional_quote:
            return None
        identity, leg = self._identity, order.leg + 1
        return replace(
            order,
            client_order_id=client_order_id(
                identity.installation,
                identity.account,
                identity.run_code,
                order.strategy,
                order.symbol,
                order.decided_at_ms,
                leg,
            ),
            quantity_base=left,
            limit_price=price,
            leg=leg,
        )

    def _limit(self, intent: OrderIntent, price: Decimal) -> Decimal | None:
        """Return the limit on the better side of ``price``, on the tick; None where it would lie
        at or beyond the entry's own stop."""
        sign = intent.side.sign
        limit = self._moved(intent, price, self._rules.limit_offset_bps)
        stop = intent.stop_price
        return None if stop is not None and sign * (limit - stop) <= 0 else limit

    def _moved(self, intent: OrderIntent, price: Decimal, better_bps: Decimal) -> Decimal:
        """Return ``price`` moved to the order's better side, on the tick, never rounded against."""
        rounding = ROUND_FLOOR if intent.side is Side.BUY else ROUND_CEILING
        moved = price * (1 - intent.side.sign * better_bps * _BPS)
        return self._instruments[intent.symbol].price(moved, rounding)


def _room(order: OrderIntent, price: Decimal) -> Decimal:
    """Return the share, at most 1, that costs and risks no more at ``price`` than was decided."""
    share = min(Decimal(1), order.reference_price / price)
    stop, sign = order.stop_price, order.side.sign
    if stop is None or sign * (order.reference_price - stop) <= 0:
        return share
    return min(share, (order.reference_price - stop) / (price - stop))


def _waits(order: OrderIntent) -> bool:
    return order.purpose is Purpose.ENTRY and order.order_type is OrderType.LIMIT
