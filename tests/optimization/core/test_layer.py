"""The policy in front of phase 7: filters, sizes, never adds, and fails to the base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.failsafe import FailSafePolicy
from engine.limits import RiskLimits
from engine.phases.final_decision import finalise
from engine.ports import Assessment, StrategyStatus, TradingState
from engine.types.bars import Snapshot
from engine.types.decisions import Decision, JsonValue
from engine.types.opinions import REGIMES, MarketView, Missing, Proposal, Regime, Side
from optimization.core.actions import ActionKind
from optimization.core.bounds import HeldWeight
from optimization.core.config import LayerSettings
from optimization.core.layer import AdaptivePolicy
from optimization.core.outcome import QualityInputs
from optimization.core.quality.learned import LearnedState
from optimization.core.state import LayerState, StrategyState
from optimization.core.weighting import WeightBook
from tests.engine.phases.scene import (
    CONFIG,
    STRATEGY,
    Gate,
    Incidents,
    analysis,
    consensus,
    context,
    entry,
    fail_safe,
    leave,
    market,
    snapshot,
)
from tests.engine.phases.sizing import ask, denial_of, size
from tests.optimization.core.outcomes import START_MS, trade

SETTINGS = LayerSettings(enabled=True)
FAVOURABLE = {STRATEGY: frozenset({Regime.TRENDING})}
TREND = market()
RANGE = market(regime=Regime.RANGING, regime_probabilities=(0.05, 0.85, 0.05, 0.05))


def weighing(weight: float, version: int = 1, **changes: Any) -> LayerState:
    book = WeightBook("t1", {STRATEGY: HeldWeight(weight)}, {})
    return LayerState(version=version, book=book, **changes)


def layer(state: LayerState | None = None, of: LayerSettings = SETTINGS, **parts: Any) -> Any:
    known = LayerState() if state is None else state
    fields: dict[str, Any] = {
        "base_weights": {STRATEGY: 1.0},
        "favourable": FAVOURABLE,
        "read": lambda version: None if version == known.version else known,
        **parts,
    }
    policy = AdaptivePolicy(of, **fields)
    policy.refresh(0)
    return policy


# -- scoring ---------------------------------------------------------------------------------------


def test_a_strong_signal_passes_and_a_weak_one_is_filtered_with_numbers() -> None:
    """OPT-10, OPT-11, OPT-12: score, flag and reason; the decision keeps what it was made of."""
    policy = layer()
    strong = policy.assess(entry(confidence=0.9), TREND, 3)
    weak = policy.assess(entry(confidence=0.5), RANGE, 1)
    assert (strong.accepted, strong.reason_code) == (True, "QUALITY_PASSED")
    assert (weak.accepted, weak.reason_code) == (False, "LOW_QUALITY")
    assert f"{weak.quality:.3f}" in weak.reason and "0.6" in weak.reason
    inputs = QualityInputs.from_json(strong.detail["inputs"])
    assert inputs == QualityInputs(0.9, 0.875, 0.7, 0.5)
    assert strong.quality == pytest.approx(0.3 * 0.9 + 0.2 * 0.875 + 0.25 * 0.7 + 0.25 * 0.5)


def test_a_score_equal_to_the_threshold_passes() -> None:
    """OPT-12"""
    proposal = entry(confidence=0.8)
    score = layer().assess(proposal, TREND, 2).quality
    at, above = (
        layer(of=replace(SETTINGS, quality_threshold=limit)).assess(proposal, TREND, 2)
        for limit in (score, score + 1e-9)
    )
    assert at.accepted and not above.accepted


def test_history_of_the_regime_it_is_in_counts_and_no_other() -> None:
    """OPT-80, OPT-89: realised trades of this strategy, read from the state."""
    won = {STRATEGY: StrategyState(history={"TRENDING": ((0, 1.0),) * 30})}
    before = layer().assess(entry(), TREND, 2).quality
    after = layer(LayerState(version=1, strategies=won)).assess(entry(), TREND, 2).quality
    other = layer(LayerState(version=1, strategies=won)).assess(entry(), RANGE, 2).quality
    assert after > before
    assert other == layer().assess(entry(), RANGE, 2).quality


def test_a_market_that_is_not_known_is_neutral() -> None:
    """D-03: scored without alignment and history, not failed."""
    inputs = QualityInputs.from_json(layer().assess(entry(), Missing("x"), 2).detail["inputs"])
    assert (inputs.alignment, inputs.history) == (0.5, 0.5)


def test_the_champion_scores_and_both_scores_are_recorded() -> None:
    """OPT-80: the challenger is shown beside the formula and takes over when promoted."""
    model = LearnedState(outcomes=500, weights=(2.0, 1.0, 1.0, 1.0, 1.0))
    asks = [LearnedState(), model, replace(model, champion=True)]
    found = [layer(LayerState(version=1, learned=m)).assess(entry(), TREND, 2) for m in asks]
    assert [one.detail["scorer"] for one in found] == ["formula", "formula", "learned"]
    assert found[0].detail["learned"] is None
    assert found[1].quality == found[1].detail["formula"] == found[2].detail["formula"]
    assert found[2].quality == found[2].detail["learned"] != found[2].detail["formula"]


# -- sizing ----------------------------------------------------------------------------------------


def test_weight_quality_and_regime_move_the_multiplier() -> None:
    """OPT-19, OPT-20, OPT-21, OPT-85"""

    def m(weight: float = 1.0, confidence: float = 0.8, view: MarketView = TREND) -> float:
        policy = layer(weighing(weight))
        proposal = entry(confidence=confidence)
        found: float = policy.size_multiplier(proposal, policy.assess(proposal, view, 3), view)
        return found

    assert m(0.5) < m(1.0) < m(1.5)
    assert m(confidence=0.6) < m(confidence=0.9)
    assert m(view=RANGE) < m(view=TREND)
    # the regime's own part, beside what it does to the quality
    policy, proposal = layer(weighing(1.0)), entry(confidence=0.8)
    scored = policy.assess(proposal, TREND, 3)
    away, home = (policy.size_multiplier(proposal, scored, view) for view in (RANGE, TREND))
    assert away < home
    assert m(1.5, 0.9) > 1.0


def test_an_assessment_of_another_signal_is_refused() -> None:
    """OPT-16: two symbols interleaved never swap qualities."""
    policy = layer()
    one, two = entry(bar_close_ms=1), entry(symbol="ETH/USDT", bar_close_ms=1)
    first, second = policy.assess(one, TREND, 3), policy.assess(two, TREND, 1)
    assert first.signal_id == one.signal_id != two.signal_id == second.signal_id
    assert policy.size_multiplier(one, first, TREND) > 0.0
    with pytest.raises(ValueError, match=two.signal_id):
        policy.size_multiplier(one, second, TREND)


def test_a_signals_name_is_the_same_in_every_run() -> None:
    """OPT-08, OPT-57: symbol, strategy and bar; confidence and prices do not matter."""
    assert entry(bar_close_ms=5).signal_id == entry(bar_close_ms=5, confidence=0.1).signal_id
    others = [entry(bar_close_ms=6), entry(strategy="two", bar_close_ms=5)]
    names = {one.signal_id for one in (entry(bar_close_ms=5), *others)}
    assert len(names) == 3 and all(len(name) == 16 for name in names)


def test_one_quality_record_with_the_signals_name_goes_with_the_order() -> None:
    """OPT-08, OPT-16: in the decision's own document."""
    proposal = entry(confidence=0.9)
    answer = ask(proposal, layer(), seen={"consensus": consensus(confluence_up=3)})
    assert answer.policy is not None
    assert answer.policy["signal_id"] == proposal.signal_id
    assert answer.policy["quality"] == answer.sizing.quality
    assert answer.policy["detail"]["inputs"]["confidence"] == 0.9  # type: ignore[index,call-overload]


