"""Phase 10: ORC-16."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.phases.config import PipelineConfig
from engine.phases.evolution import EvolutionWatch
from engine.scoreboard import Scoreboard
from engine.types.decisions import EvolutionTrigger, Settlement
from engine.types.opinions import Missing
from tests.engine.phases import scene

HOUR_MS = 3_600_000
CONFIG = PipelineConfig(
    decline_min_settled=20,
    decline_brier=0.01,
    new_data_settled=1_000,
    schedule_ms=24 * HOUR_MS,
    evolution_cooldown_ms=6 * HOUR_MS,
)
STEADY = scene.market_view(dwell_bars=50)


def settle(scores: Scoreboard, brier: float, n: int) -> None:
    for i in range(n):
        scores.record(Settlement("learner", scene.BTC, "TRENDING", 0.6, 1, brier, i, i + 1))


class Walk:
    """A watch and its scoreboard; each look is applied."""

    def __init__(self, **settings: Any) -> None:
        self.scores = Scoreboard(window=50)
        self.watch = EvolutionWatch(["learner"], CONFIG)
        self.look(0)

    def look(self, at_ms: int, **changes: Any) -> tuple[EvolutionTrigger, ...]:
        step = self.watch.due(at_ms, changes.get("market", STEADY), self.scores)
        assert step is not None
        self.watch.apply(step)
        return step.triggers


def test_nothing_is_due_in_a_steady_state() -> None:
    walk = Walk()
    settle(walk.scores, 0.24, 50)
    assert [walk.look(hour * HOUR_MS) for hour in range(1, 24)] == [()] * 23


def test_a_brier_score_worse_than_the_best_window_by_the_margin_is_a_decline() -> None:
    """ORC-16"""
    walk = Walk()
    settle(walk.scores, 0.20, 50)
    assert walk.look(HOUR_MS) == ()
    settle(walk.scores, 0.22, 24)
    assert walk.look(2 * HOUR_MS) == (), "0.2096 is within the margin"
    settle(walk.scores, 0.22, 26)
    (trigger,) = walk.look(3 * HOUR_MS)
    assert (trigger.kind, trigger.source) == ("decline", "learner")
    assert trigger.value == pytest.approx(0.22)
    assert trigger.limit == pytest.approx(0.21)


def test_a_decline_needs_enough_evidence() -> None:
    walk = Walk()
    settle(walk.scores, 0.10, 10)
    walk.look(HOUR_MS)
    settle(walk.scores, 0.90, 9)
    assert walk.look(2 * HOUR_MS) == ()


def test_a_changed_regime_triggers() -> None:
    """ORC-16"""
    (trigger,) = Walk().look(HOUR_MS, market=scene.market_view(dwell_bars=0))
    assert trigger.kind == "regime_change"
    assert "TRENDING" in trigger.text


def test_the_schedule_triggers_after_a_day() -> None:
    """ORC-16"""
    walk = Walk()
    assert walk.look(24 * HOUR_MS - 1) == ()
    (trigger,) = walk.look(24 * HOUR_MS)
    assert trigger.kind == "schedule"


def test_enough_new_settlements_trigger() -> None:
    """ORC-16"""
    walk = Walk()
    settle(walk.scores, 0.24, 999)
    assert walk.look(HOUR_MS) == ()
    settle(walk.scores, 0.24, 1)
    (trigger,) = walk.look(2 * HOUR_MS)
    assert (trigger.kind, trigger.value) == ("new_data", 1_000.0)


def test_after_a_trigger_there_is_a_cool_down_and_one_cause_gives_one_trigger() -> None:
    """ORC-16: cooldown and dedupe."""
    walk, changed = Walk(), scene.market_view(dwell_bars=0)
    assert len(walk.look(HOUR_MS, market=changed)) == 1
    assert walk.look(HOUR_MS + 1, market=changed) == ()
    assert walk.look(7 * HOUR_MS - 1, market=changed) == ()
    assert len(walk.look(7 * HOUR_MS, market=changed)) == 1


def test_a_decline_is_measured_anew_after_its_trigger() -> None:
    """ORC-16: the same bad score does not trigger for ever."""
    walk = Walk()
    settle(walk.scores, 0.20, 50)
    walk.look(HOUR_MS)
    settle(walk.scores, 0.30, 50)
    assert len(walk.look(2 * HOUR_MS)) == 1
    assert walk.look(9 * HOUR_MS) == ()


def test_looking_changes_nothing_until_applied() -> None:
    """D-18"""
    walk = Walk()
    before = walk.watch.state()
    changed = scene.market_view(dwell_bars=0)
    first = walk.watch.due(HOUR_MS, changed, walk.scores)
    assert walk.watch.due(HOUR_MS, changed, walk.scores) == first
    assert walk.watch.state() == before


def test_without_learned_sources_there_is_nothing_to_watch() -> None:
    assert EvolutionWatch([], CONFIG).due(0, Missing("none"), Scoreboard()) is None


def test_a_restored_watch_keeps_its_cool_down() -> None:
    walk, changed = Walk(), scene.market_view(dwell_bars=0)
    walk.look(HOUR_MS, market=changed)
    rebuilt = EvolutionWatch(["learner"], CONFIG)
    rebuilt.restore(json.loads(json.dumps(walk.watch.state())))
    assert rebuilt.state() == walk.watch.state()
    step = rebuilt.due(2 * HOUR_MS, changed, walk.scores)
    assert step is not None
    assert step.triggers == ()


def test_a_state_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="must be that of a watch"):
        EvolutionWatch(["learner"], CONFIG).restore({"learner": {"since_ms": "soon"}})
