"""Statistics of recent returns: shape, dependence, order."""

from __future__ import annotations

from math import log, log1p, sqrt

import numpy as np

from engine import shared_columns, windows
from engine.compiled import window_kernel
from engine.features.inputs import Matrix, locked
from engine.types.bars import ColumnStore, FloatColumn

NAMES = (
    "close_z_48",
    "autocorrelation_32",
    "variance_ratio_4_64",
    "skewness_48",
    "tail_weight_48",
    "rising_share_16",
    "return_rank_64",
    "pattern_order_48",
    "rescaled_range_64",
)
STILL = shared_columns.STILL_FRACTION


def write(store: ColumnStore, first: int, last: int, out: Matrix, column: int) -> None:
    """Write rows ``first`` to ``last`` (excluded) of this category from ``column`` on."""
    close, returns = locked(store).close, shared_columns.log_returns(store)
    _rows(close, shared_columns.log_close(store), returns, first, last, out, column)


@window_kernel
def _rows(
    close: FloatColumn,
    log_close: FloatColumn,
    returns: FloatColumn,
    first: int,
    last: int,
    out: Matrix,
    column: int,
) -> None:
    counts = np.empty(8)
    for row in range(first, last):
        at = row - first
        distance = close[row] - windows.total(close, row, 48) / 48.0
        spread = windows.deviation(close, row, 48)
        # windows flatter than this part of price hold rounding, not movement
        out[at, column] = windows.ratio(distance, spread, STILL * close[row])
        out[at, column + 1] = 4.0 * windows.autocorrelation(returns, row, 32)
        out[at, column + 2] = 2.0 * _variance_ratio(log_close, returns, row, 4, 64)
        skewness, kurtosis = windows.moments(returns, row, 48)
        out[at, column + 3] = skewness
        # log1p(3) = log(4): a Gaussian window reads 0
        out[at, column + 4] = log1p(kurtosis) - log(4.0)
        out[at, column + 5] = 4.0 * _rising_share(returns, row, 16)
        out[at, column + 6] = 2.0 * _rank(returns, row, 64)
        out[at, column + 7] = _pattern_order(returns, row, 48, counts)
        out[at, column + 8] = 3.0 * _rescaled_range(returns, row, 64)


@window_kernel
def _variance_ratio(
    log_close: FloatColumn, returns: FloatColumn, row: int, step: int, window: int
) -> float:
    # ln of the variance of longer returns over that expected of a walk. Lo, MacKinlay (1988).
    single = windows.root_mean_square(returns, row, window)
    if single <= STILL:
        return 0.0
    squares, count = 0.0, window - step + 1
    for i in range(row - count + 1, row + 1):
        move = log_close[i] - log_close[i - step]
        squares += move * move
    return windows.log_ratio(squares / count, step * single * single)


@window_kernel
def _rising_share(returns: FloatColumn, row: int, window: int) -> float:
    net = 0
    for i in range(row - window + 1, row + 1):
        net += (returns[i] > 0.0) - (returns[i] < 0.0)
    return net / window


@window_kernel
def _rank(returns: FloatColumn, row: int, window: int) -> float:
    # share of the window's returns below this one less the share above it
    net, here = 0, returns[row]
    for i in range(row - window + 1, row):
        net += (here > returns[i]) - (here < returns[i])
    return net / (window - 1)


@window_kernel
def _pattern_order(returns: FloatColumn, row: int, window: int, counts: FloatColumn) -> float:
    # how far the up-down patterns of three bars are from equally likely, as entropy lacking
    counts[:] = 0.0
    pattern = 0
    for i in range(row - window + 1, row + 1):
        pattern = (pattern * 2 + (1 if returns[i] > 0.0 else 0)) % 8
        if i >= row - window + 3:
            counts[pattern] += 1.0
    entropy = 0.0
    for i in range(8):
        if counts[i] > 0.0:
            share = counts[i] / (window - 2.0)
            entropy -= share * log(share)
    # a walk's 46 patterns lack (8 - 1) / (2 * 46) on average
    return 10.0 * (1.0 - entropy / log(8.0)) - 0.4


@window_kernel
def _rescaled_range(returns: FloatColumn, row: int, window: int) -> float:
    # ln of Hurst's R/S over that of a walk of this length (about 8.4 for 64; Anis, Lloyd 1976)
    spread = windows.deviation(returns, row, window)
    if spread <= STILL:
        return 0.0
    mean = windows.total(returns, row, window) / window
    level, top, bottom = 0.0, 0.0, 0.0
    for i in range(row - window + 1, row + 1):
        level += returns[i] - mean
        top, bottom = max(top, level), min(bottom, level)
    return windows.log_ratio((top - bottom) / spread, 1.05 * sqrt(window))
