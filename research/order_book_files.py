"""Recorded books, quotes and trades from parquet files, or one clear line about what is wrong."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from engine.types.bars import FloatColumn, IntColumn
from market.errors import DataError
from research.core.order_books import BookTape, BrokenBook, DepthUpdates, from_quotes, rebuild
from research.core.order_flow_study import OrderFlowStudy, Trades, quote_test, study

_DEPTH = ("timestamp", "U", "u", "pu", "side", "price", "qty", "is_snapshot")
_QUOTES = ("timestamp", "bid", "bid_qty", "ask", "ask_qty")
_TRADES = ("timestamp", "price", "qty")


def evaluate(*, depth: str | None, quotes: str | None, trades: str | None) -> OrderFlowStudy:
    """Read one recording and study it. Exactly one of ``depth`` and ``quotes`` must be given.

    Raises:
        DataError: a file is missing, corrupt, of another shape, or does not make a book.
    """
    if (depth is None) == (quotes is None):
        given = "both" if depth else "neither"
        raise DataError(f"--depth and --quotes: {given} was given, allowed: one of them")
    if trades is None:
        raise DataError("--trades was not given, allowed: a parquet file of trades")
    tape = read_depth(depth) if depth is not None else read_quotes(quotes or "")
    found = read_trades(trades, tape)
    if found.ts_ms[-1] < tape.ts_ms[0] or found.ts_ms[0] > tape.ts_ms[-1]:
        raise DataError(
            f"{trades}: trades were from {found.ts_ms[0]} to {found.ts_ms[-1]} ms, "
            f"allowed: some within the books' {tape.ts_ms[0]} to {tape.ts_ms[-1]}"
        )
    return study(tape, found)


def read_depth(path: str) -> BookTape:
    """Return the books of a file of depth updates (``is_snapshot`` rows first)."""
    frame = _frame(path, _DEPTH)
    flags = frame["is_snapshot"].to_numpy()
    if flags.dtype != np.bool_:
        raise DataError(f"{path}: column is_snapshot was {flags.dtype}, allowed: bool")
    updates = DepthUpdates(
        ts_ms=_times(frame, path),
        first=_integers(frame, "U", path),
        last=_integers(frame, "u", path),
        previous=_integers(frame, "pu", path),
        side=_signs(frame, path),
        price=_floats(frame, "price", path, least=0.0, above=True),
        qty=_floats(frame, "qty", path, least=0.0),
        is_snapshot=flags,
    )
    try:
        return rebuild(updates)
    except BrokenBook as error:
        raise DataError(f"{path}: {error}") from error


def read_quotes(path: str) -> BookTape:
    """Return the books of a file of best quotes."""
    frame = _frame(path, _QUOTES)
    sides = [_floats(frame, name, path, least=0.0, above=True) for name in _QUOTES[1:]]
    try:
        return from_quotes(_times(frame, path), *sides)
    except BrokenBook as error:
        raise DataError(f"{path}: {error}") from error


def read_trades(path: str, tape: BookTape) -> Trades:
    """Return trades; where the file does not tell the taker, the quote standing before does."""
    frame = _frame(path, _TRADES)
    ts_ms = _times(frame, path)
    price = _floats(frame, "price", path, least=0.0, above=True)
    qty = _floats(frame, "qty", path, least=0.0)
    if "side" in frame.columns:
        return Trades(ts_ms, price, qty, _signs(frame, path).astype(np.float64))
    return Trades(ts_ms, price, qty, quote_test(tape, ts_ms, price))


def _frame(path: str, columns: tuple[str, ...]) -> Any:
    polars = import_module("polars")
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file, allowed: a parquet file")
    try:
        frame = polars.read_parquet(path)
    except (polars.exceptions.PolarsError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: not a readable parquet file: {first}") from error
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise DataError(
            f"{path}: column {missing[0]} was missing, allowed: a file with {', '.join(columns)}"
        )
    if frame.height < 2:
        raise DataError(f"{path}: rows were {frame.height}, allowed: at least 2")
    return frame


def _times(frame: Any, path: str) -> IntColumn:
    ts_ms = _integers(frame, "timestamp", path)
    # a snapshot's rows stand first, whatever their time
    later = ts_ms if "is_snapshot" not in frame.columns else ts_ms[~frame["is_snapshot"].to_numpy()]
    if later.shape[0] and bool((np.diff(later) < 0).any()):
        at = int(np.flatnonzero(np.diff(later) < 0)[0]) + 1
        raise DataError(
            f"{path}: timestamp was {later[at]} after {later[at - 1]}, allowed: in time order"
        )
    return ts_ms


def _integers(frame: Any, name: str, path: str) -> IntColumn:
    column = frame[name]
    if column.null_count() or not column.dtype.is_integer():
        raise DataError(f"{path}: column {name} was {column.dtype} with {column.null_count()} "
                        "empty cells, allowed: whole numbers")  # fmt: skip
    return np.ascontiguousarray(column.to_numpy(), dtype=np.int64)


def _signs(frame: Any, path: str) -> IntColumn:
    sides = _integers(frame, "side", path)
    if not np.isin(sides, (-1, 1)).all():
        raise DataError(f"{path}: side was {sides[~np.isin(sides, (-1, 1))][0]}, allowed: 1 or -1")
    return sides


def _floats(frame: Any, name: str, path: str, *, least: float, above: bool = False) -> FloatColumn:
    column = frame[name]
    if column.null_count() or not column.dtype.is_numeric():
        raise DataError(f"{path}: column {name} was {column.dtype} with {column.null_count()} "
                        "empty cells, allowed: numbers")  # fmt: skip
    values = np.ascontiguousarray(column.to_numpy(), dtype=np.float64)
    good = np.isfinite(values) & ((values > least) if above else (values >= least))
    if not good.all():
        word = "above" if above else "at least"
        raise DataError(f"{path}: {name} was {values[~good][0]}, allowed: {word} {least:g}")
    return values
