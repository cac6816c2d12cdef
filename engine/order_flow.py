"""Order-flow imbalance between consecutive books, and the memory of the last one a symbol.

Source: Cont, Kukanov, Stoikov (2014), "The price impact of order book events", equation 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from engine.book import Levels, fault, middle
from engine.types.bars import Book, MarketEvent
from engine.types.decisions import JsonValue
from engine.types.opinions import Missing, OfiImpact

LEVELS = 5
_HALF_LIFE_BARS = 120.0
_DECAY = 0.5 ** (1.0 / _HALF_LIFE_BARS)
_LEAST_OBSERVATIONS = 30
_NO_SUMS = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def bid_flow(price_before: float, size_before: float, price: float, size: float) -> float:
    """Return what one event added to demand at a bid, in base units.

    A higher price adds its whole size, a lower one takes the old size away, the same price adds
    the difference.
    """
    flow = 0.0
    if price >= price_before:
        flow += size
    if price <= price_before:
        flow -= size_before
    return flow


def ask_flow(price_before: float, size_before: float, price: float, size: float) -> float:
    """Return what one event took from supply at an ask, in base units: the mirror of a bid."""
    flow = 0.0
    if price <= price_before:
        flow -= size
    if price >= price_before:
        flow += size_before
    return flow


def book_flow(before: Book, book: Book, levels: int = LEVELS) -> tuple[float, ...]:
    """Return the imbalance of flow e_n of each level that both books have, best first."""
    sides = (before.bids, book.bids, before.asks, book.asks)
    count = min(levels, *(len(side) for side in sides))
    return tuple(
        bid_flow(*before.bids[i], *book.bids[i]) + ask_flow(*before.asks[i], *book.asks[i])
        for i in range(count)
    )


@dataclass(frozen=True, slots=True)
class FlowReading:
    """``levels``: order-flow imbalance in base units since the bar before, best level first;
    ``impact``: what a unit of the best level's has moved the middle lately; ``expected``: this
    source has given a book of the symbol before."""

    levels: tuple[float, ...] | Missing
    impact: OfiImpact | Missing
    expected: bool = True


NO_READING = FlowReading(
    Missing("no book of the bar before"), Missing("no order flow known"), expected=False
)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The newest bar of a symbol. ``sums`` are decayed: weight, x, y, xx, xy, yy."""

    at_ms: int
    book: Book | None
    observations: int
    sums: tuple[float, ...]
    reading: FlowReading


