"""Windows of a walk-forward: parameters are chosen in one stretch and judged in the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
DAY_MS = 86_400_000
# Sharpe ratios of a window rest on at least this many periods: days, or shorter where it is short.
FEWEST_PERIODS = 60
FEWEST_BARS = 200


@dataclass(frozen=True, slots=True)
class Window:
    """In-sample [from, to) and out-of-sample [from, to) by open time in ms; a gap lies between."""

    number: int
    in_from_ms: int
    in_to_ms: int
    out_from_ms: int
    out_to_ms: int


def windows_of(
    first_ms: int,
    end_ms: int,
    timeframe_ms: int,
    *,
    folds: int,
    in_sample_share: float,
    purge_bars: int,
) -> tuple[Window, ...]:
    """Return ``folds`` rolling windows whose out-of-sample parts follow each other to the end.

    ``in_sample_share`` of a window is in-sample. The first ``purge_bars`` of what follows are
    left out: what was still open or remembered at the end of the choice is not judged by it.

    Raises:
        ValueError: a window would have too few bars on either side.
    """
    total = (end_ms - first_ms) // timeframe_ms
    in_bars, out_bars = _shares(total, folds, in_sample_share)
    if min(in_bars, out_bars - purge_bars) < FEWEST_BARS:
        raise ValueError(
            f"{total} bars in {folds} folds gave {in_bars} in sample and"
            f" {max(0, out_bars - purge_bars)} out of it, allowed: {FEWEST_BARS} or more of each,"
            f" which takes {bars_needed(folds, in_sample_share, purge_bars)} bars"
        )
    found = []
    for number in range(folds):
        start = first_ms + number * out_bars * timeframe_ms
        middle = start + in_bars * timeframe_ms
        found.append(
            Window(
                number,
                start,
                middle,
                middle + purge_bars * timeframe_ms,
                middle + out_bars * timeframe_ms,
            )
        )
    return tuple(found)


def bars_needed(folds: int, in_sample_share: float, purge_bars: int) -> int:
    """Return the fewest bars that ``windows_of`` takes."""
    relation = in_sample_share / (1.0 - in_sample_share)
    fewest_out = max(FEWEST_BARS + purge_bars, FEWEST_BARS / relation)
    total = int(fewest_out * (folds + relation))
    while True:
        in_bars, out_bars = _shares(total, folds, in_sample_share)
        if min(in_bars, out_bars - purge_bars) >= FEWEST_BARS:
            return total
        total += 1


def _shares(total: int, folds: int, in_sample_share: float) -> tuple[int, int]:
    """Return the bars of one window in sample, and those from one window to the next."""
    out_bars = int(total / (folds + in_sample_share / (1.0 - in_sample_share)))
    return total - folds * out_bars, out_bars


def period_ms_of(windows: Sequence[Window]) -> int:
    """Return the length of a period of returns: a day, or a 60th of the shortest stretch."""
    shortest = min(min(w.in_to_ms - w.in_from_ms, w.out_to_ms - w.out_from_ms) for w in windows)
    return min(DAY_MS, shortest // FEWEST_PERIODS)


def period_returns(
    times_ms: npt.NDArray[np.int64], equity: FloatArray, from_ms: int, to_ms: int, period_ms: int
) -> FloatArray:
    """Return the returns of each whole period of [from, to), (n_periods,).

    Equity at a time is that of the last event before it; before the first it is the first.
    """
    edges = np.arange(from_ms, to_ms + 1, period_ms)
    if not len(times_ms) or len(edges) < 2:
        return np.zeros(0)
    at = np.maximum(np.searchsorted(times_ms, edges, side="right") - 1, 0)
    levels = np.maximum(equity[at], 1e-9)
    returns: FloatArray = levels[1:] / levels[:-1] - 1.0
    return returns
