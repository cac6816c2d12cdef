"""Fit the map from raw log-odds to probability, and choose it by what it does unseen."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from engine.compiled import kernel
from engine.types.bars import FloatColumn, IntColumn
from strategies.core.predictors.calibration import (
    IDENTITY,
    ISOTONIC,
    PLATT,
    Calibration,
    Linear,
    isotonic,
)
from strategies.core.predictors.logistic import probabilities_of

_NEWTON_STEPS = 50
# Prior of the slope: normal around 0 with this deviation. A model is believed as far as its
# unseen rows bear it out, and not at all where there are none.
_PRIOR_SLOPE_SD = 0.5
# And of the intercept: a market's base rate is seldom beyond 0.475..0.525, whatever one
# season's few independent outcomes say.
_PRIOR_INTERCEPT_SD = 0.1
# An isotonic step rests on at least this many independent outcomes, else it follows noise.
_MIN_STEP_OUTCOMES = 100


def calibrated(calibration: Calibration, raw: FloatColumn) -> FloatColumn:
    """Return calibrated probabilities (n_rows,) of raw log-odds."""
    return probabilities_of(np.array([calibration.logit(float(value)) for value in raw]))


def fit_platt(raw: FloatColumn, outcome_up: IntColumn, overlap: int = 1) -> Linear:
    """Return slope and intercept of the logistic loss, both shrunk towards 0; slope >= 0.

    ``overlap`` rows count for one independent outcome against the prior.
    """
    up = outcome_up.astype(np.float64)
    ridges = (overlap / _PRIOR_SLOPE_SD**2, overlap / _PRIOR_INTERCEPT_SD**2)
    slope, intercept = _newton(raw, up, _NEWTON_STEPS, *ridges)
    if slope < 0.0:
        # a model that points the wrong way is not turned round: it is not heard
        slope, intercept = 0.0, _newton(np.zeros_like(raw), up, _NEWTON_STEPS, *ridges)[1]
    return Linear(float(slope), float(intercept))


def fit_isotonic(raw: FloatColumn, outcome_up: IntColumn, overlap: int = 1) -> Calibration:
    """Return the best ascending step function in pools of 100 outcomes or more, interpolated."""
    order = np.argsort(raw, kind="stable")
    up = outcome_up[order].astype(np.float64)
    return isotonic(*_pool(raw[order], up, _MIN_STEP_OUTCOMES * overlap))


def fit_identity(raw: FloatColumn, outcome_up: IntColumn, overlap: int = 1) -> Linear:
    """Return the map that changes nothing."""
    return Linear()


FITTERS: Mapping[str, Callable[[FloatColumn, IntColumn, int], Calibration]] = {
    PLATT: fit_platt,
    ISOTONIC: fit_isotonic,
    IDENTITY: fit_identity,
}


def choose_calibration(
    fit_raw: FloatColumn,
    fit_up: IntColumn,
    judge_raw: FloatColumn,
    judge_up: IntColumn,
    overlap: int = 1,
) -> str:
    """Return the kind whose fit on the earlier rows does best, by log loss, on the later ones.

    Platt, the shyest, unless another is better by more than one standard error of the difference:
    between maps of about equal merit a short fold would choose by luck.
    """
    losses = {
        kind: _losses(calibrated(fitter(fit_raw, fit_up, overlap), judge_raw), judge_up)
        for kind, fitter in FITTERS.items()
    }
    best = PLATT
    for kind, theirs in losses.items():
        gain = losses[best] - theirs
        error = float(gain.std()) * np.sqrt(overlap / len(gain))
        if gain.mean() > error:
            best = kind
    return best


def _losses(p: FloatColumn, outcome_up: IntColumn) -> FloatColumn:
    losses: FloatColumn = -np.where(outcome_up == 1, np.log(p), np.log1p(-p))
    return losses


@kernel
def _newton(
    raw: FloatColumn, outcome: FloatColumn, steps: int, slope_ridge: float, intercept_ridge: float
) -> tuple[float, float]:
    """Minimise the logistic loss plus half of each ridge times its number squared."""
    slope, intercept = 0.0, 0.0
    for _ in range(steps):
        a, b, c = slope_ridge, 0.0, intercept_ridge
        g, h = slope_ridge * slope, intercept_ridge * intercept
        for i in range(raw.shape[0]):
            x = raw[i]
            z = min(15.0, max(-15.0, slope * x + intercept))
            p = 1.0 / (1.0 + np.exp(-z))
            w = p * (1.0 - p)
            g += (p - outcome[i]) * x
            h += p - outcome[i]
            a += w * x * x
            b += w * x
            c += w
        determinant = a * c - b * b
        step_slope = (c * g - b * h) / determinant
        step_intercept = (a * h - b * g) / determinant
        # a full Newton step from far away can overshoot; one of these is plenty of odds
        slope -= min(2.0, max(-2.0, step_slope))
        intercept -= min(2.0, max(-2.0, step_intercept))
        if abs(step_slope) + abs(step_intercept) < 1e-10:
            break
    return slope, intercept


@kernel
def _pool(raw: FloatColumn, outcome: FloatColumn, min_rows: int) -> tuple[FloatColumn, FloatColumn]:
    """Pool adjacent violators; equal inputs share a pool. Knots are the pools' mean inputs."""
    n = raw.shape[0]
    weight, mean_x, mean_y = np.zeros(n), np.zeros(n), np.zeros(n)
    pools, row = 0, 0
    while row < n:
        # rows of one pool: enough of them, and never apart where the input is the same
        end = min(row + min_rows, n)
        while end < n and raw[end] == raw[end - 1]:
            end += 1
        if n - end < min_rows:
            end = n
        x = raw[row:end].mean()
        y = outcome[row:end].mean()
        w = float(end - row)
        row = end
        while pools > 0 and (mean_y[pools - 1] >= y or mean_x[pools - 1] >= x):
            pools -= 1
            total = weight[pools] + w
            x = (mean_x[pools] * weight[pools] + x * w) / total
            y = (mean_y[pools] * weight[pools] + y * w) / total
            w = total
        mean_x[pools], mean_y[pools], weight[pools] = x, y, w
        pools += 1
    return mean_x[:pools].copy(), mean_y[:pools].copy()
