"""Momentum: how far and how fast price moved, in units of its own volatility."""

from __future__ import annotations

from math import log1p, sqrt

from engine import shared_columns, windows
from engine.compiled import window_kernel
from engine.features.inputs import Matrix, locked
from engine.types.bars import ColumnStore, FloatColumn

NAMES = (
    "return_1_z",
    "return_4_z",
    "return_16_z",
    "return_48_z",
    "acceleration_8_z",
    "rsi_14",
    "range_position_48",
    "stochastic_14",
    "run_length",
)
STILL = shared_columns.STILL_FRACTION


def write(store: ColumnStore, first: int, last: int, out: Matrix, column: int) -> None:
    """Write rows ``first`` to ``last`` (excluded) of this category from ``column`` on."""
    bars = locked(store)
    _rows(
        bars.high,
        bars.low,
        bars.close,
        shared_columns.log_close(store),
        shared_columns.log_returns(store),
        shared_columns.rsi(store, 14),
        first,
        last,
        out,
        column,
    )


@window_kernel
def _rows(
    high: FloatColumn,
    low: FloatColumn,
    close: FloatColumn,
    log_close: FloatColumn,
    returns: FloatColumn,
    rsi: FloatColumn,
    first: int,
    last: int,
    out: Matrix,
    column: int,
) -> None:
    for row in range(first, last):
        at = row - first
        usual = windows.deviation(returns, row, 64)
        here = log_close[row]
        out[at, column] = windows.ratio(here - log_close[row - 1], usual, STILL)
        out[at, column + 1] = windows.ratio(here - log_close[row - 4], 2.0 * usual, STILL)
        out[at, column + 2] = windows.ratio(here - log_close[row - 16], 4.0 * usual, STILL)
        out[at, column + 3] = windows.ratio(here - log_close[row - 48], sqrt(48.0) * usual, STILL)
        gained = here - 2.0 * log_close[row - 8] + log_close[row - 16]
        out[at, column + 4] = windows.ratio(gained, 4.0 * usual, STILL)
        out[at, column + 5] = (rsi[row] - 50.0) / 20.0
        out[at, column + 6] = 2.0 * _position(high, low, close, row, 48)
        out[at, column + 7] = 2.0 * _position(high, low, close, row, 14)
        out[at, column + 8] = _run_length(close, row, 16)


@window_kernel
def _position(high: FloatColumn, low: FloatColumn, close: FloatColumn, row: int, n: int) -> float:
    # the close between lowest low (-1/2) and highest high (+1/2)
    top, bottom = high[row], low[row]
    for i in range(row - n + 1, row):
        top, bottom = max(top, high[i]), min(bottom, low[i])
    return windows.ratio(close[row] - (top + bottom) / 2.0, top - bottom, STILL * close[row])


@window_kernel
def _run_length(close: FloatColumn, row: int, longest: int) -> float:
    # closes in a row that went one way, with its sign; logarithmic, for long runs are rare
    sign, length = 0.0, 0
    for i in range(row, row - longest, -1):
        change = close[i] - close[i - 1]
        step = 1.0 if change > 0.0 else (-1.0 if change < 0.0 else 0.0)
        if step == 0.0 or (length > 0 and step != sign):
            break
        sign, length = step, length + 1
    return sign * log1p(float(length))
