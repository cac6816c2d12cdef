"""Where a session keeps its bars: a bounded window when live, the whole history in replay."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from engine.quality import bar_at
from engine.types.bars import Bar, BarColumns, ColumnStore


class Window(Protocol):
    """Bars of one symbol; ``append`` returns the store and the row of the newest bar."""

    @property
    def last_bar(self) -> Bar | None: ...

    def append(self, bar: Bar) -> tuple[ColumnStore, int]: ...


class RollingWindow:
    """The last ``capacity`` bars, for live, paper and practice.

    Columns are computed anew on each bar over this window: one definition of a feature, no
    incremental twin. ``capacity`` must be at least 40 times the longest recursive span, so that
    what was cut off no longer shows.
    """

    def __init__(self, history: BarColumns, capacity: int) -> None:
        kept = min(len(history), capacity)
        self._capacity = capacity
        self._timeframe_ms = history.timeframe_ms
        self._end = kept
        # room for as many appends as bars kept: the block moves once per ``capacity`` bars
        self._ts = np.zeros(2 * capacity, dtype=np.int64)
        self._values = np.zeros((5, 2 * capacity), dtype=np.float64)
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

    def append(self, bar: Bar) -> tuple[ColumnStore, int]:
        if self._end == 2 * self._capacity:
            kept = self._capacity
            self._ts[:kept] = self._ts[-kept:]
            self._values[:, :kept] = self._values[:, -kept:]
            self._end = kept
        self._ts[self._end] = bar.ts_ms
        self._values[:, self._end] = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        self._end += 1
        self._last = bar
        store = self.store()
        return store, len(store.bars) - 1

    def store(self) -> ColumnStore:
        """Return a fresh store over the bars kept now."""
        start = max(0, self._end - self._capacity)
        o, h, low, c, v = self._values[:, start : self._end].copy()
        ts_ms = self._ts[start : self._end].copy()
        return ColumnStore(BarColumns(ts_ms, o, h, low, c, v, self._timeframe_ms))


class HistoryWindow:
    """The whole history of a replay: one store, read row by row as its events arrive.

    ``first_row`` is where the events start; rows before it are warm-up. Events must come in the
    history's order, one a row: a bar that the quality gate refuses still takes its row.
    """

    def __init__(self, history: BarColumns, first_row: int = 0) -> None:
        self._store = ColumnStore(history)
        self._row = first_row - 1
        self._last = bar_at(history, self._row) if self._row >= 0 else None

    @property
    def last_bar(self) -> Bar | None:
        return self._last

    def append(self, bar: Bar) -> tuple[ColumnStore, int]:
        self._row += 1
        if int(self._store.bars.ts_ms[self._row]) != bar.ts_ms:
            expected = int(self._store.bars.ts_ms[self._row])
            raise ValueError(f"replay out of step: bar was {bar.ts_ms}, expected {expected}")
        self._last = bar
        return self._store, self._row
