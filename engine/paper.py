"""A broker on paper: fills from the event's book, or from the next bar where there is none."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine.kill_switch import Barred, nothing_barred
from engine.matching import (
    FeeIn,
    fee_of,
    is_worse,
    next_open_fill,
    resting_fill,
    slipped,
    touch_position,
    waits_below,
    walk_book,
)
from engine.types.bars import Bar, FloatColumn, Instrument, MarketEvent
from engine.types.ledger import ZERO
from engine.types.orders import (
    Fill,
    OrderIntent,
    OrderState,
    OrderStatus,
    OrderType,
    Rejection,
    SubmitResult,
)


@dataclass(slots=True)
class _Order:
    """An accepted order and what became of it so far; ``is_triggered`` is said of a stop-limit
    whose stop was reached and that waits at its limit."""

    intent: OrderIntent
    status: OrderStatus
    ts_ms: int
    filled_base: Decimal = ZERO
    cost_quote: Decimal = ZERO
    fills: int = 0
    is_triggered: bool = False

    @property
    def left(self) -> Decimal:
        return self.intent.quantity_base - self.filled_base

    @property
    def waits_for(self) -> tuple[OrderType, Decimal | None]:
        """How and at what price the order meets a bar."""
        intent = self.intent
        if self.is_triggered or not intent.order_type.has_trigger:
            return OrderType.LIMIT, intent.limit_price
        return intent.order_type, intent.trigger_price


@dataclass(frozen=True, slots=True)
class Resting:
    """An order from before a restart: what of it is booked, in base units, quote and fills."""

    intent: OrderIntent
    filled_base: Decimal = ZERO
    cost_quote: Decimal = ZERO
    fills: int = 0
    is_triggered: bool = False


class PaperBroker:
    """Broker port with its own fills; deterministic given intents and events.

    A market order with a book fills at once against it, and what the book cannot give is
    cancelled. Without a book it fills whole at the next bar's open, slipped by ``slippage_bps``.
    An IOC_LIMIT does the same within its limit, and ends where that open lies beyond it. A limit
    order takes what the book offers within its limit and rests with the remainder; an order with
    a trigger (an exit) rests. Resting orders fill whole on the first later bar of their symbol
    that touches them, in the order of the bar's path; a triggered fill is slipped only where that
    bar has no book, and a stop-limit's never beyond its limit. One that is triggered beyond its
    limit rests there from the next bar on.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        fee_in: FeeIn = FeeIn.QUOTE,
        slippage_bps: Decimal = ZERO,
        resting: Sequence[Resting] = (),
        due: Sequence[tuple[Fill, OrderIntent]] = (),
        barred: Barred = nothing_barred,
    ) -> None:
        """``resting`` are orders accepted before a restart whose fills are not all booked; ``due``
        are fills of before it that nobody was told of. ``barred`` is the kill switch, asked right
        before an order is taken.

        Raises:
            ValueError: the slippage is not finite or negative.
        """
        if not slippage_bps.is_finite() or slippage_bps < 0:
            raise ValueError(f"slippage_bps must be 0 or more, was {slippage_bps}")
        self._instruments = dict(instruments)
        self._fee_in = fee_in
        self._slippage_bps = slippage_bps
        self._barred = barred
        self._orders: dict[str, _Order] = {}
        self._waiting: dict[str, list[_Order]] = {}
        self._due: list[tuple[Fill, OrderIntent]] = list(due)
        for known in resting:
            self._wait(_restored(known))

    def fills_at(self, event: MarketEvent) -> Sequence[tuple[Fill, OrderIntent]]:
        """Return what filled since the last call and what this event's bar fills."""
        if event.bar is not None and self._waiting.get(event.symbol):
            self._match(event, event.bar)
        if not self._due:
            return ()
        due, self._due = self._due, []
        return due

    def submit(self, intent: OrderIntent, event: MarketEvent) -> SubmitResult:
        """Accept, fill or refuse one intent; a repeated client order id only reports."""
        known = self._orders.get(intent.client_order_id)
        if known is not None:
            return _state(known)
        refused = self._barred(intent) or self._refusal(intent)
        if refused is not None:
            return refused
        order = _Order(intent, OrderStatus.OPEN, event.ts_ms)
        self._orders[intent.client_order_id] = order
        # Another symbol's event may carry an intent (a flatten): its book is not ours.
        if event.symbol == intent.symbol and not intent.order_type.has_trigger:
            self._take(order, event)
        if order.left > 0 and order.status is not OrderStatus.CANCELED:
            self._wait(order)
        return _state(order)

    def cancel(
        self, client_order_id: str, event: MarketEvent, reason: str = ""
    ) -> OrderState | Rejection:
        """Cancel what is left of an order; its fills stay. The reason is for brokers with rows."""
        order = self._orders.get(client_order_id)
        if order is None:
            return Rejection("UNKNOWN_ORDER", f"no order has client id {client_order_id}")
        if not order.status.is_terminal:
            order.status, order.ts_ms = OrderStatus.CANCELED, event.ts_ms
            self._waiting[order.intent.symbol].remove(order)
        return _state(order)

    def waiting(self) -> Sequence[OrderIntent]:
        """Nothing has to wait here: an order ends at once when it is cancelled."""
        return ()

    def has_news(self) -> bool:
        """True where an order filled as it was sent and nobody was told yet."""
        return bool(self._due)

    def open_intents(self) -> Sequence[OrderIntent]:
        """Return what is left of intents that may still fill, oldest first in each symbol."""
        if not any(self._waiting.values()):
            return ()
        return tuple(
            order.intent.remainder(order.filled_base)
            for symbol in sorted(self._waiting)
            for order in self._waiting[symbol]
        )

    def jumped(self) -> Collection[str]:
        """Return the names of stop-limits that were triggered beyond their limit and wait there."""
        return [
            order.intent.client_order_id
            for waiting in self._waiting.values()
            for order in waiting
            if order.is_triggered
        ]

    def untouched(self, symbol: str, lows: FloatColumn, highs: FloatColumn) -> int:
        """Return how many of a symbol's next bars, from the first on, no waiting order can meet;
        0 where one waits for something else than its price."""
        n_bars = len(lows)
        for order in self._waiting.get(symbol, ()):
            if order.is_triggered or not order.intent.is_resting_protection:
                return 0
            n_bars = _bars_before(order, lows[:n_bars].tolist(), highs[:n_bars].tolist())
        return n_bars

    def resting(self) -> tuple[Resting, ...]:
        """Return what waits, as a broker of after a restart needs it."""
        return tuple(
            Resting(o.intent, o.filled_base, o.cost_quote, o.fills, o.is_triggered)
            for symbol in sorted(self._waiting)
            for o in self._waiting[symbol]
        )

    def due(self) -> tuple[tuple[Fill, OrderIntent], ...]:
        """Return fills that ``fills_at`` has not told of yet."""
        return tuple(self._due)

    def _wait(self, order: _Order) -> None:
        self._orders[order.intent.client_order_id] = order
        self._waiting.setdefault(order.intent.symbol, []).append(order)

    def _refusal(self, intent: OrderIntent) -> Rejection | None:
        """What a venue's filters would refuse, with the numbers."""
        instrument = self._instruments.get(intent.symbol)
        if instrument is None:
            return Rejection("UNKNOWN_SYMBOL", f"symbol {intent.symbol} is not traded here")
        quantity = intent.quantity_base
        if quantity <= 0 or quantity % instrument.lot_size != 0:
            step = instrument.lot_size
            return Rejection("LOT_SIZE", f"quantity {quantity} off the lot grid, lot was {step}")
        if quantity < instrument.min_quantity_base:
            least = instrument.min_quantity_base
            return Rejection("MIN_QUANTITY", f"quantity {quantity} too small, minimum was {least}")
        kind = intent.order_type
        lacks_limit = kind.has_limit and intent.limit_price is None
        if lacks_limit or (kind.has_trigger and intent.trigger_price is None):
            return Rejection("NO_PRICE", f"a {kind} order needs its price, was None")
        if kind.has_trigger and not intent.purpose.reduces_risk:
            return Rejection("STOP_ENTRY", f"a {kind} order must be an exit, purpose was entry")
        own_price = intent.limit_price if kind.has_limit else intent.trigger_price
        notional = quantity * (own_price or intent.reference_price)
        if notional < instrument.min_notional_quote:
            least = instrument.min_notional_quote
            return Rejection("MIN_NOTIONAL", f"notional {notional} too small, minimum was {least}")
        return None

    def _take(self, order: _Order, event: MarketEvent) -> None:
        """Fill at once from the event's book; the rest of what never rests is cancelled."""
        intent, book = order.intent, event.book
        if book is None:
            return
        instrument = self._instruments[intent.symbol]
        limit = intent.limit_price if intent.order_type.has_limit else None
        for price, quantity in walk_book(intent.side, order.left, book, instrument, limit):
            self._fill(order, price, quantity, event.ts_ms, is_maker=False)
        if order.left > 0 and intent.order_type.takes_at_once:
            order.status = OrderStatus.CANCELED

    def _match(self, event: MarketEvent, bar: Bar) -> None:
        """Fill what this bar touches, in the order of its path, then of submission."""
        touched: list[tuple[float, int, _Order, Decimal]] = []
        waiting = self._waiting[event.symbol]
        for place, order in enumerate(waiting):
            touch = _touch(order, bar)
            if touch is not None:
                touched.append((touch[0], place, order, touch[1]))
        for _, _, order, price in sorted(touched, key=lambda t: t[:2]):
            self._fill_from_bar(order, price, event, bar)
        self._waiting[event.symbol] = [order for order in waiting if not order.status.is_terminal]

    def _fill_from_bar(self, order: _Order, price: Decimal, event: MarketEvent, bar: Bar) -> None:
        kind = order.intent.order_type
        if kind.takes_at_once:
            self._take_open(order, bar)
        elif kind.has_trigger and not order.is_triggered:
            self._trigger(order, price, event)
        else:
            is_maker = price == order.intent.limit_price
            self._fill(order, price, order.left, event.ts_ms, is_maker=is_maker)

    def _take_open(self, order: _Order, bar: Bar) -> None:
        """Fill at the bar's open, or end where that is beyond the order's limit."""
        intent = order.intent
        instrument = self._instruments[intent.symbol]
        price = next_open_fill(intent.side, bar, instrument, self._slippage_bps)
        if intent.limit_price is not None and is_worse(intent.side, price, intent.limit_price):
            order.status, order.ts_ms = OrderStatus.EXPIRED, bar.ts_ms
            return
        self._fill(order, price, order.left, bar.ts_ms, is_maker=False)

    def _trigger(self, order: _Order, price: Decimal, event: MarketEvent) -> None:
        """Let the market take an order whose price was reached, or let it rest at its limit."""
        side, limit = order.intent.side, order.intent.limit_price
        if limit is not None and is_worse(side, price, limit):
            order.is_triggered, order.ts_ms = True, event.ts_ms
            return
        if event.book is None:
            instrument = self._instruments[order.intent.symbol]
            price = slipped(side, price, instrument, self._slippage_bps)
            if limit is not None and is_worse(side, price, limit):
                price = limit
        self._fill(order, price, order.left, event.ts_ms, is_maker=False)

    def _fill(
        self, order: _Order, price: Decimal, quantity: Decimal, ts_ms: int, *, is_maker: bool
    ) -> None:
        intent = order.intent
        instrument = self._instruments[intent.symbol]
        fee, asset = fee_of(price, quantity, intent.side, instrument, is_maker, self._fee_in)
        fill = Fill(
            trade_id=f"paper:{intent.client_order_id}:{order.fills}",
            client_order_id=intent.client_order_id,
            symbol=intent.symbol,
            side=intent.side,
            price=price,
            quantity_base=quantity,
            fee=fee,
            fee_asset=asset,
            ts_ms=ts_ms,
            is_maker=is_maker,
        )
        order.fills += 1
        order.filled_base += quantity
        order.cost_quote += price * quantity
        order.ts_ms = ts_ms
        order.status = OrderStatus.PARTIAL if order.left > 0 else OrderStatus.FILLED
        self._due.append((fill, intent))


