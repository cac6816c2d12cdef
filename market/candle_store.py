"""Candles kept in files of our own, one a venue, symbol and bar length; replays read them.

A bar that is kept stays as it is. Files are replaced whole, so a reader never sees half of one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from engine.quality import validate_columns
from engine.types.bars import BarColumns
from market.errors import DataError
from market.sources.files import COLUMNS, PRICE_COLUMNS, read_bars
from market.sources.instruments import timeframe_from_ms

_VENUE = re.compile(r"^[a-z][a-z0-9]{1,39}$")
_SYMBOL = re.compile(r"^[A-Z0-9]{1,20}/[A-Z0-9]{1,20}$")


@dataclass(frozen=True, slots=True)
class Gap:
    """Bars that are missing between two kept ones: opens from ``from_ms`` up to ``to_ms``
    (excluded)."""

    from_ms: int
    to_ms: int
    n_bars: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What one keeping did: how many bars are new, were there already, or the gate refused."""

    new: int
    known: int
    refused: int


@dataclass(frozen=True, slots=True)
class Shelf:
    """One file of the store, which may not be there yet."""

    folder: Path
    venue: str
    symbol: str
    timeframe_ms: int

    def __post_init__(self) -> None:
        if not _VENUE.match(self.venue):
            raise DataError(f"exchange was {self.venue!r}, allowed: lowercase letters and digits")
        if not _SYMBOL.match(self.symbol):
            raise DataError(f"symbol was {self.symbol!r}, allowed: BASE/QUOTE such as BTC/USDT")

    @property
    def path(self) -> Path:
        name = f"{self.venue}_spot_{self.symbol.replace('/', '')}"
        return self.folder / f"{name}_{timeframe_from_ms(self.timeframe_ms)}.parquet"

    def read(self) -> BarColumns:
        """Return the kept bars, none where there is no file.

        Raises:
            DataError: the file is damaged.
        """
        if not self.path.is_file():
            return _empty(self.timeframe_ms)
        return read_bars(self.path).bars

    def keep(self, bars: BarColumns) -> Kept:
        """Add bars that pass the quality gate and are not there yet."""
        before = self.read()
        merged, refused = merged_bars(before, bars)
        new = len(merged) - len(before)
        if new:
            self._write(merged)
        return Kept(new, len(bars) - refused - new, refused)

    def older(self, before_ms: int) -> int:
        """Return how many kept bars opened before then."""
        return int(np.searchsorted(self.read().ts_ms, before_ms))

    def trim(self, before_ms: int) -> int:
        """Delete the bars opened before then; returns how many. A file left empty goes too."""
        bars, first = self.read(), self.older(before_ms)
        if first == 0:
            return 0
        if first == len(bars):
            self.path.unlink()
        else:
            self._write(bars.rows(first, len(bars)))
        return first

    def _write(self, bars: BarColumns) -> None:
        polars: Any = import_module("polars")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        columns = [bars.ts_ms, *(getattr(bars, name) for name in PRICE_COLUMNS)]
        frame = polars.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
        scratch = self.path.with_suffix(f".{os.getpid()}")
        named = {"symbol": self.symbol, "timeframe": timeframe_from_ms(self.timeframe_ms)}
        frame.write_parquet(scratch, metadata=named)
        os.replace(scratch, self.path)


def merged_bars(kept: BarColumns, new: BarColumns) -> tuple[BarColumns, int]:
    """Return both in time order, and how many new bars the quality gate refused.

    Of two bars of one time the kept one stays. A new bar is judged beside its neighbours of both.
    """
    if new.timeframe_ms != kept.timeframe_ms:
        raise DataError(f"bar length was {new.timeframe_ms} ms, allowed: {kept.timeframe_ms} ms")
    own = {row for row, _ in validate_columns(new)}
    fresh = np.array(
        [r for r in range(len(new)) if r not in own and not _holds(kept, int(new.ts_ms[r]))],
        dtype=np.int64,
    )
    columns = [
        np.concatenate((getattr(kept, name), getattr(new, name)[fresh]))
        for name in ("ts_ms", *PRICE_COLUMNS)
    ]
    order = np.argsort(columns[0], kind="stable")
    is_new = np.concatenate((np.zeros(len(kept), bool), np.ones(len(fresh), bool)))[order]
    whole = BarColumns(*(column[order] for column in columns), timeframe_ms=kept.timeframe_ms)
    odd = {row for row, _ in validate_columns(whole) if is_new[row]}
    stays = np.array([row not in odd for row in range(len(whole))], dtype=bool)
    return (
        BarColumns(
            *(getattr(whole, name)[stays] for name in ("ts_ms", *PRICE_COLUMNS)),
            timeframe_ms=kept.timeframe_ms,
        ),
        len(own) + len(odd),
    )


def gaps_of(bars: BarColumns) -> list[Gap]:
    """Return the stretches that are missing between the first and the last bar."""
    steps = np.diff(bars.ts_ms)
    return [
        Gap(
            int(bars.ts_ms[row]) + bars.timeframe_ms,
            int(bars.ts_ms[row + 1]),
            int(steps[row]) // bars.timeframe_ms - 1,
        )
        for row in np.flatnonzero(steps > bars.timeframe_ms)
    ]


def missing_spans(bars: BarColumns, from_ms: int, to_ms: int) -> list[tuple[int, int]]:
    """Return the stretches of [from, to) that no kept bar covers, oldest first."""
    inside = bars.ts_ms[(bars.ts_ms >= from_ms) & (bars.ts_ms < to_ms)]
    if not len(inside):
        return [(from_ms, to_ms)] if from_ms < to_ms else []
    first, last = int(inside[0]), int(inside[-1]) + bars.timeframe_ms
    spans = [(from_ms, first), *((g.from_ms, g.to_ms) for g in gaps_of(bars)), (last, to_ms)]
    clipped = [(max(a, from_ms), min(b, to_ms)) for a, b in spans]
    return [(a, b) for a, b in clipped if a < b]


def shelves(folder: Path) -> Iterator[tuple[Path, str, BarColumns]]:
    """Yield every file of the store with its symbol and bars.

    Raises:
        DataError: a file is damaged.
    """
    for path in sorted(folder.glob("*.parquet")):
        file = read_bars(path)
        yield path, file.symbol, file.bars


def shelf_of(path: Path) -> Shelf:
    """Return the shelf whose file this is.

    Raises:
        DataError: it is damaged, or its name does not begin with a venue.
    """
    file = read_bars(path)
    return Shelf(path.parent, path.name.split("_")[0], file.symbol, file.bars.timeframe_ms)


def _holds(bars: BarColumns, ts_ms: int) -> bool:
    row = int(np.searchsorted(bars.ts_ms, ts_ms))
    return row < len(bars) and int(bars.ts_ms[row]) == ts_ms


def _empty(timeframe_ms: int) -> BarColumns:
    numbers = [np.zeros(0) for _ in PRICE_COLUMNS]
    return BarColumns(np.zeros(0, dtype=np.int64), *numbers, timeframe_ms=timeframe_ms)
