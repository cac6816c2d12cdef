"""Phase 4: ORC-10, ORC-74."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.phases.config import PipelineConfig
from engine.phases.source_selection import (
    LEFT_OUT,
    explain,
    regime_key,
    select_sources,
    standings,
)
from engine.scoreboard import Scoreboard
from engine.types.decisions import Settlement
from engine.types.opinions import Missing, Regime
from tests.engine.phases import scene

SOURCES = ("a", "b", "c")


def settled(source: str, brier: float, n: int = 200, regime: str = "TRENDING") -> list[Settlement]:
    return [Settlement(source, scene.BTC, regime, 0.6, 1, brier, i, i + 1) for i in range(n)]


def board(**brier: float) -> Scoreboard:
    scores = Scoreboard()
    for source, value in brier.items():
        for settlement in settled(source, value):
            scores.record(settlement)
    return scores


def chosen(
    scores: Scoreboard,
    fits: tuple[float, ...] = (0.5, 0.5, 0.5),
    latencies: tuple[float, ...] = (0.0, 0.0, 0.0),
    **settings: Any,
) -> list[str]:
    """Selected codes, best first."""
    standing = standings(scores, SOURCES, "TRENDING")
    found = select_sources(
        standing, np.array(fits), np.array(latencies), PipelineConfig(**settings)
    )
    places = found.place.tolist()
    assert found.count == sum(place != LEFT_OUT for place in places)
    ranked = sorted((p, s) for p, s in zip(places, SOURCES, strict=True) if p != LEFT_OUT)
    return [source for _, source in ranked]


def test_a_better_brier_score_is_placed_before_a_worse_one() -> None:
    """ORC-10: performance."""
    assert chosen(board(a=0.25, b=0.20, c=0.23)) == ["b", "c", "a"]


def test_a_regime_that_suits_places_a_source_first() -> None:
    """ORC-10: regime fit."""
    assert chosen(Scoreboard(), fits=(0.1, 0.9, 0.5)) == ["b", "c", "a"]


def test_more_evidence_of_the_same_score_places_a_source_first() -> None:
    """ORC-10: reliability."""
    scores = Scoreboard()
    for settlement in settled("c", 0.25):
        scores.record(settlement)
    assert chosen(scores)[0] == "c"


def test_a_slow_source_is_placed_last() -> None:
    """ORC-10, ORC-74: latency."""
    assert chosen(Scoreboard(), latencies=(50_000.0, 0.0, 0.0)) == ["b", "c", "a"]


def test_no_more_than_the_maximum_are_chosen_and_ties_keep_the_declared_order() -> None:
    """ORC-10, ORC-74: maximum count."""
    assert chosen(Scoreboard(), max_sources=2) == ["a", "b"]


def test_a_source_proven_worse_than_chance_is_left_out() -> None:
    """ORC-10"""
    assert chosen(board(b=0.35)) == ["a", "c"]


def test_where_none_scores_enough_the_best_that_is_not_bad_is_asked_alone() -> None:
    """ORC-10: each regime yields a source."""
    assert chosen(Scoreboard(), fits=(0.1, 0.3, 0.2), minimum_score=2.0) == ["b"]


def test_where_all_are_proven_bad_there_is_explicitly_none() -> None:
    """ORC-10"""
    assert chosen(board(a=0.4, b=0.4, c=0.4)) == []


@pytest.mark.parametrize("regime", [*Regime])
def test_every_regime_yields_a_source_from_the_start(regime: Regime) -> None:
    """ORC-10"""
    standing = standings(Scoreboard(), SOURCES, regime.value)
    found = select_sources(standing, np.zeros(3), np.zeros(3), PipelineConfig())
    assert found.count >= 1


def test_performance_counts_under_the_regime_in_which_it_was_shown() -> None:
    """ORC-10: good when trending says little of ranging."""
    scores = board(a=0.15)
    trending = standings(scores, SOURCES, "TRENDING").performance
    ranging = standings(scores, SOURCES, "RANGING").performance
    assert trending[0] > ranging[0] > ranging[1] == 0.5


def test_scores_and_reasons_of_all_sources_are_kept() -> None:
    """ORC-10: choice and scores stored, for those left out too."""
    standing, config = standings(board(b=0.35), SOURCES, "TRENDING"), PipelineConfig(max_sources=1)
    fits = np.array([0.5, 0.5, 0.4])
    found = explain(standing, fits, select_sources(standing, fits, np.zeros(3), config), config)
    assert [(s.source, s.selected) for s in found] == [("a", True), ("b", False), ("c", False)]
    assert "selected at place 1" in found[0].reason
    assert "below minimum, minimum was 0.400" in found[1].reason
    assert "not among the best, places were 1" in found[2].reason
    assert found[1].brier == pytest.approx(0.35)
    assert found[1].settled == 200


def test_an_unknown_market_asks_for_the_scores_of_all_regimes() -> None:
    assert regime_key(Missing("none")) == ""
    assert regime_key(scene.market_view()) == "TRENDING"
