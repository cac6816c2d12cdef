"""Phase 10: when a learned source should be trained anew."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from engine.phases.config import PipelineConfig
from engine.phases.evolution import EvolutionWatch
from engine.scoreboard import Scoreboard
from engine.types.decisions import EvolutionTrigger
from engine.types.opinions import Missing
from tests.engine.phases.scene import CONFIG, market, settled

HOUR_MS = 3_600_000
QUICK = replace(CONFIG, decline_min_settled=10, new_data_settled=500)


class Watched:
    """One watched source, one hour a step."""

    def __init__(self, config: PipelineConfig = QUICK, sources: tuple[str, ...] = ("learner",)):
        self.board = Scoreboard(window=20)
        self.watch = EvolutionWatch(sources, config)
        self.at_ms = 0
        self.step()

    def step(self, hours: int = 1, **changes: Any) -> list[EvolutionTrigger]:
        self.at_ms += hours * HOUR_MS
        step = self.watch.due(self.at_ms, market(**changes), self.board)
        assert step is not None
        self.watch.apply(step)
        return list(step.triggers)

    def score(self, times: int, *, good: bool, source: str = "learner") -> None:
        settled(source, 0.8, int(good), times, self.board)


def kinds(triggers: list[EvolutionTrigger]) -> list[str]:
    return [trigger.kind for trigger in triggers]


def test_a_score_that_declines_from_its_best_triggers_with_the_numbers() -> None:
    """ORC-16"""
    source = Watched()
    source.score(10, good=True)
    assert source.step() == []
    source.score(2, good=False)
    (trigger,) = source.step()
    assert (trigger.source, trigger.kind) == ("learner", "decline")
    assert trigger.limit == pytest.approx(0.04 + QUICK.decline_brier)
    assert trigger.value > trigger.limit
    assert trigger.at_ms == source.at_ms


def test_a_small_decline_and_thin_evidence_do_not_trigger() -> None:
    """ORC-16: within the limit, or before enough was settled."""
    steady = Watched(replace(QUICK, decline_brier=0.2))
    steady.score(10, good=True)
    steady.step()
    steady.score(2, good=False)
    assert steady.step() == []
    thin = Watched()
    thin.score(5, good=True)
    thin.step()
    thin.score(4, good=False)
    assert thin.step() == []


def test_a_changed_regime_triggers_on_its_first_bar() -> None:
    """ORC-16"""
    source = Watched()
    assert source.step(dwell_bars=1) == []
    assert kinds(source.step(dwell_bars=0)) == ["regime_change"]


def test_new_data_triggers_once_there_is_enough_of_it() -> None:
    """ORC-16: counted since the last trigger, over more than the window holds."""
    source = Watched(replace(QUICK, decline_brier=1.0))
    source.score(499, good=True)
    assert source.step() == []
    source.score(1, good=True)
    (trigger,) = source.step()
    assert (trigger.kind, trigger.value, trigger.limit) == ("new_data", 500.0, 500.0)


def test_the_schedule_triggers_after_its_time_and_from_the_last_trigger_on() -> None:
    """ORC-16"""
    source = Watched()
    assert source.step(23) == []
    assert kinds(source.step(1)) == ["schedule"]
    assert source.step(23) == []
    assert kinds(source.step(1)) == ["schedule"]


def test_after_a_trigger_a_source_is_left_alone_for_the_cool_down() -> None:
    """ORC-16: whatever happens; afterwards it is heard again."""
    source = Watched()
    assert kinds(source.step(dwell_bars=0)) == ["regime_change"]
    assert source.step(5, dwell_bars=0) == []
    assert kinds(source.step(1, dwell_bars=0)) == ["regime_change"]


def test_a_storm_of_reasons_is_one_trigger_a_cool_down() -> None:
    """ORC-16: dedupe; a changed regime on each of 48 hours makes eight."""
    source = Watched()
    found = [t for _ in range(48) for t in source.step(dwell_bars=0)]
    assert len(found) == 8


def test_several_reasons_at_once_are_one_trigger_and_decline_comes_first() -> None:
    """ORC-16"""
    source = Watched()
    source.score(10, good=True)
    source.step()
    source.score(500, good=False)
    assert kinds(source.step(30, dwell_bars=0)) == ["decline"]


def test_a_declined_source_is_measured_from_its_new_level() -> None:
    """ORC-16: the same decline does not trigger for ever."""
    source = Watched()
    source.score(10, good=True)
    source.step()
    source.score(20, good=False)
    assert kinds(source.step()) == ["decline"]
    assert source.step(7) == []


def test_each_source_is_watched_on_its_own() -> None:
    """ORC-16"""
    both = Watched(sources=("learner", "other"))
    both.score(10, good=True)
    both.score(10, good=True, source="other")
    both.step()
    both.score(5, good=False, source="other")
    assert [(t.source, t.kind) for t in both.step()] == [("other", "decline")]


def test_nobody_to_watch_is_nothing_to_do() -> None:
    assert EvolutionWatch((), QUICK).due(0, market(), Scoreboard()) is None


def test_without_a_market_view_the_other_reasons_still_count() -> None:
    """ORC-58"""
    source = Watched()
    step = source.watch.due(source.at_ms + 24 * HOUR_MS, Missing("not warm"), source.board)
    assert step is not None and kinds(list(step.triggers)) == ["schedule"]


def test_due_changes_nothing_before_it_is_applied() -> None:
    """D-18"""
    source = Watched()
    before = source.watch.state()
    for _ in range(2):
        step = source.watch.due(source.at_ms + HOUR_MS, market(dwell_bars=0), source.board)
        assert step is not None and len(step.triggers) == 1
    assert source.watch.state() == before


def test_watches_survive_a_restart_and_forget_sources_that_are_gone() -> None:
    """ORC-16: the cool-down holds across it."""
    source = Watched(sources=("learner", "gone"))
    source.step(dwell_bars=0)
    restored = EvolutionWatch(("learner",), QUICK)
    restored.restore(json.loads(json.dumps(source.watch.state())))
    assert set(restored.state()) == {"learner"}
    step = restored.due(source.at_ms + HOUR_MS, market(dwell_bars=0), source.board)
    assert step is not None and step.triggers == ()


@pytest.mark.parametrize("row", ["x", {}, {"since_ms": "1", "settled_then": 0}])
def test_a_state_that_is_none_of_ours_is_refused_whole(row: Any) -> None:
    source = Watched()
    before = source.watch.state()
    with pytest.raises(ValueError, match="evolution state of learner"):
        source.watch.restore({"learner": row})
    assert source.watch.state() == before
