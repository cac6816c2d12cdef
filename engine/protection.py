"""What should rest at the venue for what is held, compared with what does rest there.

One stop for each position of a strategy in a symbol: its whole quantity less what is leaving
already. The plan is made anew from the books and the open orders at every event, so a crash between
a cancel and its replacement heals at the next one (F-006), and nothing rests for what is not held
any more (F-007).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from engine.client_ids import RunIdentity
from engine.lots import Position
from engine.reducing import reducing_intent
from engine.types.bars import EventKind, Instrument, MarketEvent
from engine.types.ledger import ZERO
from engine.types.orders import Cause, OrderIntent, OrderType, Rejection

STOP = "STOP"
# A position may be without its stop for so long before a person hears of it (I-20).
PATIENCE_MS = 60_000

Key = tuple[str, str]
"""Strategy and symbol."""
Wanted = tuple[Decimal, Decimal]
"""Price and quantity of a stop."""


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
    price, ``is_halted`` tells where nothing may be sent.
    """

    positions: Sequence[Position]
    orders: Sequence[OrderIntent]
    mark: Callable[[str], Decimal | None]
    is_halted: Callable[[str, str], bool]


class Protection:
    """Plans the protective stops of one book. Holds the names it gave, refusals, and since when a
    position has no stop; all of it may be lost, a restart passes the newest names."""

    def __init__(
        self,
        identity: RunIdentity,
        instruments: Mapping[str, Instrument],
        *,
        named: Mapping[Key, tuple[int, int]] | None = None,
        watch: ProtectionWatch | None = None,
    ) -> None:
        """``named`` is the time and leg of each position's newest stop before a restart."""
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
        """True where the watch was told of a position, or was not told anything yet."""
        return self._told is None or bool(self._told)

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
            wanted, obstacle = self._wanted(held, room)
            fits = next((stop for stop in there if _is(stop, wanted)), None)
            kept: list[OrderIntent] = []
            if fits is None and wanted is not None:
                obstacle = self._obstacle(held, wanted, standing, event)
                if obstacle:
                    # what cannot be replaced now stays, as far as it sells no more than is there
                    kept = [stop for stop in there if stop.quantity_base <= room][:1]
                else:
                    fits = self._intent(held, wanted, event.ts_ms)
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
            self._refused[_key(intent)] = (intent.stop_price, intent.quantity_base)

    def _wanted(self, held: Position, room: Decimal) -> tuple[Wanted | None, str]:
        """Return price and quantity of the stop, or None and why there can be none."""
        if held.stop_price is None:
            return None, "it has no stop price"
        instrument = self._instruments[held.symbol]
        quantity, price = instrument.quantity(room), instrument.price(held.stop_price)
        if room == 0:
            return None, "an order that leaves all of it is on its way"
        least = instrument.min_notional_quote
        if quantity < max(instrument.min_quantity_base, instrument.lot_size):
            return None, f"{room} is less than the venue takes in one order"
        if quantity * price < least:
            return None, f"{quantity} at its stop is worth {quantity * price}, minimum was {least}"
        return (price, quantity), ""

    def _obstacle(
        self, held: Position, wanted: Wanted, standing: Standing, event: MarketEvent
    ) -> str:
        """Return why a stop that is due cannot be sent now, empty where it can."""
        key, price = (held.strategy, held.symbol), wanted[0]
        if standing.is_halted(held.symbol, held.strategy):
            return "nothing is sent while trading is halted"
        mark, sign = standing.mark(held.symbol), 1 if held.quantity_base > 0 else -1
        if mark is not None and sign * (mark - price) <= 0:
            # a venue refuses a stop that would trigger at once; the bar's close judges it
            return f"price {mark} has reached the stop, stop was {price}"
        if self._refused.get(key) == wanted:
            if event.kind is not EventKind.BAR or event.symbol != held.symbol:
                return "the venue refused the stop; it is asked again at the next bar"
            del self._refused[key]
        return ""

    def _intent(self, held: Position, wanted: Wanted, at_ms: int) -> OrderIntent:
        """Build the stop; two of one position at one time differ by their leg."""
        key = (held.strategy, held.symbol)
        last_ms, last_leg = self._named.get(key, (-1, 0))
        leg = last_leg + 1 if last_ms == at_ms else 0
        self._named[key] = (at_ms, leg)
        price, quantity = wanted
        return reducing_intent(
            held,
            installation=self._identity.installation,
            account=self._identity.account,
            run_code=self._identity.run_code,
            cause=Cause.PROTECTION,
            cause_id="stop",
            quantity_base=quantity,
            reference_price=price,
            at_ms=at_ms,
            reason_code=STOP,
            order_type=OrderType.STOP,
            stop_price=price,
            leg=leg,
            regime=held.regime or "",
        )

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


def _key(intent: OrderIntent) -> Key:
    return intent.strategy, intent.symbol


def _is(stop: OrderIntent, wanted: Wanted | None) -> bool:
    return wanted is not None and (stop.stop_price, stop.quantity_base) == wanted


def _sorted_out(
    orders: Iterable[OrderIntent],
) -> tuple[dict[Key, list[OrderIntent]], defaultdict[Key, Decimal]]:
    """Return the stops by position, and how much of it other orders take off it already."""
    stops: dict[Key, list[OrderIntent]] = {}
    leaving: defaultdict[Key, Decimal] = defaultdict(Decimal)
    for order in orders:
        if order.cause is Cause.PROTECTION:
            stops.setdefault(_key(order), []).append(order)
        elif order.purpose.reduces_risk:
            leaving[_key(order)] += order.quantity_base
    return stops, leaving
