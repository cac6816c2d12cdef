"""What should rest at the venue for what is held, compared with what does rest there.

One order for each position of a strategy in a symbol: its whole quantity less what is leaving
already. A spot account can promise its coins once only, so stop and target never rest together: the
other one is judged at each bar's close. The plan is made anew from the books and the open orders at
every event, so a crash between a cancel and its replacement heals at the next one (F-006), and
nothing rests for what is not held any more (F-007).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Protocol

from engine.client_ids import RunIdentity
from engine.lots import Position, is_dust
from engine.reducing import reducing_intent
from engine.types.bars import EventKind, Instrument, MarketEvent
from engine.types.ledger import ZERO
from engine.types.orders import Cause, OrderIntent, OrderType, Rejection

STOP, TARGET = "STOP", "TARGET"
# The market has left a stop-limit behind: the position leaves at the market instead.
JUMPED = "STOP_JUMPED"
JUMPED_OVER = "its stop-limit was jumped over, and no order that leaves can be sent now"
# A position may be without its stop for so long before a person hears of it (I-20).
PATIENCE_MS = 60_000

_BPS = Decimal("0.0001")

Key = tuple[str, str]
"""Strategy and symbol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What rests for a position: a STOP, a STOP_LIMIT whose limit lies ``limit_offset_bps`` >= 0
    beyond its stop, or a TAKE_PROFIT at its target."""

    order_type: OrderType = OrderType.STOP
    limit_offset_bps: Decimal = ZERO

    def __post_init__(self) -> None:
        if not self.order_type.has_trigger:
            raise ValueError(f"order_type of a guard must wait for a price, was {self.order_type}")
        if not self.limit_offset_bps.is_finite() or self.limit_offset_bps < 0:
            raise ValueError(f"limit_offset_bps must be 0 or more, was {self.limit_offset_bps}")

    @property
    def is_target(self) -> bool:
        return self.order_type is OrderType.TAKE_PROFIT

    @property
    def what(self) -> str:
        """The price it waits at, as a person reads it."""
        return "target" if self.is_target else "stop"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The order that should rest: what it waits for, how much it takes, its limit if it has one."""

    price: Decimal
    quantity_base: Decimal
    limit_price: Decimal | None = None


class ProtectionWatch(Protocol):
    """Hears which positions have been without their stop for too long."""

    def unprotected(self, found: Mapping[Key, str]) -> None:
        """Told at the first event and at every change; ``found`` says why, by position."""


class SilentProtectionWatch:
    """Replay's watch: nobody to tell."""

    def unprotected(self, found: Mapping[Key, str]) -> None:
        return None


