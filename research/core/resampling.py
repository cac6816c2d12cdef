"""Block bootstrap over time: intervals for figures of two runs that saw the same bars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval; None where the data does not define it."""

    value: float | None
    low: float | None
    high: float | None


def block_length(n_periods: int) -> int:
    """Return the periods of one block: 1.5 times the cube root of all, at least 1.

    Source: the rate n^(1/3) of Hall, Horowitz and Jing (1995) for estimating a distribution.
    """
    length: float = 1.5 * n_periods ** (1.0 / 3.0)
    return max(1, round(length))


def block_rows(n_periods: int, n_resamples: int, rng: np.random.Generator) -> Rows:
    """Return rows (n_resamples, n_periods) of a circular block bootstrap.

    Both runs are resampled with the same rows, so what moved both cancels in their difference.
    Source: Politis and Romano (1992).

    Raises:
        ValueError: there is no period, or no resample is asked for.
    """
    if n_periods < 1 or n_resamples < 1:
        raise ValueError(f"periods were {n_periods}, resamples {n_resamples}, allowed: 1 or more")
    length = block_length(n_periods)
    n_blocks = -(-n_periods // length)
    starts = rng.integers(0, n_periods, size=(n_resamples, n_blocks))
    rows = (starts[:, :, None] + np.arange(length)) % n_periods
    return rows.reshape(n_resamples, -1)[:, :n_periods]


def interval(value: float | None, resampled: npt.NDArray[np.float64]) -> Interval:
    """Return the percentile interval; resamples in which the figure is not defined are left out.

    Fewer than half of them defined means the interval is not.
    """
    known = resampled[np.isfinite(resampled)]
    if value is None or known.size * 2 < resampled.size:
        return Interval(value, None, None)
    low, high = np.quantile(known, (0.025, 0.975))
    return Interval(value, float(low), float(high))
