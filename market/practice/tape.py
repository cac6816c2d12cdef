"""What the practice market plays: bars of every symbol on one clock, from files or a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

import numpy as np

from engine.quality import bar_at
from engine.types.bars import Bar, BarColumns, Instrument, IntColumn
from market.sources.history import History
from market.sources.synthetic import SyntheticPath


class Tape(Protocol):
    """Bars by symbol; what has closed is asked by venue time, so nobody can look ahead."""

    @property
    def instruments(self) -> Mapping[str, Instrument]: ...

    @property
    def timeframe_ms(self) -> int: ...

    @property
    def digest(self) -> str:
        """Tell one market from another: a restart must find the one it left."""

    def first_close_ms(self, warmup_bars: int) -> int:
        """Return the close at which every symbol has ``warmup_bars`` bars, if it ever does."""

    def next_close_ms(self, after_ms: int) -> int | None:
        """Return the next close of any symbol, None where the data ends."""

    def count(self, symbol: str, closed_by_ms: int) -> int:
        """Return how many bars of ``symbol`` have closed at or before that time."""

    def rows(self, symbol: str, first: int, last: int) -> BarColumns:
        """Return rows ``first`` to ``last`` (excluded)."""


def bar_closing_at(tape: Tape, symbol: str, close_ms: int) -> Bar | None:
    """Return the bar that closes exactly then, None where the symbol has none."""
    bar = last_bar(tape, symbol, close_ms)
    return bar if bar is not None and bar.ts_ms + tape.timeframe_ms == close_ms else None


def last_bar(tape: Tape, symbol: str, closed_by_ms: int) -> Bar | None:
    """Return the newest bar closed at or before that time, None before the first."""
    count = tape.count(symbol, closed_by_ms)
    return bar_at(tape.rows(symbol, count - 1, count), 0) if count else None


@dataclass(slots=True)
class HistoryTape:
    """Plays candle files; the clock jumps over times at which no symbol has a bar."""

    history: History
    _closes: IntColumn

    @classmethod
    def of(cls, history: History) -> HistoryTape:
        opens = np.unique(np.concatenate([bars.ts_ms for bars in history.bars.values()]))
        return cls(history, opens + history.timeframe_ms)

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return self.history.instruments

    @property
    def timeframe_ms(self) -> int:
        return self.history.timeframe_ms

    @property
    def digest(self) -> str:
        content = blake2b(digest_size=8)
        for symbol, bars in self.history.bars.items():
            content.update(symbol.encode())
            content.update(bars.ts_ms.tobytes() + bars.close.tobytes())
        return f"files:{content.hexdigest()}"

    def first_close_ms(self, warmup_bars: int) -> int:
        latest = 0
        for bars in self.history.bars.values():
            # A file too short for the warm-up keeps half of itself to be played.
            warmup = warmup_bars if len(bars) > warmup_bars else max(1, len(bars) // 2)
            latest = max(latest, int(bars.ts_ms[warmup - 1]) + self.timeframe_ms)
        return latest

    def next_close_ms(self, after_ms: int) -> int | None:
        row = int(np.searchsorted(self._closes, after_ms, side="right"))
        return int(self._closes[row]) if row < len(self._closes) else None

    def count(self, symbol: str, closed_by_ms: int) -> int:
        opens = self.history.bars[symbol].ts_ms
        return int(np.searchsorted(opens, closed_by_ms - self.timeframe_ms, side="right"))

    def rows(self, symbol: str, first: int, last: int) -> BarColumns:
        bars = self.history.bars[symbol]
        return BarColumns(
            bars.ts_ms[first:last],
            bars.open[first:last],
            bars.high[first:last],
            bars.low[first:last],
            bars.close[first:last],
            bars.volume[first:last],
            bars.timeframe_ms,
        )


class SyntheticTape:
    """Plays seeded markets without end."""

    def __init__(self, seed: int, symbols: Sequence[str], start_ms: int, timeframe_ms: int) -> None:
        self._paths = {s: SyntheticPath(seed, s, start_ms, timeframe_ms) for s in symbols}
        self._start_ms = start_ms
        self._timeframe_ms = timeframe_ms
        self._seed = seed

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return {symbol: path.instrument for symbol, path in self._paths.items()}

    @property
    def timeframe_ms(self) -> int:
        return self._timeframe_ms

    @property
    def digest(self) -> str:
        symbols = ",".join(self._paths)
        return f"synthetic:{self._seed}:{symbols}:{self._start_ms}:{self._timeframe_ms}"

    def first_close_ms(self, warmup_bars: int) -> int:
        return self._start_ms + warmup_bars * self._timeframe_ms

    def next_close_ms(self, after_ms: int) -> int | None:
        closed = (after_ms - self._start_ms) // self._timeframe_ms
        return self._start_ms + (closed + 1) * self._timeframe_ms

    def count(self, symbol: str, closed_by_ms: int) -> int:
        return max(0, (closed_by_ms - self._start_ms) // self._timeframe_ms)

    def rows(self, symbol: str, first: int, last: int) -> BarColumns:
        return self._paths[symbol].columns(first, last)
