"""Phases 9 and 10 made true: what fails is on record, and the next decision works all the same."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.drift import BlockedDrift
from engine.insights import InsightBoard
from engine.phases import feature_engineering, final_decision, proposals
from engine.phases.learning import PendingOpinions
from engine.phases.quiet import ReplayPipeline
from engine.scoreboard import Scoreboard
from engine.seats import Seated
from engine.types.bars import FloatColumn
from engine.types.decisions import Action, PhaseStatus
from engine.types.learned import Insight, Seat
from engine.types.opinions import FeatureView
from strategies.core.predictors.online_linear import OnlineLinear
from strategies.core.registry import CONTROLS
from tests.engine.phases.bars import BUYER, RULES_ONLY, STORE, decide, explode
from tests.engine.phases.scene import (
    CONFIG,
    Incidents,
    Predictor,
    Rule,
    holding,
    pipeline,
    snapshot,
)

EVERY_BAR = replace(CONFIG, horizon_bars=1, learn_every_bars=1, ensemble_trades=False)
APPLIED = [
    (9, Scoreboard, "record"),
    (9, PendingOpinions, "apply"),
    (10, BlockedDrift, "update"),
    (10, InsightBoard, "leave"),
]


class Watcher:
    """Leaves one insight on every bar."""

    code = "watcher"
    reads_book = False

    def insights(self, at: Any, order_flow: Any) -> list[Insight]:
        now_ms = at.event.ts_ms
        return [
            Insight(
                source="watcher",
                kind="SEEN",
                value=1.0,
                text="something was seen",
                at_ms=now_ms,
                expires_ms=now_ms + 2 * 60_000,
                symbol=at.event.symbol,
                about="one",
                trust=0.5,
            )
        ]

    def may_notice(self, store: Any) -> Any:
        return np.ones(len(store.bars), dtype=np.bool_)


@pytest.mark.parametrize(("number", "kind", "name"), APPLIED)
def test_what_cannot_be_applied_is_an_error_record_and_the_next_bar_works(
    number: int, kind: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ORC-17: phases 9 and 10 fail after the decision was made; it stands."""
    incidents = Incidents()
    phases = pipeline(
        [BUYER], [Predictor()], config=EVERY_BAR, incidents=incidents, observers=[Watcher()]
    )
    for row in range(600, 603):
        decide(phases, row)
    with monkeypatch.context() as broken:
        broken.setattr(kind, name, explode)
        bar = decide(phases, 603)
    assert bar.decision.action is Action.BUY
    record = next(r for r in bar.learned.records if r.number == number)
    assert record.status is PhaseStatus.ERROR
    assert "injected fault 42" in record.reasons[0].text
    assert [s for n, s in enumerate(bar.statuses, 1) if n != number] == ["passed"] * 9
    assert incidents.seen
    after = decide(phases, 604)
    assert after.decision.action is Action.BUY
    assert after.statuses == ["passed"] * 10


def test_one_score_that_cannot_be_booked_does_not_cost_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ORC-17"""
    board, record = Scoreboard(), Scoreboard.record
    phases = pipeline([BUYER, Rule("two", 0.4)], config=EVERY_BAR, scoreboard=board)
    decide(phases, 600)

    def picky(self: Scoreboard, settlement: Any) -> None:
        if settlement.source == "one":
            raise RuntimeError("injected fault 42")
        record(self, settlement)

    monkeypatch.setattr(Scoreboard, "record", picky)
    decide(phases, 601)
    assert (board.settled("one"), board.settled("two")) == (0, 1)


def test_failing_proposals_are_a_hold_with_the_error_and_exits_still_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ORC-17, ORC-58: nobody is locked in, and the next bar works."""
    incidents = Incidents()
    phases = pipeline([BUYER], config=EVERY_BAR, incidents=incidents)
    with monkeypatch.context() as broken:
        broken.setattr(proposals, "propose", explode)
        bar = decide(phases, 600)
        now = snapshot(601, store=STORE)
        found = phases.analyse(now)
        stopped = holding("2")
        held = stopped["positions"]["one"]
        held.stop_price = final_decision.ZERO + 10**9
        (leaving,) = phases.proposals(now, found, stopped["positions"])
    assert (bar.decision.action, bar.decision.quantity_base) == (Action.HOLD, 0)
    assert (bar.decision.reason_code, bar.decision.blocking_phase) == ("PHASE_ERROR", 7)
    assert "injected fault 42" in bar.decision.reasons[0].text
    assert bar.records[6].status is PhaseStatus.ERROR
    assert "proposals" in incidents.places
    assert leaving.reason_code == "STOP"
    assert decide(phases, 602).decision.action is Action.BUY


