"""Asking within a budget: fewer models rather than a time-out, and late answers go nowhere."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from engine.executors import ThreadedExecutor
from engine.failsafe import FailSafe
from engine.phases.pipeline import Pipeline
from engine.seats import Seated
from engine.types.decisions import Action, PhaseStatus
from engine.types.learned import Seat
from tests.engine.phases.bars import BUYER, RULES_ONLY, STORE, Bar, decide
from tests.engine.phases.scene import (
    CONFIG,
    Clock,
    Incidents,
    Predictor,
    Rule,
    pipeline,
    snapshot,
)


def seats(*learners: Predictor) -> list[Seated]:
    """The first votes, the second is its challenger, the third looks on."""
    places = ((Seat.CHAMPION, ""), (Seat.CHALLENGER, "new"), (Seat.CONTROL, ""))
    return [Seated(s, *place) for s, place in zip(learners, places, strict=True)]


def three(answer: float = 0.9) -> list[Predictor]:
    return [
        Predictor("learner", lambda: 0.6),
        Predictor("learner", lambda: answer),
        Predictor("base-rate", lambda: answer),
    ]


def test_challengers_and_controls_are_asked_and_scored_and_change_no_decision() -> None:
    """ORC-16: same decisions, weights and selection with them and without."""
    config = replace(CONFIG, horizon_bars=1, learn_every_bars=1)
    alone = pipeline([Rule("a", 0.62, side=1)], [Predictor()], config=config)
    learners = three()
    watched = pipeline([Rule("a", 0.62, side=1)], seats=seats(*learners), config=config)
    for row in range(600, 640):
        ours, theirs = decide(watched, row), decide(alone, row)
        assert replace(ours.decision, records=()) == replace(theirs.decision, records=())
        assert ours.analysis.consensus == theirs.analysis.consensus
        assert ours.analysis.opinions == theirs.analysis.opinions
        shadow = [(o.source, o.version) for o in ours.analysis.panel.shadow]
        assert shadow == [("learner@new", "new"), ("base-rate", "")]
    assert [learner.asked for learner in learners] == [40, 40, 40]
    rings = watched.state()["scoreboard"]["rings"]  # type: ignore[index, call-overload]
    totals = {r["source"]: r["total"] for r in rings if r["regime"] == ""}  # type: ignore[index, call-overload, union-attr]
    assert totals["learner@new"] == totals["base-rate"] == totals["learner"] == 39
    assert len(learners[1].lessons) == 39, "who is tried learns as it would in the seat"


def slow(clock: Clock, seconds: float) -> Any:
    def answer() -> float:
        clock.now_s += seconds
        return 0.6

    return answer


def test_over_the_budget_fewer_models_are_asked_in_declared_order_and_told() -> None:
    """ORC-74, ORC-58: shadows go first, votes last; the decision says so."""
    clock = Clock()
    config = replace(CONFIG, latency_budget_us=1e6, panel_budget_us=1_000.0, learn_every_bars=1_000)
    learners = [Predictor(s.code, slow(clock, 0.008)) for s in three()]
    phases = pipeline([BUYER], seats=seats(*learners), config=config, clock=clock)
    first = decide(phases, 650)
    assert first.analysis.panel.shed == ("learner@new", "base-rate"), "8 ms of 1 were spent"
    for row in range(651, 660):
        bar = decide(phases, row)
        assert bar.decision.action is Action.BUY
        tags = [r for r in bar.decision.reasons if r.code == "FEWER_MODELS"]
        assert len(tags) == 1 and "over the time budget" in tags[0].text
        assert bar.records[3].status is PhaseStatus.REDUCED
        assert bar.analysis.panel.asked == () or bar.analysis.panel.asked[0][0] == "learner"
    assert learners[0].asked >= 2 > max(learners[1].asked, learners[2].asked)


def test_under_thrift_declared_models_are_not_asked_and_the_decision_says_so() -> None:
    """ORC-36: level 1 asks who votes, level 2 half of them; level 0 everybody again."""
    learners = [*three(), Predictor("second", lambda: 0.6)]
    places = [*seats(*learners[:3]), Seated(learners[3], Seat.CHAMPION, "")]
    phases = pipeline([BUYER], seats=places)
    expected = {
        1: ("learner@new", "base-rate"),
        2: ("second", "learner@new", "base-rate"),
        0: (),
    }
    for row, (level, shed) in enumerate(expected.items(), 650):
        phases.set_thrift(level)
        bar = decide(phases, row)
        assert bar.analysis.panel.shed == shed
        assert any(r.code == "FEWER_MODELS" for r in bar.decision.reasons) is bool(shed)
    with pytest.raises(ValueError, match="thrift was 3, allowed: 0, 1 or 2"):
        phases.set_thrift(3)


def test_with_time_enough_everybody_is_asked_and_nothing_is_told() -> None:
    """ORC-74"""
    phases = pipeline([BUYER], seats=seats(*three()))
    bar = decide(phases)
    assert bar.analysis.panel.shed == ()
    assert all(r.code != "FEWER_MODELS" for r in bar.decision.reasons)
    assert [name for name, _ in bar.analysis.panel.asked] == [
        "learner",
        "learner@new",
        "base-rate",
    ]


def test_a_late_answer_writes_neither_into_the_chain_nor_into_the_next_bar() -> None:
    """ORC-18: the first bar's thread wakes while the second is decided."""
    go, woken = threading.Event(), threading.Event()
    # the first is the warm-up's
    answers = [lambda: 0.6, lambda: (go.wait(20.0), woken.set(), 0.99)[2], lambda: 0.6]

    class Once(Predictor):
        def predict(self, features: Any) -> float:
            self.asked += 1
            return answers[min(self.asked - 1, 2)]()

    incidents = Incidents()
    safe = FailSafe(incidents.incident, time.monotonic)
    phases: Pipeline = pipeline(
        [BUYER],
        [Once()],
        config=RULES_ONLY,
        fail_safe=safe,
        executor=ThreadedExecutor(0.4, time.monotonic, safe),
    )
    phases.warm_up(STORE)
    late = decide(phases, 650)
    assert late.statuses[3:6] == ["error", "skipped", "skipped"]
    known = late.analysis.records
    go.set()
    assert woken.wait(20.0)
    on_time = decide(phases, 651)
    assert [r.number for r in on_time.records] == list(range(1, 11))
    assert on_time.analysis.panel.asked == (("learner", 0.6),)
    assert late.analysis.records == known and len(known) == 6
    assert incidents.places == ["phases 4-6"], "what came too late is nobody's failure"


def test_each_opinion_carries_the_version_that_spoke() -> None:
    """ORC-85, ORC-16"""
    phases = pipeline([Rule("a")], seats=[Seated(Predictor(), version="0123456789ab")])
    found = phases.analyse(snapshot(650, store=STORE))
    assert {o.source: o.version for o in found.opinions} == {"a": "", "learner": "0123456789ab"}


def test_shadows_are_scored_from_answers_of_every_bar_even_of_half() -> None:
    """ORC-16: a trial compares like with like: 0.5 is an answer too."""
    config = replace(CONFIG, horizon_bars=1, learn_every_bars=1)
    learners = three(answer=0.5)
    phases = pipeline([Rule("a")], seats=seats(*learners), config=config)
    bars: list[Bar] = [decide(phases, row) for row in range(600, 603)]
    (trial,) = bars[2].learned.trials
    assert trial.answers == (("learner", 0.6), ("learner@new", 0.5), ("base-rate", 0.5))
    assert bars[2].analysis.panel.shadow == ()
