"""The ten phases together: ORC-04 to ORC-07, ORC-14, ORC-15, ORC-17, ORC-18, ORC-55 to ORC-59,
ORC-64, ORC-66, ORC-67, OPT-76."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from engine.executors import ThreadedExecutor
from engine.failsafe import FailSafe
from engine.phases import beliefs as beliefs_module
from engine.phases import (
    feature_engineering,
    final_decision,
    market_analysis,
    microstructure,
    risk_and_sizing,
)
from engine.phases.config import PipelineConfig
from engine.phases.evolution import EvolutionWatch
from engine.phases.learning import PendingOpinions
from engine.phases.recorder import CountingRecorder
from engine.ports import Executor, StrategyStatus
from engine.types.bars import ColumnStore, TradeFlow
from engine.types.decisions import PHASES, Action, Decision, PhaseStatus
from engine.types.opinions import Missing, Opinion, Regime
from tests.engine.phases import scene

D = Decimal
LAST = (-1,)


def rules() -> list[scene.Rule]:
    """Three that agree; the first proposes to buy on the last bar."""
    return [
        scene.Rule("rule-a", 0.60, side=1, rows=LAST),
        scene.Rule("rule-b", 0.58),
        scene.Rule("rule-c", 0.57),
    ]


# -- one decision ---------------------------------------------------------------------------------


def test_a_decision_leaves_ten_records_in_order_with_something_in_each() -> None:
    """ORC-06, ORC-04, ORC-64: names, statuses, digests, durations, non-empty outputs."""
    of = scene.snapshot(book=scene.BOOK, flow=TradeFlow(3.0, 1.0, 9))
    found, (decision, *_), records = scene.scene(rules(), [scene.Learner()]).walk(of)
    assert [record.number for record in records] == list(range(1, 11))
    assert [record.name for record in records] == list(PHASES)
    for record in records:
        assert record.output, record.name
        assert len(record.input_digest) == len(record.output_digest) == 16
        assert record.duration_us >= 0.0
    assert {record.status for record in records} <= {PhaseStatus.PASSED, PhaseStatus.REDUCED}
    assert decision.action is Action.BUY
    assert {o.source for o in found.opinions} == {"rule-a", "rule-b", "rule-c", "learner"}
    json.dumps([record.output for record in records], allow_nan=False)


def test_records_tell_why_with_numbers() -> None:
    """ORC-59, ORC-73: market, features and book are all in what is stored."""
    of = scene.snapshot(book=scene.BOOK, flow=TradeFlow(3.0, 1.0, 9))
    found, (decision, *_), records = scene.scene(rules()).walk(of)
    outputs = {record.name: record.output for record in records}
    assert outputs["market_analysis"]["sentiment"] == 0.5
    assert outputs["microstructure"]["advice"] == "market"
    assert outputs["source_selection"]["selected"] == ["rule-a", "rule-b", "rule-c"]
    assert outputs["ensemble"]["confluence_up"] == 3
    assert outputs["risk_and_sizing"]["steps"]
    assert outputs["final_decision"]["votes"] == {
        o.source: o.probability_up for o in found.opinions
    }
    assert all(reason.text for reason in decision.reasons)


def test_buy_sell_exit_and_hold_are_each_produced_by_suitable_data() -> None:
    """ORC-64"""
    of, short = scene.snapshot(), scene.instrument(shortable=True)
    seller = scene.Rule("rule-a", 0.40, side=-1, rows=LAST)
    _, (bought, *_), _ = scene.scene(rules()).walk(of)
    _, (sold, *_), _ = scene.scene([seller]).walk(scene.snapshot(traded=short))
    _, (held, *_), _ = scene.scene([scene.Rule()]).walk(of)
    leaver = scene.Rule("rule-a", 0.5, exit_rows=LAST)
    position = scene.position(stop_price=None, target_price=None)
    _, (left, *_), _ = scene.scene([leaver]).walk(of, positions={"rule-a": position})
    assert [d.action for d in (bought, sold, held, left)] == [
        Action.BUY,
        Action.SELL,
        Action.HOLD,
        Action.EXIT,
    ]
    assert (held.strategy, held.quantity_base, held.intent) == ("platform", 0, None)
    assert left.quantity_base == position.quantity_base


def test_the_ensemble_enters_on_its_own_where_sources_agree_and_not_where_they_do_not() -> None:
    """D-46, ORC-11: phase 5's verdict changes what is decided."""
    of = scene.snapshot()
    agreeing = [scene.Rule(code, 0.60) for code in "abc"]
    # together 0.535 and two leaning up: enough to enter, were it not for the verdict
    torn = [scene.Rule(code, p) for code, p in zip("abcd", (0.64, 0.44, 0.44, 0.62), strict=True)]
    _, (entered, *_), _ = scene.scene(agreeing).walk(of)
    found, (stayed, *_), _ = scene.scene(torn).walk(of)
    assert (entered.strategy, entered.action) == ("ensemble", Action.BUY)
    assert found.validation is not None
    assert found.validation.verdict == "unreliable"
    assert found.consensus is not None
    assert found.consensus.probability_up >= PipelineConfig().entry_probability
    assert found.consensus.confluence_up >= PipelineConfig().min_confluence
    assert stayed.action is Action.HOLD


