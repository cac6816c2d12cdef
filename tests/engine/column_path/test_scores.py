"""The compiled scoreboard of one rule answers as the scoreboard of every source does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.column_path.scores import (
    LEFT_OUT,
    SELECTED,
    UNSURE,
    no_scores,
    performance,
    record,
    selected,
    voice,
)
from engine.phases.source_selection import standings
from engine.scoreboard import Scoreboard
from engine.types.decisions import Settlement
from engine.types.opinions import REGIMES

MINIMUM = 0.40


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    lean=st.sampled_from([0.006, 0.05, 0.2]),
    skill=st.floats(0.1, 0.9),
    n=st.sampled_from([0, 1, 39, 500]),
)
def test_standing_of_a_rule_is_the_scoreboards(seed, lean, skill, n):
    """D-56: performance decides whether a rule's size is halved, its voice whether it is heard."""
    draws = np.random.default_rng(seed)
    ours, board = no_scores(Scoreboard().window), Scoreboard()
    for at in range(n):
        # skill drifts, so that the forecast of the next scores wins now and then
        is_right = draws.random() < skill * (0.6 + 0.4 * np.sin(at / 60.0))
        up, regime = 0.5 + lean * draws.uniform(-1.0, 1.0), int(draws.integers(len(REGIMES)))
        outcome = int((up > 0.5) == is_right)
        record(ours, regime, up, bool(outcome))
        brier = (up - outcome) ** 2
        board.record(Settlement("one", "X", REGIMES[regime].value, up, outcome, brier, at, at))
    for index, regime in enumerate(REGIMES):
        theirs = standings(board, ("one",), regime.value, np.zeros(1, dtype=np.int64))
        expected = float(theirs.performance[0])
        found = {performance(ours, index, a, b) for a in (False, True) for b in (False, True)}
        assert min(abs(value - expected) for value in found) < 1e-12
        assert selected(ours, index, MINIMUM) in (
            UNSURE,
            SELECTED if expected >= MINIMUM else LEFT_OUT,
        )
        assert voice(ours) == pytest.approx(float(theirs.voice[0]), abs=1e-13)


def test_a_score_on_its_limit_is_not_answered():
    """Nothing is settled: performance is one half exactly, and so may the limit be."""
    board = no_scores(200)
    assert selected(board, 0, 0.5) == UNSURE
    assert selected(board, 0, 0.499) == SELECTED
    assert selected(board, 0, 0.501) == LEFT_OUT