class OrderFlowTape:
    """Remembers the last bar's book by symbol, so that the next bar has something to compare.

    It is part of the session's stored state: a session rebuilt after a crash compares with the
    same book as one that never stopped. Only the bar directly before counts; after a gap, or
    a bar without a readable book, order flow is unavailable for one bar.
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def knows(self, symbol: str) -> bool:
        """True where a book of the symbol was seen: bars without one are then missed."""
        return symbol in self._seen

    def observe(self, event: MarketEvent, timeframe_ms: int) -> FlowReading:
        """Take in one bar's book and return what flowed; the same bar twice is taken in once."""
        seen = self._seen.get(event.symbol)
        if seen is not None and seen.at_ms == event.ts_ms:
            return seen.reading
        if seen is None and event.book is None:
            return NO_READING
        book = _kept(event.book)
        observations, sums = (0, _NO_SUMS) if seen is None else (seen.observations, seen.sums)
        levels: tuple[float, ...] | Missing
        before = None if seen is None else seen.book
        if seen is None or before is None:
            levels = NO_READING.levels
        elif book is None:
            levels = Missing("no readable book now")
        elif seen.at_ms + timeframe_ms != event.ts_ms:
            levels = Missing(f"last book is {event.ts_ms - seen.at_ms} ms old, not one bar")
        else:
            levels = book_flow(before, book)
            moved_bps = (middle(book.bids, book.asks) / middle(before.bids, before.asks) - 1) * 1e4
            sums = _added(sums, levels[0], moved_bps)
            observations += 1
        reading = FlowReading(levels, _impact(observations, sums))
        self._seen[event.symbol] = _Seen(event.ts_ms, book, observations, sums, reading)
        return reading

    def state(self) -> dict[str, JsonValue]:
        """Return everything as JSON values; floats survive the trip to the last bit."""
        return {symbol: _to_json(seen) for symbol, seen in sorted(self._seen.items())}

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Replace everything by a stored state.

        Raises:
            ValueError: the state is not one that ``state`` wrote; nothing is changed then.
        """
        self._seen = {symbol: _from_json(symbol, row) for symbol, row in state.items()}


def _kept(book: Book | None) -> Book | None:
    if book is None or fault(book.bids, book.asks):
        return None
    return Book(book.ts_ms, book.bids[:LEVELS], book.asks[:LEVELS])


def _added(sums: tuple[float, ...], x: float, y: float) -> tuple[float, ...]:
    terms = (1.0, x, y, x * x, x * y, y * y)
    return tuple(_DECAY * total + term for total, term in zip(sums, terms, strict=True))


def _impact(observations: int, sums: tuple[float, ...]) -> OfiImpact | Missing:
    """Return the decayed regression of the middle's move on order flow, with intercept."""
    if observations < _LEAST_OBSERVATIONS:
        return Missing(f"{observations} bars of order flow known, {_LEAST_OBSERVATIONS} needed")
    weight, x, y, xx, xy, yy = sums
    var_x, var_y = xx - x * x / weight, yy - y * y / weight
    if not (var_x > 1e-12 * xx and isfinite(var_x)):
        return Missing("order flow never changed")
    cov = xy - x * y / weight
    r2 = cov * cov / (var_x * var_y) if var_y > 1e-12 * yy else 0.0
    return OfiImpact(cov / var_x, min(1.0, r2), observations)


def _to_json(seen: _Seen) -> dict[str, JsonValue]:
    def side(levels: Levels) -> list[JsonValue]:
        return [[price, size] for price, size in levels]

    book = seen.book
    return {
        "at_ms": seen.at_ms,
        "bids": None if book is None else side(book.bids),
        "asks": None if book is None else side(book.asks),
        "observations": seen.observations,
        "sums": list(seen.sums),
    }


def _from_json(symbol: str, row: JsonValue) -> _Seen:
    if not isinstance(row, dict):
        raise ValueError(f"order flow of {symbol} must be a mapping, was {row!r}")
    at_ms, observations = row.get("at_ms"), row.get("observations")
    sums = _numbers(symbol, row.get("sums"))
    if not isinstance(at_ms, int) or not isinstance(observations, int) or len(sums) != 6:
        raise ValueError(f"order flow of {symbol} must have at_ms, observations, 6 sums, was {row}")
    book = None
    if row.get("bids") is not None:
        book = Book(at_ms, _levels(symbol, row.get("bids")), _levels(symbol, row.get("asks")))
        if problem := fault(book.bids, book.asks):
            raise ValueError(f"order flow of {symbol}: {problem}")
    return _Seen(at_ms, book, observations, sums, NO_READING)


def _levels(symbol: str, value: JsonValue) -> Levels:
    if not isinstance(value, list):
        raise ValueError(f"book levels of {symbol} must be a list, was {value!r}")
    pairs = [_numbers(symbol, level) for level in value]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"book levels of {symbol} must be pairs, was {value!r}")
    return tuple((price, size) for price, size in pairs)


def _numbers(symbol: str, value: JsonValue) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise ValueError(f"numbers of {symbol} must be a list, was {value!r}")
    numbers = [float(v) for v in value if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) != len(value) or not all(isfinite(number) for number in numbers):
        raise ValueError(f"numbers of {symbol} must be finite, was {value!r}")
    return tuple(numbers)