def test_the_same_bars_and_versions_give_the_same_decision() -> None:
    """ORC-14, I-26: digests too, whatever the wall clock says."""
    of = scene.snapshot(book=scene.BOOK)
    walks = [scene.scene(rules(), [scene.Learner()]).walk(of) for _ in range(2)]
    ((first, made, records), (second, again, repeated)) = walks
    assert plain(made) == plain(again)
    assert [r.output_digest for r in records] == [r.output_digest for r in repeated]
    assert [r.input_digest for r in records] == [r.input_digest for r in repeated]
    assert first.consensus == second.consensus


def plain(decisions: list[Decision]) -> list[tuple[object, ...]]:
    """What a decision says, without its records (they carry durations)."""
    return [
        (d.strategy, d.action, d.quantity_base, d.reason_code, d.confidence, d.intent, d.reasons)
        for d in decisions
    ]


def test_replay_without_records_decides_the_same() -> None:
    """D-25: the counting recorder changes nothing but what is kept."""
    store = ColumnStore(scene.bars(400))
    full = scene.scene(rules())
    counting = scene.scene(rules(), recorder=CountingRecorder(), monotonic=lambda: 0.0)
    for row in range(200, 400):
        of = scene.snapshot(row, store=store)
        kept, made, _ = full.walk(of)
        bare, same, records = counting.walk(of)
        assert plain(made) == plain(same)
        assert (kept.consensus, kept.opinions) == (bare.consensus, bare.opinions)
        assert records == ()
    assert full.pipeline.state() == counting.pipeline.state()


def test_a_bounded_window_decides_as_the_whole_history_does() -> None:
    """D-25, ORC-89: live reads the last row of a window, replay a row of everything."""
    whole = scene.bars(3_000)
    of_whole = scene.snapshot(2_949, store=ColumnStore(whole))
    of_cut = scene.snapshot(-1, store=ColumnStore(scene.cut(whole, 450, 2_950)))
    buyers = [scene.Rule("a", 0.6, 1, rows=(2_949,)), scene.Rule("b", 0.58)]
    windowed = [scene.Rule("a", 0.6, 1, rows=LAST), scene.Rule("b", 0.58)]
    _, replayed, _ = scene.scene(buyers).walk(of_whole)
    _, live, _ = scene.scene(windowed).walk(of_cut)
    assert [(d.strategy, d.action, d.quantity_base) for d in replayed] == [
        (d.strategy, d.action, d.quantity_base) for d in live
    ]


# -- failures -------------------------------------------------------------------------------------


def broken(*args: object, **named: object) -> Any:
    raise RuntimeError("injected")


# where each of phases 1-8 can be made to fail: number, module, name
FAILING: list[tuple[int, object, str]] = [
    (1, market_analysis, "analyse_market"),
    (2, feature_engineering, "build_features"),
    (3, microstructure, "read_order_flow"),
    (4, beliefs_module, "select_sources"),
    (5, beliefs_module, "cross_validate"),
    (6, beliefs_module, "combine"),
    (7, risk_and_sizing, "assess_risk_and_size"),
    (8, final_decision, "finalise"),
]