def test_a_hold_that_cannot_be_told_is_told_more_simply(monkeypatch: pytest.MonkeyPatch) -> None:
    """ORC-17"""
    phases = pipeline([Rule("one", 0.6)], config=EVERY_BAR)
    with monkeypatch.context() as broken:
        broken.setattr("engine.phases.tracing.silence", explode)
        bar = decide(phases, 600)
    assert (bar.decision.action, bar.decision.confidence) == (Action.HOLD, 0.0)
    assert (bar.decision.reason_code, bar.decision.blocking_phase) == ("PHASE_ERROR", 8)
    assert [r.number for r in bar.decision.records] == [7, 8]
    assert decide(phases, 601).decision.reason_code == "NO_PROPOSAL"


def test_a_quiet_replay_bar_that_fails_to_learn_runs_all_ten_phases(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ORC-17: the early answer has the same net under it."""
    phases = pipeline([Rule("one", 0.5)], kind=ReplayPipeline, config=EVERY_BAR)
    assert phases.quiet(snapshot(600, store=STORE), {}) is not None
    with monkeypatch.context() as broken:
        broken.setattr(PendingOpinions, "due", explode)
        assert phases.quiet(snapshot(601, store=STORE), {}) is None
        bar = decide(phases, 601)
        assert bar.learned.records[0].status is PhaseStatus.ERROR
    assert phases.quiet(snapshot(602, store=STORE), {}) is not None


# -- insights --------------------------------------------------------------------------------------


def test_an_insight_is_read_from_the_next_bar_on_and_stored_and_expires() -> None:
    """ORC-82, D-18"""
    watcher = Watcher()
    phases = pipeline([BUYER, Rule("two", 0.6)], config=EVERY_BAR, observers=[watcher])
    first, second = decide(phases, 600), decide(phases, 601)
    assert first.analysis.panel.insights == ()
    assert [i.kind for i in second.analysis.panel.insights] == ["SEEN"]
    assert second.analysis.panel.trust == (("one", 0.5),)
    assert second.records[4].output["insights"] == ["watcher: something was seen"]
    ours, theirs = second.analysis.validation, first.analysis.validation
    assert ours is not None and theirs is not None
    assert ours.reliability == pytest.approx(0.75 * theirs.reliability)
    weights = second.analysis.consensus
    assert weights is not None
    assert dict(zip(weights.contributors, weights.weights, strict=True)) == pytest.approx(
        {"one": 1 / 3, "two": 2 / 3}
    )
    watcher.insights = lambda at, order_flow: []  # type: ignore[method-assign]
    assert decide(phases, 602).analysis.panel.insights
    assert decide(phases, 603).analysis.panel.insights == ()


def test_a_failing_observer_leaves_nothing_and_stops_nobody() -> None:
    """ORC-58"""
    broken = Watcher()
    broken.insights = explode  # type: ignore[method-assign, assignment]
    incidents = Incidents()
    phases = pipeline([BUYER], config=EVERY_BAR, observers=[broken], incidents=incidents)
    assert decide(phases, 600).decision.action is Action.BUY
    assert incidents.places == ["insight watcher"]


def test_a_drift_in_errors_lowers_trust_in_its_source_for_a_stated_time() -> None:
    """ORC-82, ORC-16: found by ADWIN on settled opinions, told on the next bar's record."""
    good = [0.99]
    learner = Predictor(answer=lambda: good[0])
    board = Scoreboard()
    config = replace(EVERY_BAR, drift_block_settled=1, drift_insight_bars=5)
    phases = pipeline([Rule("a", 0.6)], [learner], config=config, scoreboard=board)
    store, rose = STORE, STORE.bars.close
    trusts: list[tuple[tuple[str, float], ...]] = []
    triggers: list[str] = []
    for row in range(260, 690):
        # right for long, then always wrong
        up = rose[row + 1] > rose[row]
        good[0] = 0.99 if up == (row < 480) else 0.01
        bar = decide(phases, row, at=snapshot(row, store=store))
        trusts.append(bar.analysis.panel.trust)
        triggers += [t.kind for t in bar.learned.triggers]
    doubted = [index for index, trust in enumerate(trusts) if trust]
    assert doubted and 480 - 260 < doubted[0] < 480 - 260 + 60
    assert all(trusts[i] == (("learner", 0.5),) for i in doubted)
    assert "drift" in triggers or "decline" in triggers


# -- restarts --------------------------------------------------------------------------------------


def test_a_session_restored_from_its_state_decides_on_as_if_never_stopped() -> None:
    """I-26, ORC-15: seats, insights, credits and drift windows included."""

    def built() -> Any:
        controls = [Seated(build(), Seat.CONTROL) for build in CONTROLS.values()]
        seats = [Seated(OnlineLinear()), *controls]
        return pipeline([BUYER], seats=seats, config=EVERY_BAR, observers=[Watcher()])

    whole, first = built(), built()
    for row in range(400, 450):
        decide(whole, row)
        decide(first, row)
    again = built()
    again.restore(json.loads(json.dumps(first.state())))
    assert again.state() == first.state()
    for row in range(450, 500):
        ours, theirs = decide(again, row), decide(whole, row)
        assert ours.analysis.consensus == theirs.analysis.consensus
        assert ours.analysis.panel == theirs.analysis.panel
    assert again.state() == whole.state()


def test_features_of_another_version_or_length_start_their_readers_anew_said_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ORC-58: a stored state never meets a row it was not learned from; no crash."""
    incidents, learner = Incidents(), OnlineLinear()
    phases = pipeline([BUYER], [learner], config=EVERY_BAR, incidents=incidents)
    for row in range(600, 610):
        decide(phases, row)
    assert learner.learned == 9

    def other(at: Any) -> FeatureView:
        values: FloatColumn = np.array([0.1, 0.2])
        return FeatureView("next", ("a", "b"), values, True)

    restarted = OnlineLinear()
    again = pipeline([BUYER], [restarted], config=EVERY_BAR, incidents=incidents)
    again.restore(json.loads(json.dumps(phases.state())))
    assert restarted.learned == 9
    monkeypatch.setattr(feature_engineering, "build_features", other)
    for row in range(610, 615):
        assert decide(again, row).decision.action is Action.BUY
    assert restarted.learned == 4, "the row read before the change taught nothing"
    assert incidents.places == ["learned state"]
    assert "online-linear starts anew" in str(incidents.seen[0][1])


def test_an_exit_is_offered_even_where_rules_cannot_be_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ORC-17"""
    phases = pipeline([BUYER], config=RULES_ONLY)
    now = snapshot(600, store=STORE)
    found = phases.analyse(now)
    monkeypatch.setattr(type(phases), "board", explode)
    positions = holding("2")["positions"]
    positions["one"].stop_price = final_decision.ZERO + 10**9
    (leaving,) = phases.proposals(now, found, positions)
    assert leaving.reason_code == "STOP"


# -- seats -----------------------------------------------------------------------------------------


def test_a_promotion_between_events_moves_scores_and_waiting_opinions_with_the_model() -> None:
    """ORC-16: the champion's name stands for the new model and for what it earned."""
    board = Scoreboard()
    old, new = Predictor("learner", lambda: 0.9), Predictor("learner", lambda: 0.2)
    seats = [Seated(old, version="v1"), Seated(new, Seat.CHALLENGER, "v2")]
    phases = pipeline([Rule("a")], seats=seats, config=EVERY_BAR, scoreboard=board)
    for row in range(600, 620):
        before = decide(phases, row)
    earned = board.brier("learner@v2")
    phases.reseat([Seated(new, version="v2"), Seated(old, Seat.GUARD, "v1")], 1)
    assert board.brier("learner") == earned
    assert board.settled("learner@v1") == 19
    after = decide(phases, 620)
    spoke = {o.source: (o.version, o.probability_up) for o in after.analysis.opinions}
    assert spoke["learner"] == ("v2", 0.2)
    (trial,) = after.learned.trials
    assert dict(trial.answers) == {"learner": 0.2, "learner@v1": 0.9}, "asked before, named anew"
    assert board.settled("learner") == 20
    assert before.analysis.panel.asked == (("learner", 0.9), ("learner@v2", 0.2))


def test_a_model_that_left_leaves_nothing_in_the_state() -> None:
    """ORC-20: a year of candidates must not make every bar's stored state longer."""
    board = Scoreboard()
    voter, tried = Predictor("learner", lambda: 0.9), Predictor("learner", lambda: 0.2)
    seats = [Seated(voter, version="v1"), Seated(tried, Seat.CHALLENGER, "v2")]
    phases = pipeline([Rule("a")], seats=seats, config=EVERY_BAR, scoreboard=board)
    for row in range(600, 620):
        decide(phases, row)
    with_both = json.loads(json.dumps(phases.state()))
    phases.reseat([Seated(voter, version="v1")], 1)
    after = decide(phases, 620)
    assert "learner@v2" in {s.source for s in after.learned.settlements}, "asked before it left"
    assert "learner@v2" not in board.sources()
    assert board.settled("learner") == 20
    again = Scoreboard()
    alone = pipeline(
        [Rule("a")], seats=[Seated(voter, version="v1")], config=EVERY_BAR, scoreboard=again
    )
    alone.restore(with_both)
    assert again.sources() == ("a", "ensemble", "learner")
