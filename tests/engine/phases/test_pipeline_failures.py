"""The ten phases when one of them raises, or does not come back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from engine.types.decisions import PHASES, Action, Decision, PhaseStatus
from engine.types.opinions import Missing, Proposal
from tests.engine.phases.bars import (
    BUYER,
    RULES_ONLY,
    STORE,
    TARGETS,
    decide,
    explode,
    threaded,
)
from tests.engine.phases.scene import (
    CONFIG,
    Clock,
    Incidents,
    Predictor,
    Rule,
    context,
    holding,
    leave,
    pipeline,
    snapshot,
)

# -- failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(1, 9))
def test_a_failing_phase_is_a_hold_with_the_culprit_and_the_next_bar_works(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ORC-17, ORC-67: size 0, confidence 0, phase and error recorded."""
    incidents = Incidents()
    phases = pipeline([BUYER], [Predictor()], config=RULES_ONLY, incidents=incidents)
    with monkeypatch.context() as broken:
        broken.setattr(*TARGETS[number], explode)
        bar = decide(phases)
    decision = bar.decision
    assert (decision.action, decision.quantity_base, decision.confidence) == (Action.HOLD, 0, 0.0)
    assert decision.intent is None
    assert (decision.blocking_phase, decision.reason_code) == (number, "PHASE_ERROR")
    assert f"phase {number} {PHASES[number - 1]} failed" in decision.reasons[0].text
    assert "RuntimeError: injected fault 42" in decision.reasons[0].text
    assert [record.number for record in bar.records] == list(range(1, 11))
    failed = bar.records[number - 1]
    assert failed.status is PhaseStatus.ERROR
    assert "injected fault 42" in failed.reasons[0].text
    assert len(incidents.seen) == 1
    after = decide(phases, 651)
    assert after.decision.action is Action.BUY
    assert "error" not in after.statuses


