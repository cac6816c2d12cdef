"""Scores of sources by condition: ORC-10, ORC-12, ORC-15."""

from __future__ import annotations

import json
from collections import deque

import numpy as np
import pytest

from engine.scoreboard import Scoreboard
from engine.types.decisions import Settlement


def settled(source: str, probability: float, outcome: int, regime: str = "RANGING") -> Settlement:
    brier = (probability - outcome) ** 2
    return Settlement(source, "BTC/USDT", regime, probability, outcome, brier, 0, 1)


def trained(seed: int, n: int, skill: float, board: Scoreboard, source: str = "a") -> Scoreboard:
    """``skill`` 1 always knows the side, 0 never knows, both say 0.4 or 0.6."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        outcome = int(rng.integers(2))
        known = rng.random() < skill
        up = outcome == 1 if known else rng.random() < 0.5
        board.record(settled(source, 0.6 if up else 0.4, outcome))
    return board


def test_unknown_source_has_no_score_and_a_neutral_weight() -> None:
    board = Scoreboard()
    assert board.brier("a", "RANGING") is None
    assert board.hit_rate("a") is None
    assert board.settled("a") == 0
    assert board.weight("a", "RANGING") == 1.0


def test_scores_are_kept_by_regime_and_over_all() -> None:
    board = Scoreboard()
    board.record(settled("a", 0.8, 1, "TRENDING"))
    board.record(settled("a", 0.8, 0, "RANGING"))
    assert board.brier("a", "TRENDING") == pytest.approx(0.04)
    assert board.brier("a", "RANGING") == pytest.approx(0.64)
    assert board.brier("a") == pytest.approx(0.34)
    assert board.hit_rate("a", "TRENDING") == 1.0
    assert board.hit_rate("a") == 0.5
    assert board.brier("a", "QUIET") is None


def test_no_opinion_counts_as_half_a_hit() -> None:
    board = Scoreboard()
    board.record(settled("a", 0.5, 1))
    assert board.hit_rate("a") == 0.5
    assert board.brier("a") == 0.25


def test_window_equals_a_brute_force_mean_of_the_last_settlements() -> None:
    """ORC-15: thousands of updates leave no drift."""
    board, last = Scoreboard(window=50), deque[float](maxlen=50)
    hits = deque[bool](maxlen=50)
    rng = np.random.default_rng(1)
    for _ in range(5_000):
        settlement = settled("a", float(rng.random()), int(rng.integers(2)))
        board.record(settlement)
        last.append(settlement.brier)
        hits.append((settlement.probability_up > 0.5) == (settlement.outcome_up == 1))
    assert board.brier("a", "RANGING") == pytest.approx(sum(last) / 50, abs=1e-12)
    assert board.hit_rate("a", "RANGING") == sum(hits) / 50
    assert board.settled("a", "RANGING") == 50
    assert board.settled_ever("a", "RANGING") == 5_000


def test_better_sources_weigh_more_and_worse_ones_less_than_unknown_ones() -> None:
    """ORC-12, ORC-15: weights change with outcomes."""
    board = Scoreboard()
    trained(2, 200, 0.9, board, "good")
    trained(3, 200, 0.0, board, "blind")
    good, blind = board.weight("good", "RANGING"), board.weight("blind", "RANGING")
    assert good > 1.0 > blind > 0.0


def test_a_few_lucky_outcomes_move_the_weight_little() -> None:
    lucky = trained(4, 5, 1.0, Scoreboard()).weight("a", "RANGING")
    proven = trained(4, 200, 1.0, Scoreboard()).weight("a", "RANGING")
    assert 1.0 < lucky < 1.0 + 0.5 * (proven - 1.0)


def test_regime_without_evidence_borrows_from_the_others() -> None:
    board = trained(5, 200, 0.9, Scoreboard())
    assert board.weight("a", "QUIET") == pytest.approx(board.weight("a"))


def test_state_survives_json_and_goes_on_identically() -> None:
    """ORC-15, I-26: restored and uninterrupted boards stay equal."""
    board = trained(6, 333, 0.5, Scoreboard(window=100))
    copy = Scoreboard(window=100)
    copy.restore(json.loads(json.dumps(board.state())))
    assert copy.state() == board.state()
    trained(7, 77, 0.5, board)
    trained(7, 77, 0.5, copy)
    assert copy.state() == board.state()


def test_smaller_window_keeps_the_newest_settlements() -> None:
    board = Scoreboard(window=10)
    for outcome in [0] * 5 + [1] * 5:
        board.record(settled("a", 1.0, outcome))
    smaller = Scoreboard(window=5)
    smaller.restore(board.state())
    assert smaller.brier("a") == 0.0


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"rings": 3},
        {"rings": [1]},
        {"rings": [{"source": "a", "regime": "", "scores": [1], "hits": [], "total": 1}]},
        {"rings": [{"source": "a", "regime": "", "scores": [-1], "hits": [1], "total": 1}]},
        {"rings": [{"source": "a", "regime": "", "scores": [1], "hits": [1], "total": 0}]},
        {"rings": [{"source": 7, "regime": "", "scores": [1], "hits": [1], "total": 1}]},
    ],
)
def test_broken_state_is_refused_and_changes_nothing(state: dict[str, object]) -> None:
    board = trained(8, 10, 0.5, Scoreboard())
    before = board.state()
    with pytest.raises(ValueError, match="ring"):
        board.restore(state)  # type: ignore[arg-type]
    assert board.state() == before


@pytest.mark.parametrize("brier", [float("nan"), -0.1, 1.1])
def test_impossible_score_is_refused(brier: float) -> None:
    with pytest.raises(ValueError, match="Brier score"):
        Scoreboard().record(Settlement("a", "S", "QUIET", 0.5, 1, brier, 0, 1))


def test_window_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="was 0"):
        Scoreboard(window=0)
