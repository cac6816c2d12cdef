"""Calibration: found where it is off, shy where there is little to go by."""

from __future__ import annotations

import numpy as np
import pytest

from strategies.core.predictors.calibration import Isotonic, Linear
from strategies.core.predictors.logistic import probabilities_of
from strategies.core.training.calibrate import (
    calibrated,
    choose_calibration,
    fit_isotonic,
    fit_platt,
)


def answers(seed: int, n: int, slope: float, intercept: float = 0.0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    raw = rng.normal(0.0, 1.0, n)
    p = probabilities_of(slope * raw + intercept)
    return raw, (rng.random(n) < p).astype(np.int64)


def test_platt_finds_slope_and_intercept() -> None:
    """ORC-12"""
    found = fit_platt(*answers(1, 40_000, 0.5, 0.1))
    assert found.slope == pytest.approx(0.5, abs=0.05)
    assert found.intercept == pytest.approx(0.1, abs=0.04)


def test_platt_is_scikit_learns_logistic_regression_of_the_same_penalty() -> None:
    from sklearn.linear_model import LogisticRegression

    raw, up = answers(2, 500, 1.0)
    # slope penalty 4, intercept penalty 100: the constant column is 5 times smaller
    inputs = np.column_stack((raw, np.full(500, 0.2)))
    theirs = LogisticRegression(C=0.25, fit_intercept=False, tol=1e-12, max_iter=1_000)
    theirs.fit(inputs, up)
    ours = fit_platt(raw, up)
    assert ours.slope == pytest.approx(theirs.coef_[0, 0], abs=1e-5)
    assert ours.intercept == pytest.approx(0.2 * theirs.coef_[0, 1], abs=1e-5)


def test_few_or_overlapping_outcomes_are_believed_less() -> None:
    """ORC-12: with none at all the model is not heard."""
    raw, up = answers(3, 400, 1.0)
    assert fit_platt(raw, up).slope > 1.3 * fit_platt(raw, up, overlap=12).slope > 0.3
    assert fit_platt(raw[:0], up[:0]) == Linear(0.0, 0.0)


def test_model_that_points_the_wrong_way_is_not_turned_round() -> None:
    found = fit_platt(*answers(4, 5_000, -1.0, 0.1))
    assert found.slope == 0.0
    assert found.intercept > 0.0


def test_isotonic_is_scikit_learns_on_pools_of_rows() -> None:
    """Pools of 100 first, then pool adjacent violators."""
    from sklearn.isotonic import IsotonicRegression

    raw, up = answers(5, 5_000, 1.0)
    order = np.argsort(raw)
    x = raw[order].reshape(50, 100).mean(axis=1)
    y = up[order].reshape(50, 100).mean(axis=1)
    found = fit_isotonic(raw, up)
    assert isinstance(found, Isotonic)
    theirs = IsotonicRegression().fit_transform(x, y)
    # their pools keep every knot, ours one a pool: equal at the pools' own means
    ours = probabilities_of(found.values)
    levels = [np.clip(level, 0.02, 0.98) for level in dict.fromkeys(np.round(theirs, 12))]
    np.testing.assert_allclose(ours, levels, atol=1e-9)
    assert (np.diff(found.knots) > 0.0).all()


def test_isotonic_never_decides_by_a_handful() -> None:
    raw, up = answers(6, 150, 1.0)
    found = fit_isotonic(raw, up)
    assert isinstance(found, Isotonic) and len(found.knots) == 1
    tied = fit_isotonic(np.zeros(1_000), np.arange(1_000) % 2)
    assert isinstance(tied, Isotonic) and len(tied.knots) == 1


def test_the_choice_is_made_on_rows_the_maps_have_not_seen() -> None:
    """ORC-12: a bent curve wants steps, a good model none, few rows the shyest."""
    rng = np.random.default_rng(7)
    raw = rng.normal(0.0, 2.0, 20_000)
    bent = (rng.random(20_000) < np.where(raw > 1.5, 0.95, 0.3)).astype(np.int64)
    earlier, later = slice(None, 10_000), slice(10_000, None)
    chosen = choose_calibration(raw[earlier], bent[earlier], raw[later], bent[later])
    assert chosen == "isotonic"
    few, many = answers(8, 40, 1.0), answers(9, 5_000, 1.0)
    assert choose_calibration(*few, *many, 12) == "identity"
    assert choose_calibration(*answers(10, 300, 0.0), *answers(11, 100, 0.0), 12) == "platt"


def test_calibrated_probabilities_follow_the_map() -> None:
    p = calibrated(Linear(0.5, 0.1), np.array([-1.0, 0.0, 2.0]))
    np.testing.assert_allclose(p, probabilities_of(np.array([-0.4, 0.1, 1.1])))
