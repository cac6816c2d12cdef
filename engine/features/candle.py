"""Candles: the shape of the last bars."""

from __future__ import annotations

from math import copysign

from engine import windows
from engine.compiled import window_kernel
from engine.features.inputs import Matrix, atr, locked, part
from engine.types.bars import ColumnStore, FloatColumn

NAMES = (
    "body_atr",
    "upper_wick_atr",
    "lower_wick_atr",
    "close_location",
    "engulfing_atr",
    "wick_balance_4",
    "push_3",
    "body_share_8",
    "range_expansion",
)


def write(store: ColumnStore, first: int, last: int, out: Matrix, column: int) -> None:
    """Write rows ``first`` to ``last`` (excluded) of this category from ``column`` on."""
    bars = locked(store)
    _rows(
        bars.open,
        bars.high,
        bars.low,
        bars.close,
        atr(store),
        part(store, "log_range"),
        first,
        last,
        out,
        column,
    )


@window_kernel
def _rows(
    opened: FloatColumn,
    high: FloatColumn,
    low: FloatColumn,
    close: FloatColumn,
    atr_: FloatColumn,
    log_range: FloatColumn,
    first: int,
    last: int,
    out: Matrix,
    column: int,
) -> None:
    for row in range(first, last):
        at, reach = row - first, atr_[row]
        body = close[row] - opened[row]
        upper = high[row] - max(opened[row], close[row])
        lower = min(opened[row], close[row]) - low[row]
        out[at, column] = windows.ratio(body, reach, 0.0)
        out[at, column + 1] = windows.ratio(upper, reach, 0.0)
        out[at, column + 2] = windows.ratio(lower, reach, 0.0)
        middle = (high[row] + low[row]) / 2.0
        out[at, column + 3] = 2.0 * windows.ratio(close[row] - middle, high[row] - low[row], 0.0)
        before = close[row - 1] - opened[row - 1]
        # a body against the last one and larger than it
        engulfs = body * before < 0.0 and abs(body) > abs(before)
        size = windows.ratio(abs(body), reach, 0.0)
        out[at, column + 4] = copysign(size, body) if engulfs else 0.0
        out[at, column + 5] = 2.0 * _wick_balance(opened, high, low, close, row, 4)
        out[at, column + 6] = 2.0 * _body_share(opened, high, low, close, row, 3, True)
        share = _body_share(opened, high, low, close, row, 8, False)
        out[at, column + 7] = 4.0 * share - 2.0
        out[at, column + 8] = 1.5 * windows.log_ratio(log_range[row], log_range[row - 1])


@window_kernel
def _wick_balance(
    opened: FloatColumn, high: FloatColumn, low: FloatColumn, close: FloatColumn, row: int, n: int
) -> float:
    # lower less upper wicks over the ranges: where price was refused
    net, ranges = 0.0, 0.0
    for i in range(row - n + 1, row + 1):
        net += opened[i] + close[i] - low[i] - high[i]
        ranges += high[i] - low[i]
    return windows.ratio(net, ranges, 0.0)


@window_kernel
def _body_share(
    opened: FloatColumn,
    high: FloatColumn,
    low: FloatColumn,
    close: FloatColumn,
    row: int,
    n: int,
    signed: bool,
) -> float:
    bodies, ranges = 0.0, 0.0
    for i in range(row - n + 1, row + 1):
        body = close[i] - opened[i]
        bodies += body if signed else abs(body)
        ranges += high[i] - low[i]
    return windows.ratio(bodies, ranges, 0.0)
