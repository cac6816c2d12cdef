"""The control group: running rates, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from engine.features import feature_frame
from engine.types.bars import ColumnStore
from strategies.core.errors import StrategyError
from strategies.core.predictors.baselines import RunningRate
from strategies.core.registry import control_sources
from tests.bar_factory import random_walk


def test_base_rate_is_the_mean_of_outcomes_shrunk_by_twenty() -> None:
    """ORC-83"""
    rate = RunningRate("base-rate")
    for outcome in [1] * 70 + [0] * 10:
        rate.learn(np.zeros(3), outcome)
    assert rate.predict(np.ones(3)) == (70 + 10) / (80 + 20)


def test_rate_by_sign_keeps_three_counts_apart() -> None:
    rate = RunningRate("last-return", 1)
    for value, outcome, times in ((1.0, 1, 60), (-1.0, 1, 20), (-1.0, 0, 60)):
        for _ in range(times):
            rate.learn(np.array([9.0, value]), outcome)
    assert rate.predict(np.array([0.0, 0.1])) == 70 / 80
    assert rate.predict(np.array([0.0, -5.0])) == 30 / 100
    assert rate.predict(np.array([0.0, 0.0])) == 0.5
    assert rate.predict(np.array([0.0])) == 0.5


def test_last_return_reads_the_last_bars_return() -> None:
    """ORC-83: the column found by name is the sign of this bar's move."""
    bars = random_walk(3, 600)
    frame = feature_frame(ColumnStore(bars))
    rate = control_sources()[1]
    assert rate.code == "last-return"
    for _ in range(300):
        rate.learn(frame.matrix[400] * 0.0 + 1.0, 1)
        rate.learn(frame.matrix[400] * 0.0 - 1.0, 0)
    rows = [row for row in range(300, 600) if frame.ready[row]]
    assert len(rows) > 200
    for row in rows:
        rose = bars.close[row] > bars.close[row - 1]
        assert (rate.predict(frame.matrix[row]) > 0.5) == rose


@pytest.mark.parametrize(
    "state",
    [
        {"version": 2, "seen": [0.0] * 3, "up": [0.0] * 3},
        {"version": 1, "seen": [0.0] * 2, "up": [0.0] * 3},
        {"version": 1, "seen": [1.0] * 3, "up": [2.0] * 3},
        {"version": 1, "seen": [1.0] * 3, "up": [-1.0] * 3},
        {"version": 1, "seen": "x", "up": [0.0] * 3},
    ],
)
def test_broken_state_is_refused_and_changes_nothing(state: dict[str, object]) -> None:
    rate = RunningRate("base-rate")
    rate.learn(np.zeros(1), 1)
    before = rate.state()
    with pytest.raises(StrategyError):
        rate.restore(state)  # type: ignore[arg-type]
    assert rate.state() == before
