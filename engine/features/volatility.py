"""Volatility: how much price moves, against its own past and by different witnesses."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np

from engine import market_columns, shared_columns, windows
from engine.compiled import window_kernel
from engine.features.inputs import Matrix, atr, locked, part
from engine.types.bars import ColumnStore, FloatColumn

NAMES = (
    "volatility_log_ratio",
    "volatility_change_8_64",
    "true_range_atr",
    "range_24_atr",
    "range_volatility_change_16_64",
    "range_over_close_volatility_32",
    "downside_share_32",
    "jump_share_32",
    "volatility_of_volatility_32",
)
STILL = shared_columns.STILL_FRACTION
# Mean square of ln(high / low) of a driftless walk is 4 ln 2 variances. Source: Parkinson (1980).
PARKINSON = 4.0 * np.log(2.0)
# A Gaussian's absolute value has this standard deviation over mean.
GAUSSIAN_SPREAD = sqrt(pi / 2.0 - 1.0)


def write(store: ColumnStore, first: int, last: int, out: Matrix, column: int) -> None:
    """Write rows ``first`` to ``last`` (excluded) of this category from ``column`` on."""
    bars = locked(store)
    _rows(
        bars.high,
        bars.low,
        shared_columns.log_returns(store),
        shared_columns.true_range(store),
        atr(store),
        part(store, "log_range"),
        market_columns.volatility_log_ratio(store),
        first,
        last,
        out,
        column,
    )


@window_kernel
def _rows(
    high: FloatColumn,
    low: FloatColumn,
    returns: FloatColumn,
    true_range: FloatColumn,
    atr_: FloatColumn,
    log_range: FloatColumn,
    log_ratio: FloatColumn,
    first: int,
    last: int,
    out: Matrix,
    column: int,
) -> None:
    for row in range(first, last):
        at, reach = row - first, atr_[row]
        out[at, column] = log_ratio[row]
        short, long = windows.deviation(returns, row, 8), windows.deviation(returns, row, 64)
        out[at, column + 1] = windows.ratio(short, long, STILL) - 1.0
        out[at, column + 2] = windows.ratio(true_range[row], reach, 0.0) - 1.0
        out[at, column + 3] = windows.ratio(_width(high, low, row, 24), reach, 0.0) / 2.0 - 2.0
        range_short = windows.root_mean_square(log_range, row, 16)
        range_long = windows.root_mean_square(log_range, row, 64)
        out[at, column + 4] = 3.0 * windows.log_ratio(range_short, range_long)
        range_32 = windows.root_mean_square(log_range, row, 32) / sqrt(PARKINSON)
        close_32 = windows.root_mean_square(returns, row, 32)
        if close_32 <= STILL:
            close_32 = 0.0
        out[at, column + 5] = 3.0 * windows.log_ratio(range_32, close_32)
        _write_shape(returns, row, 32, out, at, column + 6)


@window_kernel
def _width(high: FloatColumn, low: FloatColumn, row: int, window: int) -> float:
    top, bottom = high[row], low[row]
    for i in range(row - window + 1, row):
        top, bottom = max(top, high[i]), min(bottom, low[i])
    return float(top - bottom)


@window_kernel
def _write_shape(
    returns: FloatColumn, row: int, window: int, out: Matrix, at: int, column: int
) -> None:
    # downside part, jump part (Barndorff-Nielsen, Shephard 2004), spread of the sizes
    squares, down, neighbours, sizes = 0.0, 0.0, 0.0, 0.0
    for i in range(row - window + 1, row + 1):
        square = returns[i] * returns[i]
        squares += square
        if returns[i] < 0.0:
            down += square
        neighbours += abs(returns[i]) * abs(returns[i - 1])
        sizes += abs(returns[i])
    out[at, column] = out[at, column + 1] = out[at, column + 2] = 0.0
    if squares <= window * STILL * STILL:
        return
    out[at, column] = 4.0 * down / squares - 2.0
    out[at, column + 1] = 3.0 * (1.0 - pi / 2.0 * neighbours / squares)
    mean = sizes / window
    spread = sqrt(max(0.0, squares / window - mean * mean)) / mean
    out[at, column + 2] = 4.0 * (spread - GAUSSIAN_SPREAD)
