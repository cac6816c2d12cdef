"""Phases 4 to 6 of one bar: who is heard, how outcomes change that, and what is not kept."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import numpy as np
import pytest

from engine.phases.pipeline import Pipeline
from engine.phases.recorder import CountingRecorder
from engine.types.bars import BarColumns, ColumnStore
from engine.types.decisions import Analysis
from tests.bar_factory import random_walk
from tests.engine.phases.scene import BARS, CONFIG, Predictor, Rule, context, pipeline, snapshot


def cut(whole: BarColumns, first: int, end: int) -> BarColumns:
    names = ("ts_ms", "open", "high", "low", "close", "volume")
    return BarColumns(
        *(getattr(whole, name)[first:end] for name in names), timeframe_ms=whole.timeframe_ms
    )


def walk(phases: Pipeline, bars: BarColumns, rows: range) -> list[Analysis]:
    """Every phase on every row, learning applied; returns the analyses."""
    found, store = [], ColumnStore(bars)
    for row in rows:
        at = snapshot(row, bars=bars, store=store)
        analysis = phases.analyse(at)
        asked = phases.proposals(at, analysis, {})
        decisions = [phases.decide(p, at, analysis, context()) for p in asked]
        decisions = decisions or [phases.hold(at, analysis)]
        phases.apply_learning(phases.after(at, analysis, decisions))
        found.append(analysis)
    return found


def rising() -> BarColumns:
    """Closes that only ever rise, one step a bar."""
    close = 100.0 + 0.01 * np.arange(len(BARS))
    return replace(BARS, open=close - 0.01, high=close + 0.01, low=close - 0.02, close=close)


def test_a_lone_predictor_makes_the_consensus() -> None:
    """ORC-12: a group is counted by its number, not by how many sources there are."""
    analysis = pipeline([], [Predictor(answer=lambda: 0.7)]).analyse(snapshot())
    assert analysis.consensus is not None
    assert analysis.consensus.probability_up == 0.7
    assert analysis.consensus.contributors == ("learner",)


def test_outcomes_change_who_is_heard() -> None:
    """ORC-15, ORC-10, ORC-12: who was always wrong is left out, with the number told."""
    phases = pipeline([Rule("right", 0.7), Rule("wrong", 0.3)])
    first, *_, last = walk(phases, rising(), range(250, 700))
    assert first.validation is not None
    assert {opinion.source for opinion in first.validation.kept} == {"right", "wrong"}
    assert last.consensus is not None
    assert last.consensus.contributors == ("right",)
    told = {score.source: score for score in last.sources}
    assert not told["wrong"].selected
    assert "below minimum" in told["wrong"].reason
    assert {opinion.source for opinion in last.opinions} == {"right", "wrong"}, "still listened to"


def test_a_bounded_window_believes_what_the_whole_history_does() -> None:
    """D-25, ORC-89: live reads the last row of a window, a replay one row of everything."""
    whole = random_walk(5, 3_000)
    window = cut(whole, 450, 2_950)
    sources = [Rule("a", 0.62), Rule("b", 0.44), Rule("c", 0.58)]
    replayed = pipeline(sources).analyse(snapshot(2_949, bars=whole))
    live = pipeline(sources).analyse(snapshot(2_499, bars=window))
    assert replayed.bar_close_ms == live.bar_close_ms
    assert replayed.consensus == live.consensus
    assert replayed.validation == live.validation
    assert [s.score for s in replayed.sources] == pytest.approx([s.score for s in live.sources])


def test_thousands_of_decisions_leave_neither_threads_nor_growing_memory() -> None:
    """ORC-20: what is kept is bounded by windows, not by the number of decisions."""
    phases = pipeline([Rule("a", 0.6, side=1), Rule("b", 0.4)], recorder=CountingRecorder())
    before = threading.active_count()
    walk(phases, random_walk(5, 5_000), range(250, 5_000))
    # threads of earlier tests may end meanwhile
    assert threading.active_count() <= before
    state = json.loads(json.dumps(phases.state()))
    rings = state["scoreboard"]["rings"]
    assert max(ring["total"] for ring in rings) > 600
    assert max(len(ring["scores"]) for ring in rings) == state["scoreboard"]["window"] == 200
    assert max(len(waiting) for waiting in state["pending"].values()) <= CONFIG.horizon_bars + 1


def test_features_are_remembered_only_for_who_learns_from_them() -> None:
    """ORC-15, ORC-20"""
    for learned, kept in (([], False), ([Predictor()], True)):
        phases = pipeline([Rule("a", 0.6)], learned)
        walk(phases, BARS, range(600, 620))
        pending = phases.state()["pending"]
        assert isinstance(pending, dict)
        (rows,) = pending.values()
        assert isinstance(rows, list) and rows
        assert all((row["features"] is not None) == kept for row in rows)  # type: ignore[index, call-overload]
