"""Microstructure from bars: what spreads, impact and order flow must have been.

Estimates from prices and volume only, for histories without books; where a book is given, phase 3
reads it instead.
"""

from __future__ import annotations

from math import log, sqrt

from engine import shared_columns, windows
from engine.compiled import window_kernel
from engine.features.inputs import Matrix, locked, part
from engine.types.bars import ColumnStore, FloatColumn

NAMES = (
    "high_low_spread_24",
    "roll_spread_32",
    "close_high_low_spread_32",
    "illiquidity_change_8_64",
    "bulk_imbalance_16",
    "order_toxicity_48",
    "price_impact_change_16_64",
    "price_impact_fit_32",
    "volume_reversal_32",
)
STILL = shared_columns.STILL_FRACTION


def write(store: ColumnStore, first: int, last: int, out: Matrix, column: int) -> None:
    """Write rows ``first`` to ``last`` (excluded) of this category from ``column`` on."""
    _rows(
        locked(store).volume,
        shared_columns.log_close(store),
        shared_columns.log_returns(store),
        part(store, "log_middle"),
        part(store, "high_low_spread"),
        part(store, "illiquidity"),
        part(store, "signed_root_value"),
        part(store, "signed_volume"),
        part(store, "bulk_volume"),
        first,
        last,
        out,
        column,
    )


@window_kernel
def _rows(
    volume: FloatColumn,
    log_close: FloatColumn,
    returns: FloatColumn,
    log_middle: FloatColumn,
    spread: FloatColumn,
    illiquidity: FloatColumn,
    root_value: FloatColumn,
    signed_volume: FloatColumn,
    bulk_volume: FloatColumn,
    first: int,
    last: int,
    out: Matrix,
    column: int,
) -> None:
    for row in range(first, last):
        at = row - first
        usual = windows.root_mean_square(returns, row, 64)
        out[at, column] = 3.0 * windows.ratio(windows.total(spread, row, 24) / 24.0, usual, STILL)
        out[at, column + 1] = 2.0 * windows.ratio(_roll_spread(returns, row, 32), usual, STILL)
        estimate = _close_high_low(log_close, log_middle, row, 32)
        out[at, column + 2] = 2.0 * windows.ratio(estimate, usual, STILL)
        out[at, column + 3] = 1.5 * windows.log_ratio(
            windows.total(illiquidity, row, 8) / 8.0, windows.total(illiquidity, row, 64) / 64.0
        )
        short = windows.total(volume, row, 16)
        net = windows.total(bulk_volume, row, 16)
        out[at, column + 4] = 3.0 * windows.ratio(net, short, 0.0)
        out[at, column + 5] = 4.0 * _toxicity(bulk_volume, volume, row) - 1.0
        out[at, column + 6] = _impact_change(returns, root_value, row)
        fit = windows.correlation(returns, row, root_value, row, 32)
        out[at, column + 7] = 4.0 * fit - 3.0 if usual > STILL else 0.0
        out[at, column + 8] = 4.0 * windows.correlation(returns, row, signed_volume, row - 1, 32)


@window_kernel
def _roll_spread(returns: FloatColumn, row: int, window: int) -> float:
    # 2 sqrt(-covariance of neighbouring returns); 0 where it is positive. Source: Roll (1984).
    mean = windows.total(returns, row, window) / window
    covariance = 0.0
    for i in range(row - window + 2, row + 1):
        covariance += (returns[i] - mean) * (returns[i - 1] - mean)
    return 2.0 * sqrt(max(0.0, -covariance / (window - 1)))


@window_kernel
def _close_high_low(log_close: FloatColumn, log_middle: FloatColumn, row: int, n: int) -> float:
    # twice the root of the mean product of the close's distance to this and the next middle,
    # negative set to 0. Source: Abdi, Ranaldo (2017), eq. 11.
    product = 0.0
    for i in range(row - n + 1, row + 1):
        before = log_close[i - 1]
        product += (before - log_middle[i - 1]) * (before - log_middle[i])
    return 2.0 * sqrt(max(0.0, product / n))


@window_kernel
def _toxicity(bulk_volume: FloatColumn, volume: FloatColumn, row: int) -> float:
    # absolute imbalance of six spells of eight bars over all volume: VPIN in time instead of volume
    apart = 0.0
    for spell in range(6):
        apart += abs(windows.total(bulk_volume, row - 8 * spell, 8))
    return windows.ratio(apart, windows.total(volume, row, 48), 0.0)


@window_kernel
def _impact_change(returns: FloatColumn, root_value: FloatColumn, row: int) -> float:
    # ln of the price move per signed root of value traded, short over long (Kyle 1985, Hasbrouck)
    short, long = _impact(returns, root_value, row, 16), _impact(returns, root_value, row, 64)
    if short > 0.0 and long > 0.0:
        return 2.0 * log(short / long)
    return 0.0


@window_kernel
def _impact(returns: FloatColumn, root_value: FloatColumn, row: int, window: int) -> float:
    cross, own = 0.0, 0.0
    for i in range(row - window + 1, row + 1):
        cross += returns[i] * root_value[i]
        own += root_value[i] * root_value[i]
    return windows.ratio(cross, own, 0.0)
