"""Time: the hour of the day and the day of the week in which the bar closed, in UTC."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np
import numpy.typing as npt

from engine.compiled import kernel
from engine.features.inputs import Matrix, locked
from engine.types.bars import ColumnStore

NAMES = ("hour_sine", "hour_cosine", "weekday_sine", "weekday_cosine")
DAY_MS = 86_400_000
# 1970-01-01 was a Thursday; weeks are counted from Monday.
EPOCH_WEEKDAY = 3


def write(store: ColumnStore, first: int, last: int, out: Matrix, column: int) -> None:
    """Write rows ``first`` to ``last`` (excluded) of this category from ``column`` on."""
    _rows(locked(store).ts_ms, store.bars.timeframe_ms, first, last, out, column)


@kernel
def _rows(
    ts_ms: npt.NDArray[np.int64],
    timeframe_ms: int,
    first: int,
    last: int,
    out: Matrix,
    column: int,
) -> None:
    for row in range(first, last):
        at = row - first
        # the bar's close is when it is known; its phase is that of the period it ends in
        closed_ms = ts_ms[row] + timeframe_ms
        day = 2.0 * pi * (closed_ms % DAY_MS) / DAY_MS
        week_ms = 7 * DAY_MS
        week = 2.0 * pi * ((closed_ms + EPOCH_WEEKDAY * DAY_MS) % week_ms) / week_ms
        out[at, column], out[at, column + 1] = sin(day), cos(day)
        out[at, column + 2], out[at, column + 3] = sin(week), cos(week)
