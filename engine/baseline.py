"""What is usual for a symbol: quantiles of the sampled past of one of its columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.compiled import kernel
from engine.types.bars import ColumnStore, FloatColumn

# The past that "usual" refers to: 480 samples, one every fourth bar, so 1,920 bars. Bars are
# picked by their time and not by their row, so every window picks the same ones.
BASELINE_STRIDE = 4
BASELINE_SAMPLES = 480
BASELINE_MIN_SAMPLES = 32

Matrix = npt.NDArray[np.float64]


def fill_baseline(
    store: ColumnStore, values: FloatColumn, quantiles: tuple[float, ...], out: Matrix, start: int
) -> None:
    """Write quantiles (n_quantiles, n_bars) of a column's sampled past, the row itself included."""
    _fill_quantiles(
        values,
        store.bars.ts_ms,
        store.bars.timeframe_ms,
        np.array(quantiles),
        BASELINE_SAMPLES,
        BASELINE_MIN_SAMPLES,
        out,
        start,
    )


@kernel
def _is_sampled(ts_ms: int, timeframe_ms: int) -> bool:
    return (ts_ms // timeframe_ms) % BASELINE_STRIDE == 0


@kernel
def _replace(ordered: FloatColumn, gone: float, value: float) -> int:
    """Close the gap that one value leaves and open one where another belongs; return its place."""
    hole, place = np.searchsorted(ordered, gone), np.searchsorted(ordered, value)
    if place > hole:
        place -= 1
        for i in range(hole, place):
            ordered[i] = ordered[i + 1]
    else:
        for i in range(hole, place, -1):
            ordered[i] = ordered[i - 1]
    return int(place)


@kernel
def _fill_quantiles(
    values: FloatColumn,
    ts_ms: npt.NDArray[np.int64],
    timeframe_ms: int,
    quantiles: FloatColumn,
    capacity: int,
    least: int,
    out: Matrix,
    start: int,
) -> None:
    # ``ordered`` holds the last ``capacity`` samples by size, ``ring`` by age
    n, k = values.shape[0], quantiles.shape[0]
    ordered, ring = np.empty(capacity), np.empty(capacity)
    size, oldest = 0, 0
    changes = False
    for row in range(start, n):
        changes = changes or _is_sampled(ts_ms[row], timeframe_ms)
    if changes:
        for row in range(start - 1, -1, -1):
            if size == capacity:
                break
            if _is_sampled(ts_ms[row], timeframe_ms) and not np.isnan(values[row]):
                ring[capacity - 1 - size] = values[row]
                size += 1
        ring[:size] = ring[capacity - size :].copy()
        ordered[:size] = np.sort(ring[:size])
    for row in range(start, n):
        value = values[row]
        sampled = _is_sampled(ts_ms[row], timeframe_ms) and not np.isnan(value)
        if not sampled and row > 0:
            for j in range(k):
                out[j, row] = out[j, row - 1]
            continue
        if sampled:
            if size == capacity:
                place = _replace(ordered, ring[oldest], value)
                ring[oldest] = value
                oldest = (oldest + 1) % capacity
            else:
                ring[size] = value
                place = np.searchsorted(ordered[:size], value)
                for i in range(size, place, -1):
                    ordered[i] = ordered[i - 1]
                size += 1
            ordered[place] = value
        for j in range(k):
            out[j, row] = np.nan
            if size >= least:
                position = quantiles[j] * (size - 1)
                below = int(position)
                above = min(below + 1, size - 1)
                part = position - below
                out[j, row] = ordered[below] * (1.0 - part) + ordered[above] * part