def test_confidence_scales_the_size_through_the_multiplier_only() -> None:
    """D-13: the base size is the same for every confidence."""
    bases = {ask(entry(confidence=c), layer()).sizing.base_quantity for c in (0.75, 0.85, 0.95)}
    sizes = [ask(entry(confidence=c), layer()).sizing.quantity_base for c in (0.75, 0.85, 0.95)]
    assert len(bases) == 1
    assert sizes == sorted(set(sizes))


def test_degraded_halves_what_the_layer_asked_for_and_the_trace_shows_all_three() -> None:
    """D-15, D-01: raw, applied, and the step that halved it."""
    full = ask(entry(confidence=0.9), layer()).sizing
    half = ask(entry(confidence=0.9), layer(), gatekeeper=Gate(status=StrategyStatus.DEGRADED))
    assert half.sizing.multiplier_raw == full.multiplier_raw
    assert half.sizing.multiplier_applied == pytest.approx(0.5 * full.multiplier_applied)


# -- toggles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("quality", [False, True])
@pytest.mark.parametrize("weighting", [False, True])
@pytest.mark.parametrize("retirement", [False, True])
def test_each_toggle_puts_a_null_part_in_its_place(
    quality: bool, weighting: bool, retirement: bool
) -> None:
    """OPT-04: all eight; the retirement toggle is the update's, see its test."""
    of = replace(
        SETTINGS,
        enable_quality_filtering=quality,
        enable_adaptive_weighting=weighting,
        enable_retirement_management=retirement,
    )
    policy = layer(weighing(1.5), of)
    weak = policy.assess(entry(confidence=0.3), RANGE, 1)
    assert weak.accepted is not quality
    if not quality:
        assert (weak.quality, weak.reason_code) == (0.3, "UNFILTERED")
    assert policy.weights(Regime.QUIET) == {STRATEGY: 1.5 if weighting else 1.0}


