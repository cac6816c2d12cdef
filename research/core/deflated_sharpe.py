"""How much a Sharpe ratio is worth when it is the best of many tried.

Source: Bailey and Lopez de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management
40(5), 2014. Ratios here are per period, never annualised: the length of the sample counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import e, sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

EULER_MASCHERONI = 0.5772156649015329
FEWEST_RETURNS = 30
DAY_MS = 86_400_000
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Sample:
    """Moments of period returns: ``skew`` is 0 and ``kurtosis`` 3 where they are normal."""

    n: int
    sharpe: float
    skew: float
    kurtosis: float


@dataclass(frozen=True, slots=True)
class Deflated:
    """``benchmark`` is the Sharpe the best of ``n_trials`` without any skill would show;
    ``probability`` in [0, 1] that the true one is above it."""

    sharpe: float
    benchmark: float
    n_trials: int
    probability: float


def daily_returns(
    times_ms: npt.NDArray[np.int64], equity: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the returns from the last equity of one UTC day to that of the next, (n_days - 1,).

    Bars of a minute are hardly independent and mostly flat; days are what a year is counted in.
    """
    if len(times_ms) < 2:
        return np.zeros(0)
    days = times_ms // DAY_MS
    lasts = np.flatnonzero(np.diff(days, append=days[-1] + 1))
    levels = np.maximum(equity[lasts], 1e-9)
    returns: npt.NDArray[np.float64] = levels[1:] / levels[:-1] - 1.0
    return returns


def sample_of(returns: npt.NDArray[np.float64]) -> Sample | None:
    """Return the moments of returns (n,); None below ``FEWEST_RETURNS`` or without spread."""
    n = len(returns)
    if n < FEWEST_RETURNS:
        return None
    mean, spread = float(returns.mean()), float(returns.std(ddof=1))
    if not spread > 1e-12 * max(abs(mean), 1e-12):
        return None
    scaled = (returns - mean) / float(returns.std())
    return Sample(n, mean / spread, float((scaled**3).mean()), float((scaled**4).mean()))


def probabilistic_sharpe(sample: Sample, benchmark: float = 0.0) -> float:
    """Return the probability in [0, 1] that the true Sharpe is above ``benchmark`` (eq. 8)."""
    spread = 1.0 - sample.skew * sample.sharpe + (sample.kurtosis - 1.0) / 4.0 * sample.sharpe**2
    # moments of a real sample keep it positive (Pearson: kurtosis >= skew^2 + 1)
    score = (sample.sharpe - benchmark) * sqrt(sample.n - 1) / sqrt(max(spread, 1e-12))
    return _NORMAL.cdf(score)


def best_by_chance(n_trials: int, variance: float) -> float:
    """Return the Sharpe expected of the best of ``n_trials`` independent ones whose true Sharpe
    is 0 and whose estimates vary by ``variance`` (eq. 9); 0 for a single trial.

    Raises:
        ValueError: no trial, or a variance below 0.
    """
    if n_trials < 1 or not variance >= 0.0:
        raise ValueError(f"trials were {n_trials} and variance {variance}, allowed: >= 1 and >= 0")
    if n_trials == 1:
        return 0.0
    first = _NORMAL.inv_cdf(1.0 - 1.0 / n_trials)
    second = _NORMAL.inv_cdf(1.0 - 1.0 / (n_trials * e))
    return sqrt(variance) * ((1.0 - EULER_MASCHERONI) * first + EULER_MASCHERONI * second)


def deflated_sharpe(sample: Sample, trial_sharpes: Sequence[float]) -> Deflated:
    """Return the winner's Sharpe against what chance gives the best of all that were tried.

    ``trial_sharpes`` are of every trial, the winner's too, per period of the same length.
    """
    known = np.array(trial_sharpes, dtype=np.float64)
    variance = float(known.var(ddof=1)) if len(known) > 1 else 0.0
    benchmark = best_by_chance(max(1, len(known)), variance)
    return Deflated(
        sample.sharpe, benchmark, max(1, len(known)), probabilistic_sharpe(sample, benchmark)
    )
