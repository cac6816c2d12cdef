"""What the world said: instruments, bars, books, trade flow, events, and columns of bars."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

FloatColumn = npt.NDArray[np.float64]
IntColumn = npt.NDArray[np.int64]
BoolColumn = npt.NDArray[np.bool_]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable symbol of one venue, with the filters every order must pass.

    ``price`` and ``quantity`` are the only crossing from float to Decimal money.
    """

    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    min_notional_quote: Decimal
    min_quantity_base: Decimal
    maker_fee_fraction: Decimal
    taker_fee_fraction: Decimal
    shortable: bool = False

    def price(self, value: float | Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
        """Round a finite positive estimate to the tick grid.

        Raises:
            ValueError: the value is not finite or not positive.
        """
        return _to_grid(value, self.tick_size, rounding, "price")

    def quantity(self, value: float | Decimal) -> Decimal:
        """Round a finite, non-negative estimate down to the lot grid (never up: caps hold).

        Raises:
            ValueError: the value is not finite or negative.
        """
        return _to_grid(value, self.lot_size, ROUND_DOWN, "quantity", allow_zero=True)

    def quantity_up(self, value: float | Decimal) -> Decimal:
        """Round up to the lot grid; only for minimum sizes, never for risk-taking sizes."""
        return _to_grid(value, self.lot_size, ROUND_UP, "quantity", allow_zero=True)


def _to_grid(
    value: float | Decimal, step: Decimal, rounding: str, what: str, *, allow_zero: bool = False
) -> Decimal:
    # repr() of a float is its shortest exact spelling; Decimal(float) would carry binary noise.
    exact = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
    if not exact.is_finite() or exact < 0 or (exact == 0 and not allow_zero):
        raise ValueError(f"{what} must be finite and positive, was {value}")
    return (exact / step).to_integral_value(rounding=rounding) * step


@dataclass(frozen=True, slots=True)
class Bar:
    """One closed candle. ``ts_ms`` is its OPEN time; prices in quote, volume in base units."""

    ts_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True)
class Book:
    """An order book snapshot: (price, quantity) levels, best first; either side may be empty."""

    ts_ms: int
    bids: tuple[tuple[float, float], ...]
    asks: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class TradeFlow:
    """Taker volume in base units over one bar, split by aggressor."""

    buy_volume_base: float
    sell_volume_base: float
    trade_count: int


class EventKind(StrEnum):
    BAR = "bar"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class MarketEvent:
    """Something that happened on a venue.

    ``ts_ms`` is venue time: for a bar its CLOSE time (open + timeframe), when it may first be
    known. ``book`` and ``flow`` are None where the source has none; ``now_ms`` is venue time
    when the event was read (equal to ``ts_ms`` in replay), from which staleness is judged.
    """

    kind: EventKind
    symbol: str
    ts_ms: int
    now_ms: int
    bar: Bar | None = None
    book: Book | None = None
    flow: TradeFlow | None = None


@dataclass(frozen=True, slots=True)
class BarColumns:
    """Bars of one symbol as columns, each of shape (n_bars,), oldest first, gaps absent."""

    ts_ms: IntColumn
    open: FloatColumn
    high: FloatColumn
    low: FloatColumn
    close: FloatColumn
    volume: FloatColumn
    timeframe_ms: int

    def __len__(self) -> int:
        return int(self.ts_ms.shape[0])

    def rows(self, first: int, last: int) -> BarColumns:
        """Return rows ``first`` to ``last`` (excluded) as views."""
        part = slice(first, last)
        return BarColumns(
            self.ts_ms[part],
            self.open[part],
            self.high[part],
            self.low[part],
            self.close[part],
            self.volume[part],
            self.timeframe_ms,
        )


# Writes rows ``start`` and later of a column; rows before it are known and stay as they are.
Fill = Callable[["ColumnStore", npt.NDArray[Any], int], None]


