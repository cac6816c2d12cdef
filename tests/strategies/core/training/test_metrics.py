"""Figures equal scikit-learn's where it has them, and their intervals mean 95 %."""

from __future__ import annotations

import numpy as np
import pytest

from strategies.core.training.metrics import (
    Estimate,
    Metrics,
    block_sums,
    log_losses,
    mean_difference,
    measure,
)


def sample(seed: int, n: int, rho: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Calibrated probabilities, outcomes and returns; neighbours alike by ``rho``."""
    rng = np.random.default_rng(seed)
    z = np.zeros(n)
    for i in range(n):
        z[i] = rho * (z[i - 1] if i else 0.0) + np.sqrt(1.0 - rho**2) * rng.normal()
    p = 1.0 / (1.0 + np.exp(-z))
    up = (rng.random(n) < p).astype(np.int64)
    return p, up, np.where(up == 1, 1.0, -1.0) * rng.exponential(1.0, n)


def figures(
    p: np.ndarray, up: np.ndarray, moves: np.ndarray, block_rows: int = 24, seed: int = 1
) -> Metrics:
    return measure(p, up, moves, block_rows=block_rows, rng=np.random.default_rng(seed))


def test_figures_are_scikit_learns_and_scipys() -> None:
    """ORC-83: ties included."""
    from scipy.stats import spearmanr
    from sklearn import metrics as theirs

    p, up, moves = sample(1, 2_000)
    p = np.round(p, 2).clip(0.01, 0.99)
    ours = figures(p, up, moves)
    assert ours.n == 2_000
    assert ours.log_loss.value == pytest.approx(theirs.log_loss(up, p))
    assert ours.brier.value == pytest.approx(theirs.brier_score_loss(up, p))
    assert ours.auc.value == pytest.approx(theirs.roc_auc_score(up, p))
    sides = p != 0.5
    hits = theirs.accuracy_score(up[sides], p[sides] > 0.5) * sides.sum() + 0.5 * (~sides).sum()
    assert ours.accuracy.value == pytest.approx(hits / 2_000)
    assert ours.information_coefficient.value == pytest.approx(spearmanr(p, moves).statistic)


def test_calibration_error_by_hand() -> None:
    """ORC-83: ten equal bins, each weighted by its rows."""
    p = np.array([0.15, 0.15, 0.15, 0.15, 0.95, 0.95])
    up = np.array([0, 0, 0, 1, 1, 1])
    ours = figures(p, up, up - 0.5, block_rows=1)
    assert ours.ece.value == pytest.approx((4 * 0.10 + 2 * 0.05) / 6)


def test_undefined_figures_are_null_and_never_a_number() -> None:
    p, up, moves = sample(2, 100)
    one_sided = figures(p, np.ones(100, dtype=np.int64), moves).as_json()
    assert one_sided["auc"] is None
    flat = figures(np.full(100, 0.5), up, moves).as_json()
    assert (flat["information_coefficient"], flat["auc"], flat["accuracy"]) == (None, 0.5, 0.5)
    intervals = flat["intervals"]
    assert isinstance(intervals, dict)
    assert intervals["information_coefficient"] == [None, None]
    empty = figures(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0)).as_json()
    assert (empty["n"], empty["log_loss"]) == (0, None)


def test_certainty_that_was_wrong_is_a_finite_loss() -> None:
    assert log_losses(np.array([0.0, 1.0]), np.array([1, 0])).max() < 14.0


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_intervals_hold_the_truth_about_as_often_as_they_say(rho: float) -> None:
    """ORC-83: of 100 samples, neighbours alike or not; the truth from a million rows."""
    p, up, moves = sample(99, 200_000)
    truth = figures(p, up, moves)
    inside: dict[str, int] = dict.fromkeys(("log_loss", "auc", "information_coefficient"), 0)
    for seed in range(100):
        found = figures(*sample(seed, 1_500, rho), block_rows=50, seed=seed)
        for name in inside:
            estimate, value = getattr(found, name), getattr(truth, name).value
            inside[name] += estimate.low <= value <= estimate.high
    assert min(inside.values()) >= 82, inside
    assert max(inside.values()) <= 100


def test_blocks_widen_the_interval_where_neighbours_are_alike() -> None:
    """ORC-83: overlapping labels are not independent evidence."""
    p, up, _ = sample(3, 3_000, 0.95)
    alike = np.repeat(log_losses(p, up)[::12], 12)
    rng = np.random.default_rng
    base = np.zeros_like(alike)
    narrow = mean_difference(alike, base, block_rows=1, rng=rng(1))
    honest = mean_difference(alike, base, block_rows=24, rng=rng(1))
    assert honest.standard_error > 2.0 * narrow.standard_error
    wide, thin = honest.estimate, narrow.estimate
    assert wide.high - wide.low > 2.0 * (thin.high - thin.low)
    assert thin.value == wide.value == pytest.approx(alike.mean())


def test_resamples_keep_the_scale_of_the_sample() -> None:
    """Sums of n rows, whatever the block; the same generator gives the same draws."""
    columns = np.ones((103, 2))
    sums = block_sums(columns, 10, np.random.default_rng(1), 7)
    assert sums.shape == (7, 2)
    np.testing.assert_allclose(sums, 103.0)
    value = mean_difference(
        np.arange(5.0), np.zeros(5), block_rows=99, rng=np.random.default_rng(1)
    )
    assert value.estimate == Estimate(2.0, 2.0, 2.0)
    assert value.standard_error == 0.0