def _restored(known: Resting) -> _Order:
    status = OrderStatus.PARTIAL if known.fills else OrderStatus.OPEN
    decided_at_ms = known.intent.decided_at_ms
    filled, cost = known.filled_base, known.cost_quote
    fills, is_triggered = known.fills, known.is_triggered
    return _Order(known.intent, status, decided_at_ms, filled, cost, fills, is_triggered)


def _bars_before(order: _Order, lows: Sequence[float], highs: Sequence[float]) -> int:
    """Return how many bars lie wholly on the near side of the price an order waits for.

    The nearest float of a price is never beyond a float that the price itself is not beyond.
    """
    kind, own_price = order.waits_for
    if own_price is None:
        return 0
    level = float(own_price)
    if waits_below(order.intent.side, kind):
        met = (row for row, low in enumerate(lows) if low <= level)
    else:
        met = (row for row, high in enumerate(highs) if high >= level)
    return next(met, len(lows))


def _touch(order: _Order, bar: Bar) -> tuple[float, Decimal] | None:
    """Where on the bar's path and at what price an order meets it; what never rests at the open."""
    side = order.intent.side
    if order.intent.order_type.takes_at_once:
        return 0.0, Decimal(repr(bar.open))
    kind, own_price = order.waits_for
    if own_price is None:
        return None
    position = touch_position(side, kind, own_price, bar)
    price = resting_fill(side, kind, own_price, bar)
    return (position, price) if position is not None and price is not None else None


def _state(order: _Order) -> OrderState:
    average = order.cost_quote / order.filled_base if order.filled_base else None
    return OrderState(
        client_order_id=order.intent.client_order_id,
        venue_order_id=f"paper:{order.intent.client_order_id}",
        status=order.status,
        filled_base=order.filled_base,
        average_price=average,
        ts_ms=order.ts_ms,
    )
