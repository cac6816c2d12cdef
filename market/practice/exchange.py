"""The practice exchange's rules: accept, fill, rest, trigger, cancel. No network in here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import ROUND_UP, Decimal

from engine.matching import FeeIn, fee_of, is_worse, resting_fill, touch_position, walk_book
from engine.types.bars import Bar, Book, Instrument
from engine.types.opinions import Side
from engine.types.orders import OrderType
from market.practice.ledger import ZERO, Ledger, VenueFill, VenueOrder
from market.practice.problems import (
    VenueError,
    cancel_rejected,
    insufficient_balance,
    no_such_order,
    rejected,
    unknown_symbol,
)
from market.practice.request import NewOrder, check_filters
from market.practice.tape import Tape, bar_closing_at, last_bar
from market.sources.synthetic import synthetic_book

_LOCK_STEP = Decimal("0.00000001")
_ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Report:
    """What happened to an order: NEW, TRADE, CANCELED or EXPIRED, with the fill of a TRADE."""

    what: str
    order: VenueOrder
    fill: VenueFill | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """An accepted order as it stands now, its fills, and the reports to send."""

    order: VenueOrder
    fills: tuple[VenueFill, ...]
    reports: tuple[Report, ...]


class Exchange:
    """Matches orders against the seeded book of the last closed bar and against closing bars.

    ``fill_fraction`` is asked once per matched order: another number than 1 is a fault (a part is
    filled, or more than was ordered).
    ``unique_forever`` is asked once per new order: True refuses a client id that was ever used.
    """

    def __init__(
        self,
        tape: Tape,
        ledger: Ledger,
        *,
        seed: int,
        fee_in: FeeIn,
        fill_fraction: Callable[[], Decimal],
        unique_forever: Callable[[], bool],
    ) -> None:
        self.tape = tape
        self.ledger = ledger
        self.instruments = dict(tape.instruments)
        self.halted: set[str] = set()
        self.delisted: dict[str, Instrument] = {}
        self._seed = seed
        self._fee_in = fee_in
        self._fill_fraction = fill_fraction
        self._unique_forever = unique_forever

    def instrument(self, market_id: str) -> Instrument:
        """Return the instrument of ``BTCUSDT``; raises VenueError where it is not listed."""
        for symbol, instrument in self.instruments.items():
            if symbol.replace("/", "") == market_id:
                return instrument
        raise unknown_symbol()

    def delist(self, symbol: str) -> None:
        """Know the symbol no longer; what rests in it stays as it is, what is held stays."""
        self.delisted[symbol] = self.instruments.pop(symbol)

    def list_again(self, symbol: str) -> None:
        """Know a symbol that was delisted again; nothing where it was not."""
        if symbol in self.delisted:
            self.instruments[symbol] = self.delisted.pop(symbol)

    def book(self, symbol: str, close_ms: int) -> Book:
        """Return the book after the newest bar closed by ``close_ms``; empty before the first."""
        bar = last_bar(self.tape, symbol, close_ms)
        if bar is None:
            return Book(close_ms, (), ())
        # The tape's own instrument: a changed filter must not change the book replay sees.
        return synthetic_book(self._seed, self.tape.instruments[symbol], bar, close_ms)

    def place(self, new: NewOrder, *, close_ms: int, now_ms: int, source: str = "api") -> Placed:
        """Accept an order, match it at once where it can be, and commit.

        Raises:
            VenueError: a filter, the balance or a rule refuses it; nothing was stored.
        """
        symbol = new.instrument.symbol
        if symbol in self.halted:
            raise VenueError(-1013, "Market is closed.")
        self._refuse_duplicate(new.client_id)
        book = self.book(symbol, close_ms)
        last = self._last_price(symbol, close_ms)
        quantity = new.quantity or _affordable(new, book)
        check_filters(new, quantity, last)
        taken = self._taken_at_once(new, quantity, book, last)
        order = _opened(new, quantity, now_ms, source)
        self._refuse_unpayable(new, order, taken)
        with self.ledger.transaction():
            order = self.ledger.add_order(order)
            reports = [Report("NEW", order)]
            for price, piece in taken:
                order, fill = self._execute(order, price, piece, is_maker=False, ts_ms=now_ms)
                reports.append(Report("TRADE", order, fill))
            order = self._settle(new, order, now_ms)
            if order.status == "EXPIRED":
                reports.append(Report("EXPIRED", order))
        fills = tuple(report.fill for report in reports if report.fill is not None)
        return Placed(order, fills, tuple(reports))

    def cancel(self, symbol: str, order_id: int | None, client_id: str, now_ms: int) -> VenueOrder:
        """Cancel an open order and release what it held; raises VenueError where none is open."""
        order = self._find(symbol, order_id, client_id)
        if order is None or not order.is_open:
            raise cancel_rejected()
        with self.ledger.transaction():
            return self._close(order, "CANCELED", now_ms)

    def fill_resting(
        self, symbol: str, order_id: int | None, client_id: str, fraction: Decimal, now_ms: int
    ) -> tuple[Report, ...]:
        """Fill part of a resting limit order at its price, as if somebody had just taken it."""
        order = self._find(symbol, order_id, client_id)
        if order is None or not order.is_open or not order.triggered:
            return ()
        instrument = self.instruments[symbol]
        quantity = instrument.quantity(order.remaining * fraction) or order.remaining
        with self.ledger.transaction():
            order, fill = self._execute(order, order.price, quantity, is_maker=True, ts_ms=now_ms)
        return (Report("TRADE", order, fill),)

    def query(self, symbol: str, order_id: int | None, client_id: str) -> VenueOrder:
        order = self._find(symbol, order_id, client_id)
        if order is None:
            raise no_such_order()
        return order

    def step(self, close_ms: int) -> list[Report]:
        """Let the bars that close then meet the resting orders; commit with the clock."""
        reports: list[Report] = []
        with self.ledger.transaction():
            for symbol in self.tape.instruments:
                bar = bar_closing_at(self.tape, symbol, close_ms)
                trades = symbol in self.instruments and symbol not in self.halted
                if bar is not None and trades:
                    reports += self._match_bar(symbol, bar, close_ms)
            self.ledger.set_meta("close_ms", str(close_ms))
        return reports

    def _match_bar(self, symbol: str, bar: Bar, close_ms: int) -> list[Report]:
        touched = []
        for order in self.ledger.open_orders(symbol):
            at = touch_position(Side(order.side), *_waits_for(order), bar)
            if at is not None:
                touched.append((at, order.order_id, order))
        reports: list[Report] = []
        for _, _, order in sorted(touched, key=lambda entry: entry[:2]):
            reports += self._match_resting(order, bar, close_ms)
        return reports

    def _match_resting(self, order: VenueOrder, bar: Bar, close_ms: int) -> list[Report]:
        side = Side(order.side)
        price = resting_fill(side, *_waits_for(order), bar)
        if price is None:
            return []
        if not order.triggered:
            order = replace(order, triggered=True, updated_ms=close_ms)
            if order.price > 0 and is_worse(side, price, order.price):
                # Triggered beyond its limit: it rests as a limit order from the next bar on.
                self.ledger.update_order(order)
                return [Report("NEW", order)]
            is_maker = False
        else:
            is_maker = True
        quantity = self._part_of(order.remaining, self.instruments[order.symbol])
        if not self._can_pay(order, price, quantity, is_maker):
            return [Report("EXPIRED", self._close(order, "EXPIRED", close_ms))]
        order, fill = self._execute(order, price, quantity, is_maker=is_maker, ts_ms=close_ms)
        return [Report("TRADE", order, fill)]

    def _taken_at_once(
        self, new: NewOrder, quantity: Decimal, book: Book, last: Decimal
    ) -> tuple[tuple[Decimal, Decimal], ...]:
        if new.is_stop:
            _refuse_immediate_trigger(new, last)
            return ()
        limit = new.price if new.price > 0 else None
        taken = walk_book(new.side, quantity, book, new.instrument, limit)
        if new.kind == "LIMIT_MAKER":
            if taken:
                raise rejected("Order would immediately match and take.")
            return ()
        if not taken:
            return ()
        share = self._fill_fraction()
        if share != _ONE:
            part = new.instrument.quantity(sum(q for _, q in taken) * share)
            taken = walk_book(new.side, part, book, new.instrument, limit)
        filled = sum((piece for _, piece in taken), ZERO)
        return () if new.time_in_force == "FOK" and filled < quantity else taken

    def _part_of(self, quantity: Decimal, instrument: Instrument) -> Decimal:
        share = self._fill_fraction()
        return quantity if share == _ONE else instrument.quantity(quantity * share) or quantity

    def _settle(self, new: NewOrder, order: VenueOrder, now_ms: int) -> VenueOrder:
        """Let what was not taken at once rest, or end it."""
        if order.status == "FILLED":
            return order
        if new.kind == "MARKET" or new.time_in_force in ("IOC", "FOK"):
            return self._close(order, "EXPIRED", now_ms)
        return self._relock(order)

    def _execute(
        self, order: VenueOrder, price: Decimal, quantity: Decimal, *, is_maker: bool, ts_ms: int
    ) -> tuple[VenueOrder, VenueFill]:
        """Book one fill: release what was held for it, pay, receive, charge the fee."""
        instrument, side = self.instruments[order.symbol], Side(order.side)
        fee, fee_asset = fee_of(price, quantity, side, instrument, is_maker, self._fee_in)
        executed = order.executed + quantity
        status = "FILLED" if executed >= order.quantity else "PARTIALLY_FILLED"
        order = replace(
            order,
            executed=executed,
            executed_quote=order.executed_quote + price * quantity,
            status=status,
            updated_ms=ts_ms,
        )
        if order.locked > 0:
            order = self._relock(order)
        self.ledger.move(instrument.base, free=side.sign * quantity)
        self.ledger.move(instrument.quote, free=-side.sign * price * quantity)
        self.ledger.move(fee_asset, free=-fee)
        self.ledger.update_order(order)
        fill = VenueFill(
            0, order.order_id, order.symbol, side, price, quantity, fee, fee_asset, is_maker, ts_ms
        )
        return order, self.ledger.add_fill(fill)

    def _close(self, order: VenueOrder, status: str, now_ms: int) -> VenueOrder:
        order = self._relock(replace(order, status=status, updated_ms=now_ms))
        self.ledger.update_order(order)
        return order

    def _relock(self, order: VenueOrder) -> VenueOrder:
        """Hold exactly what the open remainder may cost; nothing once it is not open."""
        instrument = self.instruments[order.symbol]
        wanted = self._lock_of(order) if order.is_open else ZERO
        change = wanted - order.locked
        asset = instrument.quote if order.side == Side.BUY else instrument.base
        self.ledger.move(asset, free=-change, locked=change)
        order = replace(order, locked=wanted)
        self.ledger.update_order(order)
        return order

    def _lock_of(self, order: VenueOrder) -> Decimal:
        instrument = self.instruments[order.symbol]
        fee = max(instrument.taker_fee_fraction, instrument.maker_fee_fraction)
        if order.side == Side.SELL:
            extra = fee if self._fee_in is FeeIn.BASE else ZERO
            return (order.remaining * (1 + extra)).quantize(_LOCK_STEP, ROUND_UP)
        extra = fee if self._fee_in is FeeIn.QUOTE else ZERO
        price = order.price or order.stop_price
        return (order.remaining * price * (1 + extra)).quantize(_LOCK_STEP, ROUND_UP)

    def _can_pay(
        self, order: VenueOrder, price: Decimal, quantity: Decimal, is_maker: bool
    ) -> bool:
        """True where the free balance and what the order holds cover this fill and its fee."""
        instrument, side = self.instruments[order.symbol], Side(order.side)
        fee, fee_asset = fee_of(price, quantity, side, instrument, is_maker, self._fee_in)
        asset = instrument.quote if side is Side.BUY else instrument.base
        cost = price * quantity if side is Side.BUY else quantity
        cost += fee if fee_asset == asset else ZERO
        return self.ledger.balance(asset).free + order.locked >= cost

    def _refuse_unpayable(
        self, new: NewOrder, order: VenueOrder, taken: tuple[tuple[Decimal, Decimal], ...]
    ) -> None:
        instrument = new.instrument
        cost = ZERO
        for price, piece in taken:
            fee, fee_asset = fee_of(price, piece, new.side, instrument, False, self._fee_in)
            cost += price * piece if new.side is Side.BUY else piece
            paying = instrument.quote if new.side is Side.BUY else instrument.base
            cost += fee if fee_asset == paying else ZERO
        if new.kind != "MARKET" and new.time_in_force == "GTC":
            filled = sum((piece for _, piece in taken), ZERO)
            cost += self._lock_of(replace(order, executed=filled))
        asset = instrument.quote if new.side is Side.BUY else instrument.base
        if self.ledger.balance(asset).free < cost:
            raise insufficient_balance()

    def _refuse_duplicate(self, client_id: str) -> None:
        known = self.ledger.order_by_client_id(client_id)
        if known is not None and (known.is_open or self._unique_forever()):
            raise rejected("Duplicate order sent.")

    def _find(self, symbol: str, order_id: int | None, client_id: str) -> VenueOrder | None:
        if order_id is not None:
            order = self.ledger.order_by_id(order_id)
        else:
            order = self.ledger.order_by_client_id(client_id)
        return order if order is not None and order.symbol == symbol else None

    def _last_price(self, symbol: str, close_ms: int) -> Decimal:
        bar = last_bar(self.tape, symbol, close_ms)
        if bar is None:
            raise VenueError(-1013, "Market is closed.")
        return Decimal(repr(bar.close))


def _opened(new: NewOrder, quantity: Decimal, now_ms: int, source: str) -> VenueOrder:
    return VenueOrder(
        order_id=0,
        client_id=new.client_id,
        symbol=new.instrument.symbol,
        side=new.side,
        kind=new.kind,
        time_in_force=new.time_in_force,
        price=new.price,
        stop_price=new.stop_price,
        quantity=quantity,
        executed=ZERO,
        executed_quote=ZERO,
        locked=ZERO,
        status="NEW",
        triggered=not new.is_stop,
        source=source,
        created_ms=now_ms,
        updated_ms=now_ms,
    )


def _waits_for(order: VenueOrder) -> tuple[OrderType, Decimal]:
    """Return how the order touches a bar, and at what price."""
    if order.triggered:
        return OrderType.LIMIT, order.price
    if order.kind.startswith("STOP_LOSS"):
        return OrderType.STOP, order.stop_price
    return OrderType.TAKE_PROFIT, order.stop_price


def _refuse_immediate_trigger(new: NewOrder, last: Decimal) -> None:
    rises = (new.side is Side.BUY) is new.kind.startswith("STOP_LOSS")
    if (last >= new.stop_price) if rises else (last <= new.stop_price):
        raise rejected("Stop price would trigger immediately.")


def _affordable(new: NewOrder, book: Book) -> Decimal:
    """Return the lots that ``quote_quantity`` buys, or must be sold for, walking the book."""
    left, quantity = new.quote_quantity, ZERO
    for level_price, level_quantity in book.asks if new.side is Side.BUY else book.bids:
        price = new.instrument.price(level_price)
        piece = min(new.instrument.quantity(level_quantity), new.instrument.quantity(left / price))
        quantity += piece
        left -= piece * price
    return quantity
