"""The ten phases together: order, records, failures, deadlines, and what they decide."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from engine.executors import SerialExecutor, ThreadedExecutor
from engine.phases import (
    beliefs,
    feature_engineering,
    final_decision,
    market_analysis,
    microstructure,
    risk_and_sizing,
)
from engine.phases.evolution import EvolutionWatch
from engine.phases.learning import PendingOpinions
from engine.phases.pipeline import LearningResult, Pipeline
from engine.scoreboard import Scoreboard
from engine.types.bars import ColumnStore, Snapshot
from engine.types.decisions import PHASES, Action, Analysis, Decision, PhaseRecord, PhaseStatus
from engine.types.opinions import Missing, Proposal
from tests.engine.books import D
from tests.engine.phases.scene import (
    BARS,
    CONFIG,
    Clock,
    Incidents,
    Predictor,
    Rule,
    context,
    fail_safe,
    holding,
    leave,
    pipeline,
    risk,
    settled,
    snapshot,
)

STORE = ColumnStore(BARS)
BUYER = Rule("one", 0.6, side=1)
RULES_ONLY = replace(CONFIG, ensemble_trades=False)


@dataclass
class Bar:
    """Everything one bar led to."""

    analysis: Analysis
    decision: Decision
    learned: LearningResult

    @property
    def records(self) -> tuple[PhaseRecord, ...]:
        return (*self.analysis.records, *self.decision.records, *self.learned.records)

    @property
    def statuses(self) -> list[str]:
        return [record.status.value for record in self.records]


def decide(
    phases: Pipeline,
    row: int = 650,
    proposal: Proposal | None = None,
    *,
    at: Snapshot | None = None,
    **account: Any,
) -> Bar:
    """One bar from the event to what it taught; the first proposal where none is given."""
    now = at or snapshot(row, store=STORE)
    found = phases.analyse(now)
    given = context(**account)
    proposals = (proposal,) if proposal else phases.proposals(now, found, given.positions)
    if proposals:
        decision = phases.decide(proposals[0], now, found, given)
    else:
        decision = phases.hold(now, found)
    learned = phases.after(now, found, [decision])
    phases.apply_learning(learned)
    return Bar(found, decision, learned)


# -- records ---------------------------------------------------------------------------------------


def test_every_decision_leaves_ten_records_in_order() -> None:
    """ORC-06, ORC-56, ORC-04: each with its name, status and two digests."""
    for rules in ([BUYER], []):
        records = decide(pipeline(rules)).records
        assert [record.number for record in records] == list(range(1, 11))
        assert tuple(record.name for record in records) == PHASES
        assert all(len(r.input_digest) == len(r.output_digest) == 16 for r in records)
        assert json.dumps([record.output for record in records])


def test_a_full_analysis_has_an_output_for_every_phase() -> None:
    """ORC-64: nothing is empty on a bar that was traded on."""
    bar = decide(pipeline([BUYER], [Predictor()]), at=snapshot(650, store=STORE))
    assert bar.decision.action is Action.BUY
    assert all(record.output for record in bar.records)
    assert bar.statuses == ["passed"] * 10


def test_what_a_phase_hands_on_reaches_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """ORC-56, ORC-02: called in the stated order, the later with what the earlier gave."""
    called: list[str] = []

    def watch(owner: Any, name: str, label: str) -> None:
        real = getattr(owner, name)

        def call(*given: Any, **named: Any) -> Any:
            called.append(label)
            return real(*given, **named)

        monkeypatch.setattr(owner, name, call)

    for number, (owner, name) in TARGETS.items():
        watch(owner, name, PHASES[number - 1])
    decide(pipeline([BUYER], [Predictor()]))
    assert called == list(PHASES)


def test_the_same_input_gives_the_same_records_and_decision() -> None:
    """ORC-14, ORC-59: digests included, so stored data can be checked against a new run."""
    first, again = (decide(pipeline([BUYER, Rule("two", 0.55)])) for _ in range(2))
    assert first.decision == again.decision
    assert first.records == again.records


def test_phase_seven_is_reduced_where_something_took_from_the_size_and_only_there() -> None:
    """ORC-06, ORC-13: rounding to the lot is no reduction; a cap with less room is one."""
    assert decide(pipeline([BUYER])).statuses[6] == "passed"
    crowded = risk(gross_exposure_quote=D("5900"))
    assert decide(pipeline([BUYER]), risk=crowded).statuses[6] == "reduced"
    assert decide(pipeline([replace(BUYER, stop_fraction=-0.1)])).statuses[6] == "blocked"


def test_records_say_in_numbers_why() -> None:
    """ORC-59, ORC-10: from the stored outputs alone the decision can be told again."""
    bar = decide(pipeline([BUYER, Rule("two", 0.55)]))
    outputs = {record.number: record.output for record in bar.records}
    assert outputs[4]["opinions"] == {"one": 0.6, "two": 0.55}
    assert outputs[4]["selected"] == ["one", "two"]
    assert set(outputs[4]["scores"]) == set(outputs[4]["reasons"]) == {"one", "two"}  # type: ignore[arg-type]
    assert outputs[6]["weights"] == {"one": 0.5, "two": 0.5}
    assert (
        outputs[7]["quantity_base"]
        == outputs[8]["quantity_base"]
        == str(bar.decision.quantity_base)
    )
    assert outputs[8]["votes"] == {"one": 0.6, "two": 0.55}
    assert bar.decision.intent is not None
    assert outputs[8]["client_order_id"] == bar.decision.intent.client_order_id
    assert bar.decision.reasons[0].code == "RULE_ENTRY"


def test_a_missing_view_is_told_and_the_later_phases_do_without() -> None:
    """ORC-58, ORC-09: no book."""
    bar = decide(pipeline([BUYER]), at=snapshot(650, store=STORE, book=None))
    assert bar.statuses[2] == "missing"
    assert bar.records[2].reasons[0].text == "no book"
    assert bar.decision.action is Action.BUY


def test_a_cold_market_holds_and_says_so() -> None:
    """ORC-07, ORC-64, D-14"""
    cold = snapshot(20, store=STORE)
    quiet = decide(pipeline(), at=cold)
    assert (quiet.decision.action, quiet.decision.reason_code) == (Action.HOLD, "NOT_WARM")
    proposed = decide(pipeline([BUYER]), at=cold)
    assert (proposed.decision.action, proposed.decision.reason_code) == (Action.HOLD, "NOT_READY")
    assert proposed.decision.blocking_phase == 7


def test_silence_is_a_hold_with_its_reason() -> None:
    """ORC-64, ORC-14: nobody proposed, or nobody was fit to be asked."""
    unsure = decide(pipeline([Rule("one", 0.51)]))
    assert unsure.decision.reason_code == "NO_PROPOSAL"
    assert "probability up was 0.510" in unsure.decision.reasons[0].text
    assert (unsure.decision.action, unsure.decision.quantity_base) == (Action.HOLD, 0)
    assert unsure.decision.blocking_phase is None
    mute = decide(pipeline([Rule("one", 0.5)]))
    assert mute.statuses[5] == "skipped"
    assert mute.decision.reasons[0].text.endswith("opinion were 0")


def test_where_every_source_is_worse_than_chance_it_is_an_explicit_hold() -> None:
    """ORC-10"""
    board = Scoreboard()
    for regime in ("TRENDING", "RANGING", "VOLATILE", "QUIET"):
        settled("one", 0.9, 0, 200, board, regime)
    bar = decide(pipeline([Rule("one", 0.7)], scoreboard=board))
    assert bar.statuses[3] == "blocked"
    assert bar.records[3].reasons[0].code == "NO_SOURCE"
    assert bar.decision.action is Action.HOLD


def test_a_source_left_out_is_heard_but_not_counted() -> None:
    """ORC-10: unheard it could never prove better."""
    board = Scoreboard()
    for regime in ("TRENDING", "RANGING", "VOLATILE", "QUIET"):
        settled("bad", 0.9, 0, 200, board, regime)
    bar = decide(pipeline([Rule("one", 0.6), Rule("bad", 0.1)], scoreboard=board))
    assert [o.source for o in bar.analysis.opinions] == ["one", "bad"]
    assert bar.analysis.consensus is not None
    assert bar.analysis.consensus.contributors == ("one",)


def test_source_codes_must_be_unique() -> None:
    with pytest.raises(ValueError, match="source codes must be unique, were one, one"):
        pipeline([Rule("one")], [Predictor("one")])


# -- side by side ----------------------------------------------------------------------------------


def threaded(clock: Callable[[], float] | None = None, deadline_s: float = 30.0) -> dict[str, Any]:
    safe = fail_safe()
    return {
        "executor": ThreadedExecutor(deadline_s, clock or (lambda: 0.0), safe),
        "fail_safe": safe,
    }


def test_three_views_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """ORC-05: each waits for the other two; one after the other they would wait for ever."""
    meeting = threading.Barrier(3, timeout=20.0)

    def meet(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def call(*given: Any) -> Any:
            meeting.wait()
            return real(*given)

        monkeypatch.setattr(owner, name, call)

    for number in (1, 2, 3):
        meet(*TARGETS[number])
    bar = decide(pipeline([BUYER], **threaded()))
    assert bar.statuses[:3] == ["passed"] * 3
    assert not meeting.broken


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_one_failing_view_does_not_cancel_the_other_two(
    failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ORC-05, ORC-58"""
    monkeypatch.setattr(*TARGETS[failing], explode)
    bar = decide(pipeline([BUYER], **threaded()))
    found = [bar.analysis.market, bar.analysis.features, bar.analysis.order_flow]
    assert [isinstance(view, Missing) for view in found] == [n == failing for n in (1, 2, 3)]
    assert len(bar.records) == 10


