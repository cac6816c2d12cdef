"""Candle files: parquet or csv(.gz) into columns, or one clear line about what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from engine.quality import validate_columns
from engine.types.bars import BarColumns, FloatColumn, IntColumn
from market.errors import DataError
from market.sources.instruments import split_symbol, timeframe_to_ms

PRICE_COLUMNS = ("open", "high", "low", "close", "volume")
COLUMNS = ("timestamp", *PRICE_COLUMNS)
# First and last representable days of a market: anything else is seconds or nanoseconds.
_EARLIEST_MS = 946_684_800_000
_LATEST_MS = 4_102_444_800_000
_NAME_PARTS = 4


@dataclass(frozen=True, slots=True)
class BarFile:
    """One candle file that passed every check."""

    path: Path
    symbol: str
    bars: BarColumns


def read_bars(
    path: str | Path, *, symbol: str | None = None, timeframe: str | None = None
) -> BarFile:
    """Read one file of candles; symbol and timeframe come from its metadata or its name
    (``binance_spot_BTCUSDT_1m_2021-09.parquet``) where they are not given.

    Raises:
        DataError: it cannot be read, a column or row breaks a rule, or nothing says what it is.
    """
    file = Path(path)
    frame, metadata = _read_frame(file)
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise DataError(
            f"{file}: column {missing[0]} is missing, "
            f"columns were {', '.join(frame.columns)}, allowed: {', '.join(COLUMNS)}"
        )
    if frame.height == 0:
        raise DataError(f"{file}: rows were 0, allowed: at least 1")
    named = _named(file, "symbol", symbol or metadata.get("symbol"), 2)
    bar_length = _named(file, "timeframe", timeframe or metadata.get("timeframe"), 3)
    try:
        resolved, timeframe_ms = split_symbol(named), timeframe_to_ms(bar_length)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    ts_ms = _timestamps(file, frame)
    opens, highs, lows, closes, volumes = (_floats(file, frame, name) for name in PRICE_COLUMNS)
    bars = BarColumns(ts_ms, opens, highs, lows, closes, volumes, timeframe_ms)
    _refuse_bad_rows(file, bars)
    return BarFile(file, resolved, bars)


def parse_instant(text: str, what: str) -> int:
    """Return UTC milliseconds of an ISO date or time; without a zone it is UTC.

    Raises:
        DataError: it is not ISO 8601.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(
            f"{what} was {text!r}, allowed: ISO 8601, for example 2024-08-05T12:00"
        ) from None
    aware = instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)


# polars is imported on first use: 187 MB on disk that web and beat processes never need.
def _read_frame(file: Path) -> tuple[Any, dict[str, str]]:
    if not file.is_file():
        raise DataError(f"{file}: no such file, allowed: a parquet, csv or csv.gz file")
    polars = import_module("polars")
    try:
        if file.suffix == ".parquet":
            return polars.read_parquet(file), dict(polars.read_parquet_metadata(file))
        if file.name.endswith((".csv", ".csv.gz")):
            return polars.read_csv(file, infer_schema_length=None), {}
        if file.suffix == ".feather":
            return _timestamped(polars.read_ipc(file)), {}
    except (polars.exceptions.PolarsError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{file}: not readable as {file.suffix[1:]}: {reason}") from error
    raise DataError(
        f"{file}: ending was {file.suffix!r}, allowed: .parquet, .csv, .csv.gz, .feather"
    )


def _timestamped(frame: Any) -> Any:
    """Return the frame with milliseconds where it has a ``date`` instead, as freqtrade writes."""
    if "date" not in frame.columns or not frame["date"].dtype.is_temporal():
        return frame
    return frame.with_columns(timestamp=frame["date"].dt.epoch("ms"))


def _named(file: Path, what: str, given: str | None, part: int) -> str:
    """Return what was given, else the part of a name like ``binance_spot_BTCUSDT_1m...``."""
    if given is not None:
        return given
    parts = file.name.split(".")[0].split("_")
    # Venues without a market kind have one part fewer: ftx_BTCPERP_1m_2022-01.
    shift = 0 if len(parts) >= _NAME_PARTS and parts[1].islower() else -1
    if part + shift >= len(parts):
        raise DataError(
            f"{file}: {what} was not given and not in the file name, "
            "allowed: a name like binance_spot_BTCUSDT_1m_2024.parquet"
        )
    return parts[part + shift]


def _timestamps(file: Path, frame: Any) -> IntColumn:
    column = frame["timestamp"]
    if not column.dtype.is_integer():
        raise DataError(
            f"{file}: column timestamp was {column.dtype}, allowed: whole UTC milliseconds"
        )
    _refuse_nulls(file, frame, "timestamp")
    values: IntColumn = column.to_numpy().astype(np.int64)
    outside = np.flatnonzero((values < _EARLIEST_MS) | (values > _LATEST_MS))
    if outside.size:
        row = int(outside[0])
        raise DataError(
            f"{file}: {_place(file, row)}: timestamp was {int(values[row])}, "
            "allowed: UTC milliseconds between 2000 and 2100"
        )
    return values


def _floats(file: Path, frame: Any, name: str) -> FloatColumn:
    column = frame[name]
    if not column.dtype.is_numeric():
        raise DataError(f"{file}: column {name} was {column.dtype}, allowed: numbers")
    _refuse_nulls(file, frame, name)
    values: FloatColumn = column.to_numpy().astype(np.float64)
    return values


def _refuse_nulls(file: Path, frame: Any, name: str) -> None:
    if frame[name].null_count():
        row = int(frame[name].is_null().arg_max())
        raise DataError(f"{file}: {_place(file, row)}: {name} was empty, allowed: a number")


def _place(file: Path, row: int) -> str:
    """Return where a person finds a row: the line of a text file, its header counted, or the
    number of the row of data, from 1."""
    return f"line {row + 2}" if ".csv" in file.suffixes else f"data row {row + 1}"


def _refuse_bad_rows(file: Path, bars: BarColumns) -> None:
    refused = validate_columns(bars)
    if refused:
        row, reason = refused[0]
        more = f" (and {len(refused) - 1} more rows)" if len(refused) > 1 else ""
        raise DataError(f"{file}: {_place(file, row)}: {reason.code}: {reason.text}{more}")
