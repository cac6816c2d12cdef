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
# Weak ridge towards slope 1, intercept 0: separable data has no finite optimum.
_RIDGE = 1.0
# An isotonic step rests on at least this many outcomes, else it follows noise.
_MIN_STEP_ROWS = 100
MIN_ROWS = 100


def calibrated(calibration: Calibration, raw: FloatColumn) -> FloatColumn:
    """Return calibrated probabilities (n_rows,) of raw log-odds."""
    return probabilities_of(np.array([calibration.logit(float(value)) for value in raw]))


def fit_platt(raw: FloatColumn, outcome_up: IntColumn) -> Linear:
    """Return slope and intercept by Newton's method on the logistic loss; the slope is >= 0."""
    slope, intercept = _newton(raw, outcome_up.astype(np.float64), _NEWTON_STEPS, _RIDGE, True)
    if slope < 0.0:
        # a model that points the wrong way is not turned round: it is not heard
        slope, intercept = _newton(raw, outcome_up.astype(np.float64), _NEWTON_STEPS, _RIDGE, False)
    return Linear(float(slope), float(intercept))


def fit_isotonic(raw: FloatColumn, outcome_up: IntColumn) -> Calibration:
    """Return the best ascending step function in pools of at least 100 rows, interpolated."""
    order = np.argsort(raw, kind="stable")
    knots, values = _pool(raw[order], outcome_up[order].astype(np.float64), _MIN_STEP_ROWS)
    return isotonic(knots, values)


FITTERS: Mapping[str, Callable[[FloatColumn, IntColumn], Calibration]] = {
    IDENTITY: lambda raw, outcome_up: Linear(),
    PLATT: fit_platt,
    ISOTONIC: fit_isotonic,
}


def choose_calibration(
    fit_raw: FloatColumn, fit_up: IntColumn, judge_raw: FloatColumn, judge_up: IntColumn
) -> str:
    """Return the kind whose fit on the earlier rows has the lowest log loss on the later ones.

    Identity where there are too few rows to fit or to judge by; ties go to the simpler one.
    """
    if len(fit_raw) < MIN_ROWS or len(judge_raw) < MIN_ROWS:
        return IDENTITY
    losses = {
        kind: _log_loss(calibrated(fitter(fit_raw, fit_up), judge_raw), judge_up)
        for kind, fitter in FITTERS.items()
    }
    return min(losses, key=lambda kind: losses[kind])


def _log_loss(p: FloatColumn, outcome_up: IntColumn) -> float:
    return float(-np.mean(np.where(outcome_up == 1, np.log(p), np.log1p(-p))))


@kernel
def _newton(
    raw: FloatColumn, outcome: FloatColumn, steps: int, ridge: float, free_slope: bool
) -> tuple[float, float]:
    slope, intercept = (1.0 if free_slope else 0.0), 0.0
    for _ in range(steps):
        a, b, c = (ridge if free_slope else 1.0), 0.0, 1e-9
        g, h = (ridge * (slope - 1.0) if free_slope else 0.0), 0.0
        for i in range(raw.shape[0]):
            x = raw[i] if free_slope else 0.0
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