def test_threads_and_one_after_the_other_decide_the_same() -> None:
    """ORC-05, D-25"""
    one, many = decide(pipeline([BUYER])), decide(pipeline([BUYER], **threaded()))
    assert many.decision == one.decision


# -- failures --------------------------------------------------------------------------------------

# where an exception goes in to hit each phase
TARGETS: dict[int, tuple[Any, str]] = {
    1: (market_analysis, "analyse_market"),
    2: (feature_engineering, "build_features"),
    3: (microstructure, "read_order_flow"),
    4: (beliefs, "select_sources"),
    5: (beliefs, "cross_validate"),
    6: (beliefs, "combine"),
    7: (risk_and_sizing, "assess_risk_and_size"),
    8: (final_decision, "finalise"),
    9: (PendingOpinions, "due"),
    10: (EvolutionWatch, "due"),
}


def explode(*given: object, **named: object) -> None:
    raise RuntimeError("injected fault 42")


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


# -- what survives a restart -----------------------------------------------------------------------

LEARNING = replace(CONFIG, horizon_bars=3, learn_every_bars=1)


def test_a_restored_pipeline_decides_the_same() -> None:
    """ORC-15, I-26: everything learned goes through JSON."""
    rules = [Rule("one", 0.62, side=1), Rule("two", 0.55)]
    phases, restored = pipeline(rules, config=LEARNING), pipeline(rules, config=LEARNING)
    for row in range(500, 560):
        decide(phases, row)
    restored.restore(json.loads(json.dumps(phases.state())))
    for row in range(560, 600):
        ours, theirs = decide(phases, row), decide(restored, row)
        assert theirs.decision == ours.decision
        assert theirs.analysis.consensus == ours.analysis.consensus
    assert restored.state() == phases.state()


