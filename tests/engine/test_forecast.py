"""Predicted Brier scores: used where they beat the running mean, and said where they do not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from engine.forecast import BLOCK_SETTLED, MIN_BLOCKS, BrierForecast, restored_forecast
from engine.scoreboard import Scoreboard
from engine.types.decisions import Settlement


def settle(board: Scoreboard, probability: float, outcome: int) -> None:
    brier = (probability - outcome) ** 2
    board.record(Settlement("one", "BTC/USDT", "QUIET", probability, outcome, brier, 0, 1))


def scores(rates: list[float], seed: int = 3, each: int = 100) -> Scoreboard:
    """A source that says 0.7; how often it is right follows ``rates``, ``each`` opinions each."""
    board, rng = Scoreboard(), np.random.default_rng(seed)
    for rate in rates:
        for _ in range(each):
            settle(board, 0.7, int(rng.random() < rate))
    return board


SWINGING = [0.95, 0.05] * 12


def test_on_a_source_that_swings_the_forecast_beats_the_mean_and_is_used() -> None:
    """ORC-83: each block is predicted before it is seen; the weight then follows the forecast."""
    board = scores(SWINGING[:10], each=300)
    forecast = board.forecast("one")
    assert forecast.wins
    assert forecast.verdict().startswith("beats the running mean: error 0.")
    for _ in range(60):
        settle(board, 0.7, 1)
    mean, level = board.brier("one"), forecast.level
    assert mean is not None and level is not None and level < mean - 0.05
    # it has just become good: better than its mean says
    without = Scoreboard()
    without.restore({"window": 200, "rings": [_without_forecast(r) for r in _rings(board)]})
    assert board.weight("one") > without.weight("one")


def test_on_a_source_that_stays_as_it_is_the_forecast_loses_and_says_so() -> None:
    """ORC-83: then selection is what it would be without one."""
    board = scores([0.6] * 12)
    forecast = board.forecast("one")
    assert not forecast.wins
    assert forecast.verdict().startswith("loses to the running mean: error 0.")
    without = Scoreboard()
    without.restore({"window": 200, "rings": [_without_forecast(r) for r in _rings(board)]})
    assert board.weight("one") == without.weight("one")


def test_too_few_blocks_prove_nothing() -> None:
    forecast = BrierForecast()
    for _ in range(MIN_BLOCKS * BLOCK_SETTLED):
        forecast.push(0.2, 0.5)
    assert not forecast.wins
    assert forecast.verdict() == f"not used: {MIN_BLOCKS - 1} blocks predicted, needed are 8"


def test_a_forecast_never_sees_the_block_it_is_scored_on() -> None:
    """ORC-83: time-ordered; a perfect guess of the last block scores the change to the next."""
    forecast = BrierForecast()
    for mean in (0.1, 0.9):
        for _ in range(BLOCK_SETTLED):
            forecast.push(mean, 0.5)
    assert forecast.squared_error == pytest.approx(0.8**2)
    assert forecast.baseline_squared_error == pytest.approx(0.4**2)


def test_a_restored_forecast_goes_on_as_the_stored_one() -> None:
    """I-26"""
    board, again = scores(SWINGING[:7], each=33), Scoreboard()
    again.restore(json.loads(json.dumps(board.state())))
    for side in (board, again):
        for _ in range(70):
            settle(side, 0.6, 1)
    assert again.state() == board.state()


@pytest.mark.parametrize("state", ["x", [1], [None, 0, 0.0, 0.0, 0.0, 99, None]])
def test_a_state_that_is_none_of_ours_is_refused(state: Any) -> None:
    with pytest.raises(ValueError, match="forecast state"):
        restored_forecast(state)


def _rings(board: Scoreboard) -> list[Any]:
    rings = json.loads(json.dumps(board.state()))["rings"]
    assert isinstance(rings, list)
    return rings


def _without_forecast(ring: dict[str, Any]) -> Any:
    return {key: value for key, value in ring.items() if key != "forecast"}
