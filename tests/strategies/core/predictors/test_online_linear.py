"""Online logistic regression: what the contract suite does not say."""

from __future__ import annotations

import time

import numpy as np
import pytest

from strategies.core.errors import StrategyError
from strategies.core.predictors.online_linear import OnlineLinear, OnlineLinearParams


def taught(n: int, **params: float) -> OnlineLinear:
    source = OnlineLinear(OnlineLinearParams(**params))
    rng = np.random.default_rng(3)
    for _ in range(n):
        x = rng.normal(0.0, 1.0, 4)
        source.learn(x, int(x[0] > 0))
    return source


def test_young_source_leans_less_than_its_weights_say() -> None:
    """Shrinkage to 0.5: after ``shrink_settled`` outcomes half of the lean is let through."""
    row = np.array([2.0, 0.0, 0.0, 0.0])
    trusted = taught(200, shrink_settled=0.0).predict(row) - 0.5
    doubted = taught(200, shrink_settled=200.0).predict(row) - 0.5
    assert trusted > 0.01
    assert doubted == pytest.approx(trusted / 2.0)
    assert taught(3_000).predict(row) > 0.65


def test_lean_never_passes_its_limit() -> None:
    source = taught(3_000, max_lean=0.1)
    assert source.predict(np.array([50.0, 0.0, 0.0, 0.0])) == pytest.approx(0.6)
    assert source.predict(np.array([-50.0, 0.0, 0.0, 0.0])) == pytest.approx(0.4)


def test_drift_alone_is_learned_by_the_constant() -> None:
    rng = np.random.default_rng(4)
    rising, falling = OnlineLinear(), OnlineLinear()
    for _ in range(20_000):
        outcome = int(rng.random() < 0.7)
        rising.learn(np.zeros(3), outcome)
        falling.learn(np.zeros(3), 1 - outcome)
    assert 0.55 < rising.predict(np.zeros(3)) < 0.72
    assert 0.28 < falling.predict(np.zeros(3)) < 0.45


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"weights": [1.0]},
        {"weights": "x"},
        {"weights": [float("nan")] * 5},
        {"gradients": [-1.0] * 5},
        {"learned": -1},
        {"learned": 0},
        {"learned": 1.5},
    ],
)
def test_broken_state_is_refused_and_changes_nothing(change: dict[str, object]) -> None:
    source = taught(50)
    before = source.state()
    with pytest.raises(StrategyError, match="online-linear"):
        source.restore({**before, **change})  # type: ignore[dict-item]
    assert source.state() == before


@pytest.mark.parametrize(
    "params",
    [{"learning_rate": -1.0}, {"l2": float("nan")}, {"max_lean": 0.6}],
)
def test_impossible_parameters_are_refused(params: dict[str, float]) -> None:
    with pytest.raises(StrategyError, match="was"):
        OnlineLinearParams(**params)


@pytest.mark.slow
def test_prediction_takes_microseconds() -> None:
    """A few us; the limit leaves room for a busy machine."""
    source, row = taught(100), np.ones(4)
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(5_000):
            source.predict(row)
        best = min(best, (time.perf_counter() - started) / 5_000)
    assert best < 20e-6