@pytest.mark.parametrize(("number", "module", "name"), FAILING, ids=[n for _, _, n in FAILING])
def test_an_error_in_a_phase_is_a_hold_that_names_it_and_the_next_decision_works(
    number: int, module: object, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ORC-17, ORC-67, OPT-15: HOLD, size 0, confidence 0, phase and error recorded."""
    store = ColumnStore(scene.bars())
    given = rules()
    given[0].rows = (-2, -1)
    running = scene.scene(given)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, broken)
        _, made, records = running.walk(scene.snapshot(-2, store=store))
    failed = next(decision for decision in made if decision.strategy == "rule-a")
    assert (failed.action, failed.quantity_base, failed.confidence) == (Action.HOLD, 0, 0.0)
    assert failed.intent is None
    assert (failed.reason_code, failed.blocking_phase) == ("PHASE_ERROR", number)
    assert "RuntimeError: injected" in failed.reasons[0].text
    assert [r.number for r in records] == list(range(1, 11)), "skipped phases say so"
    errors = [record for record in records if record.status is PhaseStatus.ERROR]
    assert [(record.number, record.name) for record in errors] == [(number, PHASES[number - 1])]
    assert len(running.incidents.seen) >= 1
    _, (next_one, *_), _ = running.walk(scene.snapshot(-1, store=store))
    assert next_one.action is Action.BUY


@pytest.mark.parametrize(("number", "owner"), [(9, PendingOpinions), (10, EvolutionWatch)])
def test_an_error_in_learning_or_evolution_leaves_the_decision_and_the_next_bar_alone(
    number: int, owner: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ORC-17: learning comes after the decision, so it cannot turn it; the error is on record."""
    running = scene.scene(rules(), [scene.Learner()])
    with monkeypatch.context() as patch:
        patch.setattr(owner, "due", broken)
        _, (decision, *_), records = running.walk(scene.snapshot())
    assert decision.action is Action.BUY
    assert records[number - 1].status is PhaseStatus.ERROR
    assert "injected" in records[number - 1].reasons[0].text
    assert running.incidents.places == [PHASES[number - 1]]
    _, _, records = running.walk(scene.snapshot())
    assert all(record.status is not PhaseStatus.ERROR for record in records)


@pytest.mark.parametrize(("number", "module", "name"), FAILING[:6], ids=list(PHASES[:6]))
def test_an_exit_is_decided_even_where_an_earlier_phase_failed(
    number: int, module: object, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ORC-58: what is held can always be left."""
    monkeypatch.setattr(module, name, broken)
    leaver = scene.Rule("rule-a", 0.5, exit_rows=LAST)
    position = scene.position(stop_price=None, target_price=None)
    _, (decision, *_), records = scene.scene([leaver]).walk(
        scene.snapshot(), positions={"rule-a": position}
    )
    assert decision.action is Action.EXIT
    assert records[number - 1].status is PhaseStatus.ERROR


def test_one_failed_view_does_not_cancel_the_other_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """ORC-05"""
    monkeypatch.setattr(feature_engineering, "build_features", broken)
    found = scene.scene(rules()).pipeline.analyse(scene.snapshot(book=scene.BOOK))
    assert isinstance(found.features, Missing)
    assert not isinstance(found.market, Missing)
    assert not isinstance(found.order_flow, Missing)
    assert found.consensus is not None, "phases 4-6 go on with what there is"


def test_a_failing_rule_or_predictor_leaves_the_others_heard() -> None:
    """ORC-58, ORC-17"""
    sources = [scene.Rule("bad", fails=True), *rules()]
    running = scene.scene(sources, [scene.Learner("worse", fails=True)])
    found, made, _ = running.walk(scene.snapshot())
    assert {o.source for o in found.opinions} == {"rule-a", "rule-b", "rule-c"}
    assert made[0].action is Action.BUY
    assert set(running.incidents.places) == {"rule bad", "predictor worse"}


def test_a_predictor_that_says_no_probability_is_not_heard() -> None:
    """ORC-58"""
    running = scene.scene(rules(), [scene.Learner(probability=float("nan"))])
    found, _, _ = running.walk(scene.snapshot())
    assert "learner" not in {o.source for o in found.opinions}
    assert running.incidents.places == ["predictor learner"]


@pytest.mark.parametrize("method", ["assess", "size_multiplier"])
def test_a_failing_layer_leaves_the_base_order_and_a_suspended_strategy_blocked(
    method: str,
) -> None:
    """OPT-76, D-03"""
    of = scene.snapshot()
    _, (base, *_), _ = scene.scene(rules()).walk(of)
    failing = scene.scene(rules(), policy=scene.Policy(2.0, fails=frozenset({method})))
    _, (made, *_), _ = failing.walk(of)
    assert made.action is Action.BUY
    if method == "size_multiplier":
        assert made.quantity_base == base.quantity_base
    assert failing.incidents.places == [f"policy.{method}"] * len(failing.incidents.seen)
    assert failing.incidents.seen
    suspended = scene.Gate(status=StrategyStatus.SUSPENDED)
    _, (blocked, *_), _ = failing.walk(of, gate=suspended)
    assert blocked.reason_code == "STRATEGY_SUSPENDED"


# -- deadlines ------------------------------------------------------------------------------------


def threads(deadline_s: float) -> Callable[[FailSafe], Executor]:
    return lambda fail_safe: ThreadedExecutor(deadline_s, time.monotonic, fail_safe)


@pytest.mark.parametrize(
    ("number", "module", "name"),
    [(1, market_analysis, "analyse_market"), (5, beliefs_module, "cross_validate")],
)
def test_a_phase_that_hangs_is_a_hold_within_the_deadline(
    number: int, module: object, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ORC-18: fallback within deadline + 100 ms for each run of the executor (two a bar)."""
    running = scene.scene(rules(), executor=threads(1.0))
    of = scene.snapshot()
    running.pipeline.warm_up(of.store)
    release = threading.Event()
    monkeypatch.setattr(module, name, lambda *a, **k: release.wait(30.0))
    started_s = time.monotonic()
    found, made, _ = running.walk(of)
    took_s = time.monotonic() - started_s
    release.set()
    assert 1.0 <= took_s < 2.1
    failed = next(record for record in found.records if record.status is PhaseStatus.ERROR)
    assert failed.number == number
    assert "deadline was 1 s" in failed.reasons[0].text
    assert (made[0].action, made[0].blocking_phase) == (Action.HOLD, number)


class Steps:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_past_the_total_deadline_entries_hold_and_exits_go() -> None:
    """ORC-18: between the bar's arrival and the last phase."""
    clock, of = Steps(), scene.snapshot()
    leaver = scene.Rule("rule-b", 0.5, exit_rows=LAST)
    running = scene.scene([rules()[0], leaver], monotonic=clock, total_deadline_s=2.0)
    held = {"rule-b": scene.position(strategy="rule-b", stop_price=None, target_price=None)}
    pipe = running.pipeline
    found = pipe.analyse(of)
    asked = pipe.proposals(of, found, held)
    clock.now_s = 2.5
    made = {p.strategy: pipe.decide(p, of, found, scene.context(positions=held)) for p in asked}
    assert (made["rule-a"].action, made["rule-a"].reason_code) == (Action.HOLD, "DEADLINE")
    assert made["rule-a"].blocking_phase == 8
    assert "deciding took 2.500 s, deadline was 2 s" in made["rule-a"].reasons[0].text
    assert made["rule-b"].action is Action.EXIT


def test_views_are_computed_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """ORC-05: each view waits for the other two."""
    together = threading.Barrier(3, timeout=20.0)
    for module, name in (
        (market_analysis, "analyse_market"),
        (feature_engineering, "build_features"),
        (microstructure, "read_order_flow"),
    ):
        real = getattr(module, name)

        def waits(*args: Any, real: Callable[..., Any] = real) -> Any:
            together.wait()
            return real(*args)

        monkeypatch.setattr(module, name, waits)
    found, made, _ = scene.scene(rules(), executor=threads(20.0)).walk(scene.snapshot())
    assert not isinstance(found.market, Missing)
    assert made[0].action is Action.BUY


def test_a_source_that_is_slow_is_asked_now_and_then_only() -> None:
    """ORC-10, ORC-74: under load with fewer sources, rather than late."""
    clock, learner = Steps(), scene.Learner()
    store = ColumnStore(scene.bars())
    running = scene.scene([], [learner], monotonic=clock, learn_every_bars=4)
    predict = learner.predict

    def slow(features: Any) -> float:
        clock.now_s += 0.5
        return predict(features)

    learner.predict = slow  # type: ignore[method-assign]
    for row in range(500, 540):
        running.walk(scene.snapshot(row, store=store))
    assert learner.predictions == pytest.approx(10, abs=1)


# -- order, coordination, memory ------------------------------------------------------------------


def test_phases_run_in_the_stated_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """ORC-56: parallel analyses, selection, validation, ensemble, risk, decision."""
    seen: list[int] = []
    for number, module, name in FAILING:
        real = getattr(module, name)

        def traced(*args: Any, n: int = number, real: Callable[..., Any] = real) -> Any:
            seen.append(n)
            return real(*args)

        monkeypatch.setattr(module, name, traced)
    scene.scene([scene.Rule("rule-a", 0.60, side=1, rows=LAST)]).walk(scene.snapshot())
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8]


def test_without_a_book_phase_three_is_missing_and_the_rest_goes_on() -> None:
    """ORC-58, ORC-09"""
    _, (decision, *_), records = scene.scene(rules()).walk(scene.snapshot())
    assert records[2].status is PhaseStatus.MISSING
    assert records[2].reasons[0].text == "no book"
    assert decision.action is Action.BUY


def test_before_it_is_warm_nobody_enters_and_the_reason_is_told() -> None:
    """ORC-58, D-14"""
    cold = scene.Rule("rule-a", 0.6, side=1, rows=(30,))
    _, (denied, *_), _ = scene.scene([cold]).walk(scene.snapshot(30))
    assert (denied.reason_code, denied.blocking_phase) == ("NOT_READY", 7)
    _, (silent, *_), _ = scene.scene([cold]).walk(scene.snapshot(31))
    assert (silent.strategy, silent.reason_code) == ("platform", "NOT_WARM")


@pytest.mark.parametrize("regime", list(Regime))
def test_each_regime_yields_a_source_or_says_there_is_none(regime: Regime) -> None:
    """ORC-10: even one that no source likes."""
    others = frozenset(Regime) - {regime}
    sources = [scene.Rule(code, 0.6, favourable_regimes=others) for code in "ab"]
    found = scene.scene(sources).pipeline.analyse(scene.snapshot())
    assert any(score.selected for score in found.sources)


def test_a_bad_record_under_a_condition_takes_a_source_out_and_a_good_one_gives_it_weight() -> None:
    """ORC-15, ORC-10, ORC-12: outcomes change who is heard, and how much."""
    store = ColumnStore(scene.bars(1_500, seed=3))
    store.bars.close[:] = 100.0 + 0.01 * store.bars.close.cumsum() / 100.0
    right = scene.Rule("right", 0.70)
    wrong = scene.Rule("wrong", 0.30)
    running = scene.scene([right, wrong])
    first = running.pipeline.analyse(scene.snapshot(400, store=store))
    for row in range(400, 1_500):
        last, _, _ = running.walk(scene.snapshot(row, store=store))
    assert first.validation is not None
    assert {o.source for o in first.validation.kept} == {"right", "wrong"}
    assert last.consensus is not None
    assert last.consensus.contributors == ("right",)
    told = {score.source: score.reason for score in last.sources}
    assert "below minimum" in told["wrong"]


def test_settled_outcomes_reach_the_learned_sources_and_the_scoreboard_between_events() -> None:
    """ORC-15, D-18"""
    store, learner = ColumnStore(scene.bars()), scene.Learner(probability=0.6)
    running = scene.scene([], [learner])
    pipe = running.pipeline
    settled = []
    for row in range(500, 560):
        of = scene.snapshot(row, store=store)
        found = pipe.analyse(of)
        made = [pipe.hold(of, found)]
        before = pipe.state()
        result = pipe.after(of, found, made)
        assert pipe.state() == before, "nothing changes before it is applied"
        pipe.apply_learning(result)
        settled.extend(result.settlements)
    assert {s.source for s in settled} == {"learner", "ensemble"}
    assert len(learner.lessons) == len(settled) / 2
    ups = [lesson for lesson in learner.lessons if lesson[1] == 1]
    assert 0 < len(ups) < len(learner.lessons)


def test_a_restored_pipeline_goes_on_as_if_never_interrupted() -> None:
    """ORC-76, I-26"""
    store = ColumnStore(scene.bars())
    running = scene.scene(rules(), [scene.Learner()])
    for row in range(400, 480):
        running.walk(scene.snapshot(row, store=store))
    rebuilt = scene.scene(rules(), [scene.Learner(probability=0.1)])
    rebuilt.pipeline.restore(json.loads(json.dumps(running.pipeline.state())))
    for row in range(480, 560):
        of = scene.snapshot(row, store=store)
        assert plain(rebuilt.walk(of)[1]) == plain(running.walk(of)[1])
    assert rebuilt.pipeline.state() == running.pipeline.state()


def test_a_state_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="pipeline state must have a mapping learned"):
        scene.scene().pipeline.restore({})