def test_learning_happened_in_that_test() -> None:
    """The state above is not an empty one."""
    phases = pipeline([Rule("one", 0.55)], config=LEARNING)
    before = decide(phases, 500).analysis.consensus
    for row in range(501, 560):
        decide(phases, row)
    after = decide(phases, 560).analysis.consensus
    assert before is not None and after is not None
    assert after.uncertainty < before.uncertainty


@pytest.mark.parametrize("part", ["scoreboard", "learned", "pending", "evolution"])
def test_a_state_without_one_of_its_parts_is_refused(part: str) -> None:
    state = pipeline([BUYER]).state()
    del state[part]
    with pytest.raises(ValueError, match=f"mapping {part}"):
        pipeline([BUYER]).restore(state)


def test_a_warmed_up_pipeline_and_its_board_are_ready_before_the_first_event() -> None:
    """ORC-18: compiling costs no event its deadline."""
    store = ColumnStore(BARS)
    phases = pipeline([BUYER])
    phases.warm_up(store)
    known = dict(store._cache)
    decide(phases, at=snapshot(650, store=store))
    added = store._cache.keys() - known.keys()
    assert len(added) <= 2, added


def test_serial_execution_reports_a_failing_view_as_failed() -> None:
    """ORC-17: with the error's name, not as absent data."""
    safe = fail_safe()
    results = SerialExecutor(safe).run({"a": explode, "b": lambda: 1})
    assert results["b"] == 1
    assert isinstance(results["a"], Missing)
    assert results["a"].reason == "RuntimeError: injected fault 42"