@dataclass(frozen=True, slots=True)
class StopPlan:
    """Which stops to cancel and which to send, cancels first."""

    cancels: tuple[OrderIntent, ...] = ()
    new: tuple[OrderIntent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a plan is made from: the books, the orders and the state of trading, as of now.

    ``orders`` may still fill, those decided at this event among them; ``mark`` is a symbol's last
    price, ``is_halted`` tells where nothing may be sent, ``jumped`` names stop-limits that the
    market has left behind.
    """

    positions: Sequence[Position]
    orders: Sequence[OrderIntent]
    mark: Callable[[str], Decimal | None]
    is_halted: Callable[[str, str], bool]
    jumped: Collection[str] = ()


class Protection:
    """Plans the protective orders of one book. Holds the names it gave, refusals, and since when a
    position has no stop; all of it may be lost, a restart passes the newest names."""

    def __init__(
        self,
        identity: RunIdentity,
        instruments: Mapping[str, Instrument],
        *,
        named: Mapping[Key, tuple[int, int]] | None = None,
        watch: ProtectionWatch | None = None,
        guard: Guard = Guard(),
    ) -> None:
        """``named`` is the time and leg of each position's newest stop before a restart."""
        self._guard = guard
        self._identity = identity
        self._instruments = dict(instruments)
        self._named = dict(named or {})
        self._is_heard = watch is not None
        self._watch = watch or SilentProtectionWatch()
        self._refused: dict[Key, tuple[Decimal | None, Decimal]] = {}
        self._since_ms: dict[Key, int] = {}
        self._told: dict[Key, str] | None = None

    @property
    def is_telling(self) -> bool:
        """True where the watch was told of a position, or was not told anything yet, or where a
        position was seen without what should rest for it."""
        return not self.is_content

    @property
    def is_content(self) -> bool:
        """True where the last plan found for every position what should rest for it."""
        return self._told is not None and not self._told and not self._since_ms

    @property
    def is_counting(self) -> bool:
        """True while a position without its stop is about to be told of, or nothing was told yet:
        bars may be hours apart, a person hears of it after ``PATIENCE_MS``."""
        told = self._told
        return self._is_heard and (told is None or bool(self._since_ms.keys() - told.keys()))

    def plan(self, standing: Standing, event: MarketEvent) -> StopPlan:
        """Return what to cancel and what to send so that each position has its one stop."""
        stops, leaving = _sorted_out(standing.orders)
        cancels: list[OrderIntent] = []
        new: list[OrderIntent] = []
        without: dict[Key, str] = {}
        for held in standing.positions:
            key = (held.strategy, held.symbol)
            room = max(abs(held.quantity_base) - leaving[key], ZERO)
            there = stops.pop(key, [])
            way_out = self._way_out(held, room, there, standing, event)
            if way_out is not None:
                cancels.extend(there)
                new.append(way_out)
                continue
            wanted, obstacle = wanted_for(held, room, self._guard, self._instruments[held.symbol])
            left_behind = _is_left_behind(there, standing)
            matching = (stop for stop in there if self._is(stop, wanted))
            fits = None if left_behind else next(matching, None)
            kept: list[OrderIntent] = []
            if fits is None and wanted is not None:
                obstacle = JUMPED_OVER if left_behind else ""
                obstacle = obstacle or self._obstacle(held, wanted, standing, event)
                if obstacle:
                    # what cannot be replaced now stays, as far as it sells no more than is there
                    kept = [stop for stop in there if stop.quantity_base <= room][:1]
                else:
                    fits = self._intent(held, event.ts_ms, wanted, self._guard.order_type)
                    new.append(fits)
            if fits is None:
                without[key] = obstacle
            cancels.extend(stop for stop in there if stop is not fits and stop not in kept)
        cancels.extend(stop for orphans in stops.values() for stop in orphans)
        self._tell(without, event.now_ms)
        return StopPlan(tuple(cancels), tuple(new))

    def refused(self, intent: OrderIntent, refusal: Rejection) -> None:
        """Hear that a stop was refused: the venue is asked for the same one again at its symbol's
        next bar, not at every event. Our own denials are judged anew each time."""
        if refusal.by_venue and intent.cause is Cause.PROTECTION:
            self._refused[_key(intent)] = (intent.trigger_price, intent.quantity_base)

    def _way_out(
        self,
        held: Position,
        room: Decimal,
        there: Sequence[OrderIntent],
        standing: Standing,
        event: MarketEvent,
    ) -> OrderIntent | None:
        """Return the market order that takes the place of a stop-limit which was jumped over,
        None where none was, or where it cannot be sent now."""
        if room == 0 or not _is_left_behind(there, standing):
            return None
        key, instrument = (held.strategy, held.symbol), self._instruments[held.symbol]
        mark, quantity = standing.mark(held.symbol) or held.stop_price, instrument.quantity(room)
        if mark is None or quantity == 0 or is_dust(quantity, mark, instrument):
            return None
        if standing.is_halted(held.symbol, held.strategy):
            return None
        if self._was_refused(key, (None, quantity), event):
            return None
        return self._intent(held, event.ts_ms, Wanted(mark, quantity), OrderType.MARKET)

    def _obstacle(
        self, held: Position, wanted: Wanted, standing: Standing, event: MarketEvent
    ) -> str:
        """Return why a stop that is due cannot be sent now, empty where it can."""
        key, price = (held.strategy, held.symbol), wanted.price
        what = self._guard.what
        if standing.is_halted(held.symbol, held.strategy):
            return "nothing is sent while trading is halted"
        mark, sign = standing.mark(held.symbol), 1 if held.quantity_base > 0 else -1
        sign = -sign if self._guard.is_target else sign
        if mark is not None and sign * (mark - price) <= 0:
            # a venue refuses what would trigger at once; the bar's close judges it
            return f"price {mark} has reached the {what}, {what} was {price}"
        if self._was_refused(key, (price, wanted.quantity_base), event):
            return f"the venue refused the {what}; it is asked again at the next bar"
        return ""

    def _was_refused(
        self, key: Key, asked: tuple[Decimal | None, Decimal], event: MarketEvent
    ) -> bool:
        """True until the position's next bar where the venue refused the very same order."""
        if self._refused.get(key) != asked:
            return False
        if event.kind is not EventKind.BAR or event.symbol != key[1]:
            return True
        del self._refused[key]
        return False

    def _is(self, order: OrderIntent, wanted: Wanted | None) -> bool:
        if wanted is None or order.order_type is not self._guard.order_type:
            return False
        there = (order.trigger_price, order.quantity_base, order.limit_price)
        return there == (wanted.price, wanted.quantity_base, wanted.limit_price)

    def _intent(
        self, held: Position, at_ms: int, wanted: Wanted, order_type: OrderType
    ) -> OrderIntent:
        """Build the order; two of one position at one time differ by their leg."""
        key = (held.strategy, held.symbol)
        last_ms, last_leg = self._named.get(key, (-1, 0))
        leg = last_leg + 1 if last_ms == at_ms else 0
        self._named[key] = (at_ms, leg)
        return guarding_intent(held, wanted, order_type, self._identity, at_ms=at_ms, leg=leg)

    def _tell(self, without: Mapping[Key, str], now_ms: int) -> None:
        self._since_ms = {key: self._since_ms.get(key, now_ms) for key in without}
        late = {
            key: reason
            for key, reason in without.items()
            if now_ms - self._since_ms[key] > PATIENCE_MS
        }
        if late != self._told:
            self._watch.unprotected(late)
            self._told = late


def wanted_for(
    held: Position, room: Decimal, guard: Guard, instrument: Instrument
) -> tuple[Wanted | None, str]:
    """Return what should rest for a position of which ``room`` is not leaving, or None and why
    nothing can."""
    what = guard.what
    at = held.target_price if guard.is_target else held.stop_price
    if at is None:
        return None, f"it has no {what} price"
    quantity, price = instrument.quantity(room), instrument.price(at)
    if room == 0:
        return None, "an order that leaves all of it is on its way"
    least = instrument.min_notional_quote
    if quantity < max(instrument.min_quantity_base, instrument.lot_size):
        return None, f"{room} is less than the venue takes in one order"
    limit = _limit(held, price, guard, instrument)
    worth = quantity * (limit or price)
    if worth < least:
        return None, f"{quantity} at its {what} is worth {worth}, minimum was {least}"
    return Wanted(price, quantity, limit), ""


def guarding_intent(
    held: Position,
    wanted: Wanted,
    order_type: OrderType,
    identity: RunIdentity,
    *,
    at_ms: int,
    leg: int = 0,
    cause_id: str = "stop",
) -> OrderIntent:
    """Return the order that guards a position, or that leaves in the place of one which was jumped
    over; ``cause_id`` is as for ``reducing_intent``."""
    is_target = order_type is OrderType.TAKE_PROFIT
    waits = order_type.has_trigger
    return reducing_intent(
        held,
        installation=identity.installation,
        account=identity.account,
        run_code=identity.run_code,
        cause=Cause.PROTECTION,
        cause_id=cause_id,
        quantity_base=wanted.quantity_base,
        reference_price=wanted.price,
        at_ms=at_ms,
        reason_code=(TARGET if is_target else STOP) if waits else JUMPED,
        order_type=order_type,
        limit_price=wanted.limit_price,
        stop_price=wanted.price if waits and not is_target else None,
        target_price=wanted.price if is_target else None,
        leg=leg,
        regime=held.regime or "",
    )


def not_held_back(
    orders: Sequence[OrderIntent],
    is_halted: Callable[[str, str], bool],
    waiting: Callable[[], Iterable[OrderIntent]],
) -> Sequence[OrderIntent]:
    """Leave out exits that are not sent yet where trading is halted, by this event's breakers too:
    they will be denied, so no stop may give way to them. ``waiting`` are those."""
    halted = {_key(o) for o in orders if o.purpose.reduces_risk and is_halted(o.symbol, o.strategy)}
    if not halted:
        return orders
    unsent = {order.client_order_id for order in waiting() if _key(order) in halted}
    return [order for order in orders if order.client_order_id not in unsent]


def _key(intent: OrderIntent) -> Key:
    return intent.strategy, intent.symbol


def _limit(held: Position, price: Decimal, guard: Guard, instrument: Instrument) -> Decimal | None:
    """Return the worst price a stop-limit takes; None where the guard has none."""
    if not guard.order_type.has_limit:
        return None
    sign = 1 if held.quantity_base > 0 else -1
    moved = price * (1 - sign * guard.limit_offset_bps * _BPS)
    rounding = ROUND_FLOOR if sign > 0 else ROUND_CEILING
    return max(instrument.price(moved, rounding), instrument.tick_size)


def _is_left_behind(there: Iterable[OrderIntent], standing: Standing) -> bool:
    return any(stop.client_order_id in standing.jumped for stop in there)


def _sorted_out(
    orders: Iterable[OrderIntent],
) -> tuple[dict[Key, list[OrderIntent]], defaultdict[Key, Decimal]]:
    """Return what guards by position, and how much of it other orders take off it already."""
    stops: dict[Key, list[OrderIntent]] = {}
    leaving: defaultdict[Key, Decimal] = defaultdict(Decimal)
    for order in orders:
        if order.is_resting_protection:
            stops.setdefault(_key(order), []).append(order)
        elif order.purpose.reduces_risk:
            leaving[_key(order)] += order.quantity_base
    return stops, leaving
