"""History as a market source: files or columns of several symbols on one clock."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from engine.types.bars import Bar, BarColumns, EventKind, Instrument, MarketEvent
from market.errors import DataError
from market.sources.files import BarFile, read_bars
from market.sources.instruments import instrument_for
from market.sources.synthetic import synthetic_book, synthetic_flow

_BLOCK_ROWS = 8192


@dataclass(frozen=True, slots=True)
class History:
    """Bars of several symbols with one bar length, and the instruments they are traded as."""

    bars: Mapping[str, BarColumns]
    instruments: Mapping[str, Instrument]
    timeframe_ms: int


def load_history(
    paths: Sequence[str | Path], *, symbol: str | None = None, timeframe: str | None = None
) -> History:
    """Read files into one history; files of one symbol are joined in time order.

    Raises:
        DataError: a file is wrong, bar lengths differ, or two files hold the same bar.
    """
    if not paths:
        raise DataError("data files were none, allowed: at least one")
    files = [read_bars(path, symbol=symbol, timeframe=timeframe) for path in paths]
    for file in files:
        if file.bars.timeframe_ms != _ms(files):
            raise DataError(
                f"{file.path}: bar length was {file.bars.timeframe_ms} ms, "
                f"allowed: {_ms(files)} ms as in {files[0].path}"
            )
    by_symbol: dict[str, list[BarFile]] = {}
    for file in files:
        by_symbol.setdefault(file.symbol, []).append(file)
    bars = {name: _joined(parts) for name, parts in by_symbol.items()}
    instruments = {name: instrument_for(name, columns) for name, columns in bars.items()}
    return History(bars, instruments, _ms(files))


def _ms(files: Sequence[BarFile]) -> int:
    return files[0].bars.timeframe_ms


def _joined(parts: list[BarFile]) -> BarColumns:
    """Return the files of one symbol end to end."""
    if len(parts) == 1:
        return parts[0].bars
    ordered = sorted(parts, key=lambda part: int(part.bars.ts_ms[0]))
    for before, after in pairwise(ordered):
        if int(after.bars.ts_ms[0]) <= int(before.bars.ts_ms[-1]):
            raise DataError(
                f"{after.path}: first timestamp was {int(after.bars.ts_ms[0])}, "
                f"allowed: after {int(before.bars.ts_ms[-1])}, the last of {before.path}"
            )

    def column(name: str) -> Any:
        return np.concatenate([getattr(part.bars, name) for part in ordered])

    return BarColumns(
        column("ts_ms"),
        column("open"),
        column("high"),
        column("low"),
        column("close"),
        column("volume"),
        _ms(ordered),
    )


class HistorySource:
    """Emits a history's bars in time order (MarketSource); symbols in the given order at a tie.

    Bars that open in [``from_ms``, ``to_ms``) are emitted; earlier ones are ``history``. With
    ``book_seed`` each event carries the seeded book and taker flow, else neither.
    """

    def __init__(
        self,
        history: History,
        *,
        from_ms: int | None = None,
        to_ms: int | None = None,
        book_seed: int | None = None,
    ) -> None:
        self._history = history
        self._book_seed = book_seed
        self._rows = {
            symbol: _rows_between(bars, from_ms, to_ms) for symbol, bars in history.bars.items()
        }

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return self._history.instruments

    @property
    def timeframe_ms(self) -> int:
        return self._history.timeframe_ms

    def columns(self, symbol: str) -> BarColumns:
        """Return all bars up to the last one emitted; row ``first_row`` is the first event's."""
        return _slice(self._history.bars[symbol], 0, self._rows[symbol][1])

    def first_row(self, symbol: str) -> int:
        """Return the row of the first emitted bar in ``columns``."""
        return self._rows[symbol][0]

    def __len__(self) -> int:
        """Return the number of events."""
        return sum(last - first for first, last in self._rows.values())

    def history(self, symbol: str, n_bars: int) -> BarColumns:
        """Return up to ``n_bars`` bars before the first event, oldest first."""
        first = self._rows[symbol][0]
        return _slice(self._history.bars[symbol], max(0, first - n_bars), first)

    @property
    def has_books(self) -> bool:
        """True where each event carries a book and taker flow."""
        return self._book_seed is not None

    def events(self) -> Iterator[MarketEvent]:
        """Yield every bar as it closes; ``now_ms`` equals ``ts_ms``."""
        streams = [self.symbol_events(symbol) for symbol in self._history.bars]
        if len(streams) == 1:
            return streams[0]
        return heapq.merge(*streams, key=attrgetter("ts_ms"))

    def symbol_events(self, symbol: str) -> SymbolEvents:
        """Return the events of one symbol, some of which may be passed over."""
        bars = iterate_bars(self._history.bars[symbol], *self._rows[symbol])
        return SymbolEvents(bars, lambda bar: self._event(symbol, bar))

    def _event(self, symbol: str, bar: Bar) -> MarketEvent:
        close_ms = bar.ts_ms + self._history.timeframe_ms
        if self._book_seed is None:
            return MarketEvent(EventKind.BAR, symbol, close_ms, close_ms, bar)
        return self._with_book(symbol, bar, close_ms, self._book_seed)

    def _with_book(self, symbol: str, bar: Bar, close_ms: int, seed: int) -> MarketEvent:
        instrument = self._history.instruments[symbol]
        book = synthetic_book(seed, instrument, bar, close_ms)
        flow = synthetic_flow(seed, instrument, bar)
        return MarketEvent(EventKind.BAR, symbol, close_ms, close_ms, bar, book, flow)


class SymbolEvents(Iterator[MarketEvent]):
    """One symbol's events, each made when it is asked for; ``skip`` passes over some."""

    def __init__(self, bars: Iterator[Bar], event_of: Callable[[Bar], MarketEvent]) -> None:
        self._bars = bars
        self._event_of = event_of

    def __next__(self) -> MarketEvent:
        return self._event_of(next(self._bars))

    def skip(self, n_events: int) -> None:
        """Pass over the next events; nothing is made of them."""
        deque(islice(self._bars, n_events), maxlen=0)


def iterate_bars(bars: BarColumns, first: int, last: int) -> Iterator[Bar]:
    """Yield rows ``first`` to ``last`` (excluded) as bars of Python scalars, made in blocks."""
    for start in range(first, last, _BLOCK_ROWS):
        rows = slice(start, min(last, start + _BLOCK_ROWS))
        yield from map(
            Bar,
            bars.ts_ms[rows].tolist(),
            bars.open[rows].tolist(),
            bars.high[rows].tolist(),
            bars.low[rows].tolist(),
            bars.close[rows].tolist(),
            bars.volume[rows].tolist(),
        )


def _rows_between(bars: BarColumns, from_ms: int | None, to_ms: int | None) -> tuple[int, int]:
    first = 0 if from_ms is None else int(np.searchsorted(bars.ts_ms, from_ms))
    last = len(bars) if to_ms is None else int(np.searchsorted(bars.ts_ms, to_ms))
    return first, max(first, last)


def _slice(bars: BarColumns, first: int, last: int) -> BarColumns:
    return BarColumns(
        bars.ts_ms[first:last],
        bars.open[first:last],
        bars.high[first:last],
        bars.low[first:last],
        bars.close[first:last],
        bars.volume[first:last],
        bars.timeframe_ms,
    )
