"""One set of checks for every predictor and baseline, so a new one is tested by being listed.

ORC-81 (no constant output), I-26 (same input, same output), D-55 (planted and shuffled).
"""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from engine.features import feature_frame
from engine.ports import LearnedSource
from engine.types.bars import ColumnStore
from engine.types.opinions import REGIMES
from strategies.core.registry import CONTROLS, PREDICTORS, learned_sources
from strategies.core.training.train import FAMILIES
from tests.bar_factory import from_close
from tests.strategies.core.training.datasets import planted_model


def planted(
    seed: int, n: int, strength: float, features: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose first feature tells the outcome with the given log odds a unit."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(0.0, 1.0, (n, features))
    odds = 1.0 / (1.0 + np.exp(-strength * rows[:, 0]))
    return rows, (rng.random(n) < odds).astype(int)


def progressive_brier(source: LearnedSource, rows: np.ndarray, outcomes: np.ndarray) -> float:
    """Predict, then learn; the score of the second half."""
    scores = []
    for row, outcome in zip(rows, outcomes, strict=True):
        scores.append((source.predict(row) - outcome) ** 2)
        source.learn(row, int(outcome))
    return float(np.mean(scores[len(scores) // 2 :]))


BUILDERS: dict[str, Callable[[], LearnedSource]] = {**PREDICTORS, **CONTROLS}
ONLINE = ["online-linear"]


def untrained(name: str) -> LearnedSource:
    return BUILDERS[name]()


def source_of(name: str) -> LearnedSource:
    """As it sits in the pipeline: trained where its family is trained."""
    if name not in FAMILIES:
        return untrained(name)
    return learned_sources([name], {name: planted_model(name)})[0]


@pytest.mark.parametrize("name", BUILDERS)
class TestEveryPredictor:
    def test_says_who_it_is_and_where_it_belongs(self, name: str) -> None:
        source = source_of(name)
        assert source.code == name
        assert source.favourable_regimes <= set(REGIMES)

    def test_untrained_it_has_no_opinion(self, name: str) -> None:
        assert untrained(name).predict(np.ones(12)) == 0.5

    def test_same_outcomes_in_the_same_order_give_the_same_source(self, name: str) -> None:
        rows, outcomes = planted(74, 500, 1.0)
        first, second = source_of(name), source_of(name)
        progressive_brier(first, rows, outcomes)
        progressive_brier(second, rows, outcomes)
        assert first.state() == second.state()

    def test_predicting_changes_nothing(self, name: str) -> None:
        source = source_of(name)
        progressive_brier(source, *planted(75, 200, 1.0))
        before = json.dumps(source.state())
        for row in planted(76, 50, 1.0)[0]:
            source.predict(row)
        assert json.dumps(source.state()) == before

    def test_state_survives_json_to_the_last_bit(self, name: str) -> None:
        rows, outcomes = planted(77, 700, 1.0)
        source, copy = source_of(name), source_of(name)
        progressive_brier(source, rows, outcomes)
        copy.restore(json.loads(json.dumps(source.state())))
        assert copy.state() == source.state()
        more_rows, more = planted(78, 100, 1.0)
        for row, outcome in zip(more_rows, more, strict=True):
            assert copy.predict(row) == source.predict(row)
            copy.learn(row, int(outcome))
            source.learn(row, int(outcome))
        assert copy.state() == source.state()

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
    def test_row_that_is_not_finite_gives_no_opinion_and_is_not_learned(
        self, name: str, bad: float
    ) -> None:
        source = source_of(name)
        progressive_brier(source, *planted(79, 300, 1.0))
        before = source.state()
        row = np.ones(12)
        row[3] = bad
        assert source.predict(row) == 0.5
        source.learn(row, 1)
        assert source.state() == before

    def test_extreme_rows_leave_it_finite(self, name: str) -> None:
        source = source_of(name)
        rng = np.random.default_rng(80)
        for _ in range(300):
            source.learn(rng.choice([-1e150, -5.0, 0.0, 5.0, 1e150], 12), int(rng.integers(2)))
        for _ in range(50):
            assert 0.0 <= source.predict(rng.normal(0.0, 1e100, 12)) <= 1.0
        state = json.dumps(source.state())
        assert "NaN" not in state and "Infinity" not in state

    def test_impossible_outcome_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match="was 2"):
            source_of(name).learn(np.ones(3), 2)

    def test_shuffled_outcomes_teach_nothing(self, name: str) -> None:
        """D-55: no skill where there is none, and no harm."""
        rows, outcomes = planted(72, 4_000, 1.0)
        shuffled = np.random.default_rng(72).permutation(outcomes)
        assert 0.249 < progressive_brier(source_of(name), rows, shuffled) < 0.256


@pytest.mark.parametrize("name", PREDICTORS)
class TestEveryPredictorThatReadsFeatures:
    def test_another_number_of_features_gives_no_opinion(self, name: str) -> None:
        source = source_of(name)
        progressive_brier(source, *planted(81, 100, 1.0))
        before = source.state()
        assert source.predict(np.ones(13)) == 0.5
        source.learn(np.ones(13), 1)
        assert source.state() == before

    def test_planted_signal_is_found(self, name: str) -> None:
        """D-55: well below the 0.25 of knowing nothing; the best possible is about 0.21."""
        assert progressive_brier(source_of(name), *planted(71, 4_000, 1.0)) < 0.24

    def test_both_sides_are_reached_and_output_follows_input(self, name: str) -> None:
        """ORC-81: no constant."""
        source = source_of(name)
        progressive_brier(source, *planted(73, 2_000, 2.0))
        low, high = (source.predict(np.full(12, 0.0) + x * np.eye(12)[0]) for x in (-2.0, 2.0))
        assert 0.0 <= low < 0.4
        assert 0.6 < high <= 1.0


@pytest.mark.parametrize("name", ONLINE)
class TestEveryPredictorThatLearnsAsItGoes:
    def test_it_learns_from_the_platforms_own_features(self, name: str) -> None:
        """A market that swings back: what to expect follows from where it stands."""
        rng = np.random.default_rng(82)
        level = np.zeros(6_000)
        for i in range(1, 6_000):
            level[i] = 0.9 * level[i - 1] + rng.normal(0.0, 0.002)
        close = 100.0 * np.exp(level)
        wick = close * np.abs(rng.normal(0.0, 3e-4, 6_000))
        frame = feature_frame(ColumnStore(from_close(close, wick=wick)))
        rows = np.flatnonzero(frame.ready)[:-12]
        outcomes = (close[rows + 12] > close[rows]).astype(int)
        assert progressive_brier(untrained(name), frame.matrix[rows], outcomes) < 0.22
