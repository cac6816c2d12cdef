"""The ten phases together: order, records, side by side, and what survives a restart."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any

import pytest

from engine.executors import SerialExecutor
from engine.scoreboard import Scoreboard
from engine.types.bars import ColumnStore
from engine.types.decisions import PHASES, Action
from engine.types.opinions import Missing
from tests.engine.books import D
from tests.engine.phases.bars import (
    BUYER,
    STORE,
    TARGETS,
    decide,
    explode,
    threaded,
)
from tests.engine.phases.scene import (
    BARS,
    CONFIG,
    Predictor,
    Rule,
    fail_safe,
    pipeline,
    proven,
    risk,
    settled,
    snapshot,
)

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
    unsure = decide(pipeline([Rule("one", 0.51)], scoreboard=proven("one")))
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
    decide(phases, at=snapshot(len(BARS) - 1, store=store))
    added = store._cache.keys() - known.keys()
    assert len(added) <= 2, added


def test_serial_execution_reports_a_failing_view_as_failed() -> None:
    """ORC-17: with the error's name, not as absent data."""
    safe = fail_safe()
    results = SerialExecutor(safe).run({"a": explode, "b": lambda: 1})
    assert results["b"] == 1
    assert isinstance(results["a"], Missing)
    assert results["a"].reason == "RuntimeError: injected fault 42"
