"""Phase 4: whom to ask under these conditions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.phases.source_selection import Selection, explain, regime_key, select_sources, standings
from engine.scoreboard import Scoreboard
from engine.types.opinions import REGIMES, Missing, Regime
from strategies.core.registry import learned_sources, rule_sources
from tests.engine.phases.scene import CONFIG, market, settled

SOURCES = ("good", "unknown", "bad")


def board() -> Scoreboard:
    """Two proven sources and one nobody knows."""
    scores = Scoreboard()
    settled("good", 0.8, 1, 100, scores)
    settled("bad", 0.8, 0, 100, scores)
    return scores


def selected(
    scores: Scoreboard,
    fits: list[float],
    *,
    latencies: list[float] | None = None,
    config: object = CONFIG,
) -> Selection:
    standing = standings(scores, SOURCES, "TRENDING")
    late = np.array(latencies or [0.0] * 3)
    return select_sources(standing, np.array(fits), late, config)  # type: ignore[arg-type]


def names(selection: Selection) -> list[str]:
    return [SOURCES[i] for i in selection.chosen]


def test_a_source_proven_worse_than_chance_is_left_out_and_the_better_comes_first() -> None:
    """ORC-10: performance and reliability."""
    assert names(selected(board(), [1.0, 1.0, 1.0])) == ["good", "unknown"]


def test_the_best_of_none_that_fit_is_asked_alone() -> None:
    """ORC-10: at least one source, where one is not worse than chance."""
    strict = replace(CONFIG, minimum_score=0.99)
    assert names(selected(board(), [1.0, 1.0, 1.0], config=strict)) == ["good"]


def test_where_all_are_worse_than_chance_the_choice_is_empty() -> None:
    """ORC-10: an explicit none, never the least bad."""
    scores = Scoreboard()
    for source in SOURCES:
        settled(source, 0.9, 0, 150, scores)
    assert selected(scores, [1.0, 1.0, 1.0]).chosen == ()


def test_a_source_at_home_in_the_regime_goes_before_one_abroad() -> None:
    """ORC-10: regime fit."""
    nobody_known = Scoreboard()
    assert names(selected(nobody_known, [0.1, 0.9, 0.5])) == ["unknown", "bad", "good"]


def test_a_slow_source_loses_to_an_equal_fast_one() -> None:
    """ORC-10: latency."""
    nobody_known = Scoreboard()
    chosen = names(selected(nobody_known, [0.5] * 3, latencies=[9_000.0, 10.0, 5_000.0]))
    assert chosen == ["unknown", "bad", "good"]


def test_no_more_than_the_maximum_are_asked() -> None:
    """ORC-10: maximum count; declared order breaks the tie."""
    two = replace(CONFIG, max_sources=2)
    selection = selected(Scoreboard(), [0.5] * 3, config=two)
    assert names(selection) == ["good", "unknown"]
    assert len(selection.scores) == 3


@pytest.mark.parametrize("regime", REGIMES)
def test_every_regime_has_a_registered_source(regime: Regime) -> None:
    """ORC-10: with the shipped sources and nothing learned, nobody is left without advice."""
    sources = [*rule_sources(), *learned_sources()]
    fits = np.array([1.0 if regime in s.favourable_regimes else 0.0 for s in sources])
    standing = standings(Scoreboard(), [s.code for s in sources], regime.value)
    chosen = select_sources(standing, fits, np.zeros(len(sources)), CONFIG).chosen
    assert chosen
    assert fits[chosen[0]] == 1.0


def test_choice_score_and_reason_of_every_source_are_told() -> None:
    """ORC-10, ORC-59: also of those left out, each with its number."""
    standing = standings(board(), SOURCES, "TRENDING")
    config = replace(CONFIG, max_sources=1)
    fits = np.full(3, 0.5)
    selection = select_sources(standing, fits, np.zeros(3), config)
    good, unknown, bad = explain(standing, fits, selection, config)
    assert good.selected and "selected at place 1 with score" in good.reason
    assert not unknown.selected and "places were 1" in unknown.reason
    assert not bad.selected and "below minimum, minimum was 0.400" in bad.reason
    assert good.score > unknown.score > bad.score
    assert (good.settled, unknown.settled) == (100, 0)
    assert (good.brier, unknown.brier) == (pytest.approx(0.04), None)


def test_evidence_of_another_regime_counts_less() -> None:
    """ORC-10, ORC-15: performance is that under this regime."""
    scores = Scoreboard()
    settled("good", 0.8, 1, 60, scores, "RANGING")
    settled("bad", 0.8, 1, 60, scores, "TRENDING")
    good, _, bad = standings(scores, SOURCES, "TRENDING").performance
    assert bad > good > 0.5


def test_without_a_market_view_all_regimes_count_together() -> None:
    """ORC-58"""
    assert regime_key(Missing("not warm")) == ""
    assert regime_key(market(regime=Regime.QUIET)) == "QUIET"


def test_a_weight_that_is_not_positive_is_refused() -> None:
    """ORC-12: weights that sum to 1 need it."""

    class Broken(Scoreboard):
        def standing(self, source: str, regime: str) -> tuple[int, float, float | None]:
            return 0, 0.0, None

    with pytest.raises(ValueError, match="weights must be positive and finite, were"):
        standings(Broken(), SOURCES, "TRENDING")


def test_a_rule_is_believed_as_far_as_its_outcomes_bear_it_out_and_a_predictor_as_it_is() -> None:
    """ORC-12: right, wrong and unheard rules; the last is a learned source."""
    scores = Scoreboard()
    settled("right", 0.8, 0, 200, scores)
    settled("right", 0.8, 1, 800, scores)
    settled("wrong", 0.8, 1, 200, scores)
    settled("wrong", 0.8, 0, 800, scores)
    settled("learner", 0.8, 0, 100, scores)
    sources = ["right", "wrong", "unheard", "learner"]
    standing = standings(scores, sources, "TRENDING", np.array([0, 0, 0, 1]))
    right, wrong, unheard, learner = standing.voice
    assert 0.9 < right <= 1.0
    assert (wrong, unheard, learner) == (0.0, 0.0, 1.0)
    assert standing.skill[0] > 10.0 * standing.skill[2] > 0.0
    assert (standings(scores, sources, "TRENDING").voice == 1.0).all()