# -- reading state and telling ---------------------------------------------------------------------


def test_a_newer_state_is_read_at_the_next_refresh_and_not_before() -> None:
    """OPT-39, F-085: one event is judged by one state."""
    held = [weighing(1.0, 1)]
    asked: list[int | None] = []

    def read(known: int | None) -> LayerState | None:
        asked.append(known)
        return None if known == held[0].version else held[0]

    policy = layer(read=read)
    held[0] = weighing(1.5, 2)
    assert policy.weights(Regime.QUIET) == {STRATEGY: 1.0}
    policy.refresh(1)
    assert policy.weights(Regime.QUIET) == {STRATEGY: 1.5}
    policy.refresh(2)
    assert asked == [None, 1, 2] and policy.state is held[0]


def test_each_action_is_told_once_with_the_signals_name() -> None:
    """OPT-57, OPT-58, OPT-68"""
    told: list[tuple[ActionKind, Mapping[str, JsonValue]]] = []
    policy = layer(tell=lambda kind, fields: told.append((kind, fields)))
    proposal = entry(confidence=0.9)
    policy.size_multiplier(proposal, policy.assess(proposal, TREND, 3), TREND)
    policy.assess(entry(confidence=0.1), RANGE, 0)
    words = [(kind, fields.get("outcome")) for kind, fields in told]
    assert words == [
        (ActionKind.SCORING, "evaluating"),
        (ActionKind.SCORING, "approved"),
        (ActionKind.SIZING, None),
        (ActionKind.SCORING, "evaluating"),
        (ActionKind.SCORING, "filtered"),
    ]
    assert {fields["signal"] for _, fields in told[:3]} == {proposal.signal_id}


# -- safety ----------------------------------------------------------------------------------------


def decided(proposal: Proposal, policy: Any, at: Snapshot, view: MarketView, **account: Any) -> Any:
    """Phases 7 and 8 as they are, for one account."""
    seen = analysis(at, market=view)
    answer = ask(proposal, policy, seen={"market": view}, **account)
    return finalise(proposal, at, seen, answer, context(**account), CONFIG)


