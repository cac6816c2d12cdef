"""A trained model's trust in itself follows its outcomes, slowly and only downwards."""

from __future__ import annotations

import json

import numpy as np
import pytest

from strategies.core.errors import StrategyError
from strategies.core.predictors.load import source_of
from strategies.core.predictors.recalibration import Recalibration
from tests.strategies.core.training.datasets import planted, planted_model


def taught(n: int, slope: float, seed: int = 1, intercept: float = 0.0) -> Recalibration:
    """Log-odds of which outcomes bear out the share ``slope``."""
    rng, found = np.random.default_rng(seed), Recalibration()
    for _ in range(n):
        logit = rng.normal(0.0, 0.5)
        p = 1.0 / (1.0 + np.exp(-(slope * logit + intercept)))
        found.learn(logit, int(rng.random() < p))
    return found


def test_untaught_it_changes_nothing() -> None:
    fresh = Recalibration()
    assert (fresh.slope, fresh.intercept) == (1.0, 0.0)
    assert [fresh.logit(x) for x in (-3.0, 0.0, 0.7)] == [-3.0, 0.0, 0.7]


def test_one_outcome_hardly_moves_it() -> None:
    one = Recalibration()
    one.learn(0.5, 0)
    assert 0.9 < one.slope < 1.0
    assert abs(one.intercept) < 0.01


def test_model_that_tells_nothing_is_heard_less_and_less() -> None:
    """ORC-83: down to the base rate alone, and never turned round."""
    slopes = [np.mean([taught(n, 0.0, seed).slope for seed in range(5)]) for n in (50, 500, 5_000)]
    assert slopes[0] > slopes[1] > slopes[2]
    assert slopes[2] < 0.2
    assert taught(5_000, -1.0).slope == 0.0


def test_model_that_is_right_stays_as_it_is_and_is_never_heard_more() -> None:
    assert np.mean([taught(5_000, 1.0, seed).slope for seed in range(5)]) > 0.9
    assert taught(5_000, 3.0).slope == 1.0


def test_the_base_rate_is_followed() -> None:
    rising = taught(5_000, 1.0, intercept=0.2)
    assert 0.05 < rising.intercept < 0.25


def test_a_source_that_lost_its_signal_ends_near_the_base_rate_and_recovers() -> None:
    """ORC-81: a wrong model cannot go on harming."""
    source = source_of(planted_model("gradient-boosting"))
    rng = np.random.default_rng(3)
    rows = planted(950, 4_000, 1.0).matrix
    before = np.std([source.predict(row) for row in rows[:300]])
    for row in rows:
        source.learn(row, int(rng.random() < 0.5))
    after = np.std([source.predict(row) for row in rows[:300]])
    assert after < 0.2 * before
    again = planted(951, 6_000, 1.0)
    for row, outcome in zip(again.matrix, again.outcome_up, strict=True):
        source.learn(row, int(outcome))
    assert np.std([source.predict(row) for row in rows[:300]]) > 0.6 * before


def test_state_round_trip_is_exact_and_is_that_models_only() -> None:
    """ORC-85: the trust learned about one model is not handed to the next."""
    source = source_of(planted_model("forest"))
    rows = planted(952, 300, 1.0)
    for row, outcome in zip(rows.matrix, 1 - rows.outcome_up, strict=True):
        source.learn(row, int(outcome))
    state = json.loads(json.dumps(source.state()))
    same, other = source_of(planted_model("forest")), source_of(planted_model("forest", 2.0))
    same.restore(state)
    other.restore(state)
    assert same.state() == source.state()
    assert [same.predict(r) for r in rows.matrix] == [source.predict(r) for r in rows.matrix]
    assert other.recalibration.slope == 1.0 > same.recalibration.slope


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"model": 3},
        {"recalibration": None},
        {"recalibration": {"learned": -1, "belief": [4.0, 0.0, 100.0, 4.0, 0.0]}},
        {"recalibration": {"learned": 1, "belief": [4.0, 0.0, 100.0, 4.0]}},
        {"recalibration": {"learned": 1, "belief": [4.0, 30.0, 100.0, 4.0, 0.0]}},
        {"recalibration": {"learned": 1, "belief": [float("nan"), 0.0, 100.0, 4.0, 0.0]}},
    ],
)
def test_broken_state_is_refused_and_changes_nothing(change: dict[str, object]) -> None:
    source = source_of(planted_model("forest"))
    source.learn(np.ones(12), 1)
    before = source.state()
    with pytest.raises(StrategyError):
        source.restore({**before, **change})  # type: ignore[dict-item]
    assert source.state() == before