@pytest.mark.parametrize("number", [9, 10])
def test_a_failing_learning_phase_is_recorded_and_leaves_the_decision_as_it_is(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ORC-17, D-18: phases 9 and 10 come after the decision; the other one still runs."""
    incidents = Incidents()
    phases = pipeline([BUYER], [Predictor()], config=RULES_ONLY, incidents=incidents)
    with monkeypatch.context() as broken:
        broken.setattr(*TARGETS[number], explode)
        bar = decide(phases)
    assert bar.decision.action is Action.BUY
    assert bar.statuses[number - 1] == "error"
    assert bar.statuses.count("error") == 1
    assert "injected fault 42" in bar.records[number - 1].reasons[0].text
    assert incidents.places == [PHASES[number - 1]]
    assert decide(phases, 651).statuses == ["passed"] * 10


@pytest.mark.parametrize("number", range(1, 7))
def test_exits_are_decided_even_where_an_earlier_phase_failed(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ORC-17, ORC-58: nobody is locked in by a broken analysis."""
    monkeypatch.setattr(*TARGETS[number], explode)
    bar = decide(pipeline([BUYER]), proposal=leave(), **holding("2"))
    assert (bar.decision.action, bar.decision.quantity_base) == (Action.EXIT, 2)


def test_a_bar_nobody_proposed_on_names_the_failed_phase_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ORC-17: a failure is not told as silence."""
    monkeypatch.setattr(*TARGETS[5], explode)
    bar = decide(pipeline([Rule("one", 0.6)]))
    assert (bar.decision.reason_code, bar.decision.blocking_phase) == ("PHASE_ERROR", 5)
    assert bar.statuses[3:8] == ["passed", "error", "skipped", "skipped", "blocked"]


def test_an_exit_is_tried_every_time_however_often_deciding_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ORC-17: no cool-off stands between a position and its way out."""
    phases = pipeline([BUYER])
    with monkeypatch.context() as broken:
        broken.setattr(*TARGETS[7], explode)
        for row in range(640, 650):
            decide(phases, row, leave(), **holding("2"))
    assert decide(phases, 650, leave(), **holding("2")).decision.action is Action.EXIT


def test_a_failing_predictor_is_not_heard_and_the_others_decide() -> None:
    """F-074: raises, answers None, or no probability; then it recovers."""
    answers: list[Any] = [None, float("nan"), 1e9, -0.1, "0.9"]
    for answer in answers:
        incidents = Incidents()
        learner = Predictor(answer=lambda answer=answer: answer)  # type: ignore[misc]
        phases = pipeline([BUYER], [learner], incidents=incidents)
        bar = decide(phases)
        assert [o.source for o in bar.analysis.opinions] == ["one"]
        assert bar.decision.action is Action.BUY
        assert incidents.places == ["predictor learner"]
        learner.answer = lambda: 0.7
        assert len(decide(phases, 651).analysis.opinions) == 2


def test_a_predictor_that_keeps_failing_is_left_alone_for_a_while() -> None:
    """F-074, ORC-58: five failures in a row, then one try a minute."""
    clock = Clock()
    learner = Predictor(answer=explode)
    phases = pipeline([BUYER], [learner], clock=clock)
    for row in range(600, 620):
        assert decide(phases, row).decision.action is Action.BUY
    assert learner.asked == 5
    clock.now_s = 61.0
    learner.answer = lambda: 0.7
    assert len(decide(phases, 621).analysis.opinions) == 2


def test_a_failing_lesson_does_not_stop_the_others() -> None:
    """ORC-17"""
    broken, fine = Predictor("broken"), Predictor("fine")
    broken.learn = explode  # type: ignore[method-assign]
    config = replace(CONFIG, horizon_bars=1, learn_every_bars=1)
    phases = pipeline([BUYER], [broken, fine], config=config)
    for row in range(600, 610):
        decide(phases, row)
    assert len(fine.lessons) == 9


def test_a_slow_predictor_is_asked_now_and_then_only() -> None:
    """ORC-10, ORC-74: its latency is over budget; degrade rather than time out."""
    clock = Clock()

    def slow() -> float:
        clock.now_s += 1.0
        return 0.7

    learner = Predictor(answer=slow)
    phases = pipeline([BUYER], [learner], clock=clock, config=replace(CONFIG, learn_every_bars=5))
    for row in range(600, 620):
        decide(phases, row)
    assert 4 <= learner.asked <= 6


# -- deadlines -------------------------------------------------------------------------------------


class Alarm:
    """A clock that stands still until it has been read so often, then is past every deadline."""

    def __init__(self, reads: int) -> None:
        self._left = reads

    def __call__(self) -> float:
        self._left -= 1
        return 0.0 if self._left >= 0 else 1_000.0


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """What hangs waits for this; it is set when the test is over."""
    event = threading.Event()
    yield event
    event.set()


def test_a_view_that_hangs_is_missed_and_the_bar_is_held(
    monkeypatch: pytest.MonkeyPatch, released: threading.Event
) -> None:
    """ORC-18, ORC-05: the two that answered are kept."""
    monkeypatch.setattr(*TARGETS[1], lambda *given: released.wait(60.0))
    # read at the start and before each of the two answers
    bar = decide(pipeline([BUYER], config=RULES_ONLY, **threaded(Alarm(3))))
    assert bar.decision.action is Action.HOLD
    assert (bar.decision.blocking_phase, bar.decision.reason_code) == (1, "PHASE_ERROR")
    assert "TimeoutError: no answer, deadline was 30 s" in bar.decision.reasons[0].text
    assert not isinstance(bar.analysis.features, Missing)
    assert not isinstance(bar.analysis.order_flow, Missing)


@pytest.mark.parametrize("number", [4, 5, 6])
def test_a_belief_that_hangs_is_missed_and_the_phase_is_named(
    number: int, monkeypatch: pytest.MonkeyPatch, released: threading.Event
) -> None:
    """ORC-18"""
    reached = threading.Event()

    def hang(*given: object) -> None:
        reached.set()
        released.wait(60.0)

    class Alarmed(Alarm):
        """Time passes when the phase has been reached and not before."""

        def __call__(self) -> float:
            now_s = super().__call__()
            return now_s if now_s == 0.0 else now_s * reached.wait(20.0)

    monkeypatch.setattr(*TARGETS[number], hang)
    # four reads for the views, one at the start of the beliefs
    bar = decide(pipeline([BUYER], config=RULES_ONLY, **threaded(Alarmed(5))))
    assert (bar.decision.action, bar.decision.blocking_phase) == (Action.HOLD, number)
    assert "deadline was 30 s" in bar.decision.reasons[0].text
    assert [record.number for record in bar.records] == list(range(1, 11))


def test_a_hanging_predictor_is_a_hold_and_exits_still_go(released: threading.Event) -> None:
    """ORC-18, F-074"""
    learner = Predictor(answer=lambda: released.wait(60.0))
    phases = pipeline([BUYER], [learner], config=RULES_ONLY, **threaded(Alarm(5)))
    bar = decide(phases, proposal=leave(), **holding("2"))
    assert bar.statuses[3:6] == ["error", "skipped", "skipped"]
    assert bar.decision.action is Action.EXIT


def late_by(seconds: float, proposal: Proposal | None = None, **account: Any) -> Decision:
    """Decide on a bar whose analysis ended ``seconds`` ago."""
    clock = Clock()
    phases, now = pipeline([BUYER], clock=clock), snapshot(650, store=STORE)
    found = phases.analyse(now)
    clock.now_s += seconds
    given = context(**account)
    asked = proposal or phases.proposals(now, found, given.positions)[0]
    return phases.decide(asked, now, found, given)


def test_an_entry_after_the_total_deadline_is_held_with_the_numbers() -> None:
    """ORC-18: two seconds are allowed, more are not."""
    assert late_by(2.0).action is Action.BUY
    decision = late_by(2.5)
    assert (decision.action, decision.quantity_base, decision.intent) == (Action.HOLD, 0, None)
    assert (decision.reason_code, decision.blocking_phase) == ("DEADLINE", 8)
    assert (decision.reasons[0].value, decision.reasons[0].limit) == (2.5, 2.0)
    assert [record.number for record in decision.records] == [7, 8]


def test_an_exit_after_the_total_deadline_still_goes() -> None:
    """ORC-18: late is better than not at all."""
    assert late_by(60.0, leave(), **holding("2")).action is Action.EXIT