def test_symbols_do_not_talk_to_each_other_but_through_the_scoreboard() -> None:
    """ORC-66: the same bars under another name, interleaved, decide the same."""
    store = ColumnStore(scene.bars())
    alone, mixed = scene.scene(rules()), scene.scene(rules())
    for row in range(600, 606):
        of = scene.snapshot(row, store=store)
        expected = plain(alone.walk(of)[1])
        mixed.walk(scene.snapshot(row, store=ColumnStore(scene.bars(seed=9)), symbol="ETH/USDT"))
        assert plain(mixed.walk(of)[1]) == expected


def test_ten_thousand_decisions_leave_no_threads_and_bounded_memory() -> None:
    """ORC-20: what the pipeline keeps does not grow with the number of decisions."""
    store = ColumnStore(scene.bars(2_000))
    running = scene.scene(rules(), recorder=CountingRecorder(), monotonic=lambda: 0.0)
    before = threading.active_count()
    sizes = []
    for _ in range(3):
        for row in range(300, 2_000):
            running.walk(scene.snapshot(row, store=store))
        sizes.append(len(json.dumps(running.pipeline.state())))
    assert threading.active_count() == before
    assert sizes[2] <= sizes[1] * 1.2


def test_two_sources_of_one_code_are_refused() -> None:
    with pytest.raises(ValueError, match="source codes must be unique"):
        scene.scene([scene.Rule("a"), scene.Rule("a")])


def test_rules_are_asked_once_a_store() -> None:
    rule, store = scene.Rule("a", 0.6), ColumnStore(scene.bars())
    running = scene.scene([rule])
    for row in range(500, 510):
        running.walk(scene.snapshot(row, store=store))
    assert rule.asked == 1


def test_a_pipeline_without_sources_holds_and_says_so() -> None:
    """ORC-10: an explicit no-source HOLD."""
    found, (decision, *_), records = scene.scene().walk(scene.snapshot())
    assert found.consensus is None
    assert decision.action is Action.HOLD
    assert records[3].status is PhaseStatus.BLOCKED
    assert records[3].reasons[0].code == "NO_SOURCE"


def test_a_lone_predictor_makes_a_consensus() -> None:
    found = scene.scene([], [scene.Learner(probability=0.7)]).pipeline.analyse(scene.snapshot())
    assert found.consensus is not None
    assert found.consensus.probability_up == 0.7
    assert [o.source for o in found.opinions] == ["learner"]
    assert isinstance(found.opinions[0], Opinion)
