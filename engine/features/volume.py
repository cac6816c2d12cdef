"""Volume: how much is traded, when, and on which side of the bar."""

from __future__ import annotations

from math import sqrt

from engine import windows
from engine.compiled import window_kernel
from engine.features.inputs import Matrix, atr, locked, part
from engine.types.bars import ColumnStore, FloatColumn

NAMES = (
    "volume_z_48",
    "volume_surge_6_48",
    "volume_trend_32",
    "signed_volume_share_16",
    "close_to_vwap_32_atr",
    "money_flow_14",
    "accumulation_32",
    "volume_move_correlation_32",
)


def write(store: ColumnStore, first: int, last: int, out: Matrix, column: int) -> None:
    """Write rows ``first`` to ``last`` (excluded) of this category from ``column`` on."""
    bars = locked(store)
    _rows(
        bars.high,
        bars.low,
        bars.close,
        bars.volume,
        atr(store),
        part(store, "log_range"),
        part(store, "signed_volume"),
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
    volume: FloatColumn,
    atr_: FloatColumn,
    log_range: FloatColumn,
    signed_volume: FloatColumn,
    first: int,
    last: int,
    out: Matrix,
    column: int,
) -> None:
    for row in range(first, last):
        at = row - first
        mean = windows.total(volume, row, 48) / 48.0
        out[at, column] = _root_score(volume, row, 48)
        recent = windows.total(volume, row, 6) / 6.0
        out[at, column + 1] = windows.ratio(recent, mean, 0.0) - 1.0
        traded = windows.total(volume, row, 32)
        rising = 32.0 * windows.slope(volume, row, 32)
        out[at, column + 2] = windows.ratio(rising, traded / 32.0, 0.0)
        short = windows.total(volume, row, 16)
        net = windows.total(signed_volume, row, 16)
        out[at, column + 3] = 2.0 * windows.ratio(net, short, 0.0)
        distance = close[row] - _mean_price(close, volume, row, 32)
        out[at, column + 4] = windows.ratio(distance, atr_[row], 0.0) / 2.0
        out[at, column + 5] = 2.0 * _money_flow(high, low, close, volume, row, 14)
        out[at, column + 6] = 4.0 * _accumulation(high, low, close, volume, row, 32)
        out[at, column + 7] = 2.0 * windows.correlation(volume, row, log_range, row, 32)


@window_kernel
def _root_score(volume: FloatColumn, row: int, window: int) -> float:
    # z-score of the root of volume: volume itself is too skewed, its logarithm fails at 0
    first, second = 0.0, 0.0
    for i in range(row - window + 1, row + 1):
        first += sqrt(volume[i])
        second += volume[i]
    mean = first / window
    variance = second / window - mean * mean
    if variance <= 1e-12 * mean * mean:
        return 0.0
    return float((sqrt(volume[row]) - mean) / sqrt(variance))


@window_kernel
def _mean_price(close: FloatColumn, volume: FloatColumn, row: int, window: int) -> float:
    # volume-weighted; the close itself where nothing traded
    value, traded = 0.0, 0.0
    for i in range(row - window + 1, row + 1):
        value += (close[i] - close[row]) * volume[i]
        traded += volume[i]
    return float(close[row] + windows.ratio(value, traded, 0.0))


@window_kernel
def _money_flow(
    high: FloatColumn, low: FloatColumn, close: FloatColumn, volume: FloatColumn, row: int, n: int
) -> float:
    # value traded on rising less on falling typical prices over their sum (money flow index)
    net, gross = 0.0, 0.0
    for i in range(row - n + 1, row + 1):
        typical = high[i] + low[i] + close[i]
        before = high[i - 1] + low[i - 1] + close[i - 1]
        if typical > before:
            net += typical * volume[i]
            gross += typical * volume[i]
        elif typical < before:
            net -= typical * volume[i]
            gross += typical * volume[i]
    return windows.ratio(net, gross, 0.0)


@window_kernel
def _accumulation(
    high: FloatColumn, low: FloatColumn, close: FloatColumn, volume: FloatColumn, row: int, n: int
) -> float:
    # where in its range each bar closed, weighted by volume (accumulation/distribution, windowed)
    net, traded = 0.0, 0.0
    for i in range(row - n + 1, row + 1):
        place = windows.ratio(2.0 * close[i] - high[i] - low[i], high[i] - low[i], 0.0)
        net += place * volume[i]
        traded += volume[i]
    return windows.ratio(net, traded, 0.0)
