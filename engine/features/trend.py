"""Trend: where price stands against its means, and how straight it came there."""

from __future__ import annotations

from math import sqrt

from engine import shared_columns, windows
from engine.compiled import window_kernel
from engine.features.inputs import Matrix, atr, locked
from engine.types.bars import ColumnStore, FloatColumn

NAMES = (
    "ema_gap_12_48_atr",
    "close_to_ema_24_atr",
    "ema_slope_48_atr",
    "slope_32_atr",
    "straightness_64",
    "signed_efficiency_16",
    "signed_efficiency_64",
    "directional_movement_24",
    "aroon_32",
    "higher_bars_16",
)


def write(store: ColumnStore, first: int, last: int, out: Matrix, column: int) -> None:
    """Write rows ``first`` to ``last`` (excluded) of this category from ``column`` on."""
    bars = locked(store)
    _rows(
        bars.high,
        bars.low,
        bars.close,
        shared_columns.log_close(store),
        atr(store),
        shared_columns.ema(store, 12),
        shared_columns.ema(store, 24),
        shared_columns.ema(store, 48),
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
    atr_: FloatColumn,
    ema_12: FloatColumn,
    ema_24: FloatColumn,
    ema_48: FloatColumn,
    first: int,
    last: int,
    out: Matrix,
    column: int,
) -> None:
    for row in range(first, last):
        at, reach = row - first, atr_[row]
        out[at, column] = windows.ratio(ema_12[row] - ema_48[row], reach, 0.0)
        out[at, column + 1] = windows.ratio(close[row] - ema_24[row], reach, 0.0)
        out[at, column + 2] = windows.ratio(ema_48[row] - ema_48[row - 8], reach, 0.0)
        out[at, column + 3] = windows.ratio(8.0 * windows.slope(close, row, 32), reach, 0.0)
        out[at, column + 4] = 2.0 * _straightness(log_close, row, 64)
        # 1 = the size of a random walk's efficiency, whatever the window
        out[at, column + 5] = 4.0 * _efficiency(log_close, row, 16)
        out[at, column + 6] = 8.0 * _efficiency(log_close, row, 64)
        out[at, column + 7] = 2.0 * _directional_movement(high, low, row, 24)
        out[at, column + 8] = 2.0 * _aroon(high, low, row, 32)
        out[at, column + 9] = 4.0 * _higher_bars(high, low, row, 16)


@window_kernel
def _straightness(values: FloatColumn, row: int, window: int) -> float:
    # correlation of the values with time, in [-1, 1]
    spread = windows.deviation(values, row, window)
    if spread <= shared_columns.STILL_FRACTION:
        return 0.0
    steps = sqrt((window * window - 1.0) / 12.0)
    return windows.slope(values, row, window) * steps / spread


@window_kernel
def _efficiency(values: FloatColumn, row: int, window: int) -> float:
    path = 0.0
    for i in range(row - window + 1, row + 1):
        path += abs(values[i] - values[i - 1])
    return windows.ratio(values[row] - values[row - window], path, 0.0)


@window_kernel
def _directional_movement(high: FloatColumn, low: FloatColumn, row: int, window: int) -> float:
    # Wilder's directional movement (1978), summed over a window instead of smoothed
    net, gross = 0.0, 0.0
    for i in range(row - window + 1, row + 1):
        up, down = high[i] - high[i - 1], low[i - 1] - low[i]
        if up > down and up > 0.0:
            net, gross = net + up, gross + up
        elif down > up and down > 0.0:
            net, gross = net - down, gross + down
    return windows.ratio(net, gross, 0.0)


@window_kernel
def _aroon(high: FloatColumn, low: FloatColumn, row: int, window: int) -> float:
    # bars since the low less bars since the high, as a part of the window (Chande 1995)
    top, bottom = row, row
    for i in range(row - 1, row - window, -1):
        if high[i] > high[top]:
            top = i
        if low[i] < low[bottom]:
            bottom = i
    return (top - bottom) / window


@window_kernel
def _higher_bars(high: FloatColumn, low: FloatColumn, row: int, window: int) -> float:
    net = 0
    for i in range(row - window + 1, row + 1):
        net += (high[i] > high[i - 1]) & (low[i] > low[i - 1])
        net -= (high[i] < high[i - 1]) & (low[i] < low[i - 1])
    return net / window