class ColumnMemory:
    """Columns of a window that outlast a bar: each bar, or block, adds only the rows it brought.

    Rows that were written are never written again with another value, so a store handed out
    earlier keeps reading what it read.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._columns: dict[Hashable, npt.NDArray[Any]] = {}
        self._known: dict[Hashable, int] = {}

    def room(
        self, key: Hashable, rows: int, parts: int, dtype: npt.DTypeLike
    ) -> tuple[npt.NDArray[Any], int]:
        """Return the first ``rows`` rows of a column, and how many of them are known."""
        column = self._columns.get(key)
        if column is None:
            column = self._columns[key] = _blank(self._rows, parts, dtype)
        return column[..., :rows], min(rows, self._known.get(key, 0))

    def note(self, key: Hashable, rows: int) -> None:
        """Remember that the first ``rows`` rows of a column are known."""
        self._known[key] = max(rows, self._known.get(key, 0))

    def moved(self, dropped: int, kept: int) -> ColumnMemory:
        """Return the memory of rows ``dropped`` to ``dropped + kept``, now counted from 0."""
        moved = ColumnMemory(self._rows)
        for key, column in self._columns.items():
            known = self._known.get(key, 0) - dropped
            if known > 0:
                fresh = np.empty_like(column)
                fresh[..., :kept] = column[..., dropped : dropped + kept]
                moved._columns[key], moved._known[key] = fresh, known
        return moved


@dataclass(slots=True)
class ColumnStore:
    """Causal columns over one instrument's bars, each computed once and read by row.

    Replay builds one store a block of its history; live takes one a bar from its window. A column
    function maps the store to arrays whose row t depends on rows up to t only. ``reference`` is
    another symbol's bars of the same run, read-only and possibly ahead in time: whoever reads
    them lags them. None where the run has one symbol.
    """

    bars: BarColumns
    reference: BarColumns | None = None
    _memory: ColumnMemory | None = None
    _whole: ColumnStore | None = None
    _offset: int = 0
    _cache: dict[Hashable, object] = field(default_factory=dict)

    def get(self, key: Hashable, compute: Callable[[ColumnStore], T]) -> T:
        """Return what is registered under ``key``, computing it over this store on first use."""
        if key not in self._cache:
            self._cache[key] = compute(self)
        return self._cache[key]  # type: ignore[return-value]

    def column(
        self, key: Hashable, fill: Fill, *, parts: int = 0, dtype: npt.DTypeLike = np.float64
    ) -> npt.NDArray[Any]:
        """Return a read-only column (n_bars,), or (parts, n_bars), that ``fill`` writes.

        A live window asks ``fill`` for its new rows only. ``fill`` must not look at ``start``
        other than to begin there: the values are those of a fill from row 0.
        """
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = self._column(key, fill, parts, dtype)
        return found  # type: ignore[return-value]

    def _column(
        self, key: Hashable, fill: Fill, parts: int, dtype: npt.DTypeLike
    ) -> npt.NDArray[Any]:
        if self._whole is not None:
            whole = self._whole.column(key, fill, parts=parts, dtype=dtype)
            return whole[..., self._offset :]
        rows = len(self.bars)
        if self._memory is None:
            out, start = _blank(rows, parts, dtype)[..., :rows], 0
        else:
            out, start = self._memory.room(key, rows, parts, dtype)
        if start < rows:
            fill(self, out, start)
        if self._memory is not None:
            self._memory.note(key, rows)
        out.setflags(write=False)
        return out

    def tail(self, rows: int) -> ColumnStore:
        """Return a store over the last ``rows`` bars whose columns remember the bars before."""
        first = max(0, len(self.bars) - rows)
        return ColumnStore(self.bars.rows(first, len(self.bars)), self.reference, None, self, first)


def _blank(rows: int, parts: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    # One row to spare keeps the parts apart in memory, as in a live window's blocks: kernels then
    # meet one layout and are compiled once.
    return np.empty((parts, rows + 1) if parts else rows, dtype=dtype)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What may be known at one event: columns up to and including ``row``, book and flow."""

    instrument: Instrument
    event: MarketEvent
    store: ColumnStore
    row: int

    @property
    def close(self) -> float:
        """Close of the current bar in quote units."""
        return float(self.store.bars.close[self.row])
