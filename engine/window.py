"""Where a session keeps its bars: a bounded window when live, blocks of the history in replay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, TypeVar

import numpy as np

from engine.quality import bar_at
from engine.types.bars import Bar, BarColumns, ColumnMemory, ColumnStore

# What a live session keeps: at least 40 times the longest recursive span, so that what was cut off
# no longer shows.
WINDOW_BARS = 2_500
# A store shows at least this many bars; its columns remember the whole window. Whoever computes
# from bars himself (rules) looks back less than that, and pays for no more.
VISIBLE_BARS = 1_024
# What a replay evaluates at once: 1 MB for each eight columns.
BLOCK_BARS = 16_384


class Window(Protocol):
    """Bars of one symbol; ``append`` returns the store and the row of the newest bar."""

    @property
    def last_bar(self) -> Bar | None: ...

    @property
    def bars(self) -> BarColumns:
        """Every bar kept now, oldest first, as views that later bars do not change."""

    def follow(self, other: Window) -> None:
        """Let stores from now on read ``other`` as their reference."""

    def append(self, bar: Bar) -> tuple[ColumnStore, int]: ...


W = TypeVar("W", bound=Window)


def with_references(windows: Mapping[str, W]) -> Mapping[str, W]:
    """Give each symbol's window its reference: the first other symbol in declared order.

    A run of one symbol has none.
    """
    for symbol, window in windows.items():
        others = [other for name, other in windows.items() if name != symbol]
        if others:
            window.follow(others[0])
    return windows


class RollingWindow:
    """The last bars, for live, paper and practice: at least ``capacity`` once they are known.

    Bars and the columns over them lie in blocks with room for as many appends as bars kept, so a
    bar costs the rows it adds. ``capacity`` must be at least 40 times the longest recursive span:
    a session that starts anew knows no more, and must not show it.
    """

    def __init__(
        self, history: BarColumns, capacity: int, *, visible_bars: int = VISIBLE_BARS
    ) -> None:
        kept = min(len(history), capacity)
        self._capacity = capacity
        self._visible = min(visible_bars, capacity)
        self._timeframe_ms = history.timeframe_ms
        self._end = kept
        self._ts = np.zeros(2 * capacity, dtype=np.int64)
        self._values = np.zeros((5, 2 * capacity), dtype=np.float64)
        self._memory = ColumnMemory(2 * capacity)
        self._reference: Window | None = None
        if kept:
            self._ts[:kept] = history.ts_ms[-kept:]
            for row, column in enumerate(
                (history.open, history.high, history.low, history.close, history.volume)
            ):
                self._values[row, :kept] = column[-kept:]
        self._last = bar_at(history, len(history) - 1) if kept else None

    @property
    def last_bar(self) -> Bar | None:
        return self._last

    @property
    def bars(self) -> BarColumns:
        o, h, low, c, v = self._values[:, : self._end]
        return BarColumns(self._ts[: self._end], o, h, low, c, v, self._timeframe_ms)

    def follow(self, other: Window) -> None:
        self._reference = other

    def append(self, bar: Bar) -> tuple[ColumnStore, int]:
        if self._end == 2 * self._capacity:
            self._move()
        self._ts[self._end] = bar.ts_ms
        self._values[:, self._end] = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        self._end += 1
        self._last = bar
        store = self.store()
        return store, len(store.bars) - 1

    def _move(self) -> None:
        """Begin new blocks with the last bars; stores handed out go on reading the old ones."""
        kept = self._capacity
        ts, values = np.zeros_like(self._ts), np.zeros_like(self._values)
        ts[:kept], values[:, :kept] = self._ts[-kept:], self._values[:, -kept:]
        self._ts, self._values = ts, values
        self._memory = self._memory.moved(self._end - kept, kept)
        self._end = kept

    def store(self) -> ColumnStore:
        """Return a store over the newest bars, the same rows as any store that begins here."""
        reference = None if self._reference is None else self._reference.bars
        whole = ColumnStore(self.bars, reference, self._memory)
        return whole.tail(self._visible)


class HistoryWindow:
    """The history of a replay, read row by row as its events arrive, its columns ahead in blocks.

    ``first_row`` is where the events start; rows before it are warm-up. Events must come in the
    history's order, one a row: a history with a bar that the quality gate refuses is refused when
    it is read. A store shows ``kept`` bars before its block, as a live window does, and its columns
    remember what came before those: what columns take does not grow with the history.
    """

    def __init__(
        self,
        history: BarColumns,
        first_row: int = 0,
        *,
        block_bars: int = BLOCK_BARS,
        kept: int = WINDOW_BARS,
    ) -> None:
        self._history = history
        self._row = first_row - 1
        self._last = bar_at(history, self._row) if self._row >= 0 else None
        self._kept = kept
        self._capacity = kept + block_bars
        self._reference: Window | None = None
        self._memory = ColumnMemory(min(len(history), self._capacity))
        self._first = 0 if first_row < self._capacity else first_row - kept
        self._store = self._block()

    @property
    def last_bar(self) -> Bar | None:
        return self._last

    @property
    def bars(self) -> BarColumns:
        return self._history

    def follow(self, other: Window) -> None:
        self._reference = other
        self._store = self._block()

    def append(self, bar: Bar) -> tuple[ColumnStore, int]:
        self._row += 1
        expected = int(self._history.ts_ms[self._row])
        if expected != bar.ts_ms:
            raise ValueError(f"replay out of step: bar was {bar.ts_ms}, expected {expected}")
        if self._row - self._first >= len(self._store.bars):
            self._move()
        self._last = bar
        return self._store, self._row - self._first

    def stores(self) -> Iterator[tuple[ColumnStore, int]]:
        """Yield the stores that ``append`` would return to the end, each with its first row in the
        history; for readers of columns, who append nothing themselves."""
        yield self._store, self._first
        while self._first + len(self._store.bars) < len(self._history):
            self._row = self._first + len(self._store.bars)
            self._move()
            yield self._store, self._first

    def ahead(self) -> tuple[ColumnStore, int, int]:
        """Return the store of now, the row of the bar to come in it, and how many rows it has; the
        last two are equal where the bar to come begins another block."""
        return self._store, self._row + 1 - self._first, len(self._store.bars)

    def skip(self, n_bars: int) -> None:
        """Pass over as many bars of the store of now, as if each of them had been appended.

        Raises:
            ValueError: the store of now does not have so many to come.
        """
        row = self._row + n_bars
        if n_bars < 0 or row - self._first >= len(self._store.bars):
            raise ValueError(f"cannot pass over {n_bars} bars, row was {self._row}")
        self._row, self._last = row, bar_at(self._history, row)

    def _move(self) -> None:
        """Begin the next block behind the last bars of this one."""
        first = self._row - self._kept
        self._memory = self._memory.moved(first - self._first, self._kept)
        self._first = first
        self._store = self._block()

    def _block(self) -> ColumnStore:
        reference = None if self._reference is None else self._reference.bars
        rows = self._history.rows(self._first, self._first + self._capacity)
        return ColumnStore(rows, reference, self._memory)