@settings(max_examples=150, deadline=None)
@given(
    st.floats(0.1, 2.0),
    st.floats(0.0, 1.0),
    st.integers(0, 3),
    st.sampled_from(REGIMES),
    st.sampled_from([StrategyStatus.ACTIVE, StrategyStatus.DEGRADED, StrategyStatus.SUSPENDED]),
    st.booleans(),
    st.sampled_from([TradingState.ACTIVE, TradingState.REDUCING]),
)
def test_with_the_same_account_the_layer_only_removes_or_resizes_within_the_caps(
    weight: float,
    confidence: float,
    sources: int,
    regime: Regime,
    status: StrategyStatus,
    filtering: bool,
    state: TradingState,
) -> None:
    """D-29, I-14, OPT-14, OPT-15: never adds an order, never flips a side, never moves a stop."""
    at = snapshot()
    proposal = entry(at, confidence=confidence)
    shares = tuple(0.85 if one is regime else 0.05 for one in REGIMES)
    view = market(regime=regime, regime_probabilities=shares)
    of = replace(SETTINGS, enable_quality_filtering=filtering)
    gate = Gate(state=state, status=status)
    off: Decision = decided(proposal, None, at, view, gatekeeper=gate)
    on: Decision = decided(proposal, layer(weighing(weight), of), at, view, gatekeeper=gate)
    limits, equity = RiskLimits(), 10_000
    if on.intent is None:
        assert on.quantity_base == 0
        return
    assert off.intent is not None and off.action is on.action
    assert on.intent.side is off.intent.side is Side.BUY
    assert on.intent.client_order_id == off.intent.client_order_id
    assert (on.stop_price, on.target_price) == (off.stop_price, off.target_price)
    assert on.quantity_base * on.intent.reference_price <= limits.max_position_size * equity
    assert on.sizing is not None and 0.1 <= on.sizing.multiplier_applied <= 2.0
    assert on.sizing.stop_risk_quote <= limits.max_risk_per_trade * equity


def test_exits_never_meet_the_layer() -> None:
    """OPT-14, I-15: what is held can always be left."""

    def never(*_: Any) -> None:
        raise AssertionError("an exit was shown to the layer")

    ask(leave(), layer(tell=never))


@pytest.mark.parametrize("method", ["assess", "size_multiplier", "record_outcome", "refresh"])
def test_a_layer_that_fails_trades_the_base_size(method: str) -> None:
    """OPT-76, D-03: every method; m = 1, unfiltered, one incident, and nobody is readmitted."""

    def broken(*_: Any) -> Any:
        raise RuntimeError("broken today")

    incidents = Incidents()
    read, tell = (lambda version: None), (lambda kind, fields: None)
    policy = AdaptivePolicy(
        SETTINGS,
        base_weights={STRATEGY: 1.0},
        favourable=FAVOURABLE,
        read=broken if method == "refresh" else read,
        tell=_failing_at(method) if method != "refresh" else tell,
    )
    safe = FailSafePolicy(policy, fail_safe(incidents))
    safe.refresh(0)
    safe.record_outcome(trade(1, 1.0, START_MS))
    strong = entry(confidence=0.9)
    answer = ask(strong, safe, seen={"consensus": consensus(confluence_up=3)})
    assert incidents.places == [f"policy.{method}"]
    assert answer.sizing.quantity_base > 0
    if method in ("assess", "size_multiplier"):
        assert answer.sizing.quantity_base == size(strong)
        assert answer.sizing.multiplier_applied == 1.0
    suspended = ask(strong, safe, gatekeeper=Gate(status=StrategyStatus.SUSPENDED))
    assert denial_of(suspended) == "STRATEGY_SUSPENDED"


def _failing_at(method: str) -> Any:
    kinds = {
        "assess": ActionKind.SCORING,
        "size_multiplier": ActionKind.SIZING,
        "record_outcome": ActionKind.RECORDING,
    }

    def tell(kind: ActionKind, fields: Mapping[str, JsonValue]) -> None:
        if kind is kinds[method]:
            raise RuntimeError("broken today")

    return tell


@pytest.mark.parametrize("confidence", [nan, -0.1, 1.5])
def test_a_confidence_that_is_none_is_a_failure_not_a_score(confidence: float) -> None:
    """D-03: told as an incident; the signal is left unfiltered at m = 1."""
    incidents = Incidents()
    safe = FailSafePolicy(layer(), fail_safe(incidents))
    found: Assessment = safe.assess(entry(confidence=confidence), TREND, 2)
    assert (found.accepted, found.quality, found.reason_code) == (True, None, "UNFILTERED")
    assert safe.size_multiplier(entry(confidence=confidence), found, TREND) == 1.0
    assert incidents.places == ["policy.assess"]
