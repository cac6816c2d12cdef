"""Phase 7: gates first, then the base size, the multiplier on top, the hard limits last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.failsafe import FailSafePolicy, Failure
from engine.limits import RiskLimits
from engine.phases.config import PipelineConfig, Readiness
from engine.phases.risk_and_sizing import (
    RISK_FACTORS,
    Answer,
    Question,
    applied_multiplier,
    assess_risk_and_size,
)
from engine.policy import BasePolicy
from engine.ports import Assessment, OptimizationPolicy, StrategyStatus, TradingState
from engine.types.ledger import Trade
from engine.types.opinions import (
    LEVELS,
    Level,
    MarketView,
    Missing,
    Proposal,
    Regime,
    Side,
)
from engine.types.orders import Purpose
from tests.engine.books import BTC, D, intent
from tests.engine.phases.scene import (
    CONFIG,
    STRATEGY,
    UNRELIABLE,
    WEAK,
    Gate,
    Held,
    Incidents,
    analysis,
    context,
    entry,
    fail_safe,
    features,
    holding,
    leave,
    market,
    order_flow,
    risk,
    snapshot,
)

PRICE = snapshot().instrument.price(snapshot().close)


class Layer(BasePolicy):
    """An optimization layer that says what it is told to."""

    def __init__(
        self,
        multiplier: Callable[[], Any] = lambda: 1.0,
        assessment: Callable[[], Any] | None = None,
    ) -> None:
        super().__init__()
        self._multiplier = multiplier
        self._assessment = assessment

    def assess(
        self, proposal: Proposal, market: MarketView | Missing, confluence: int
    ) -> Assessment:
        if self._assessment is None:
            return super().assess(proposal, market, confluence)
        answer: Assessment = self._assessment()
        return answer

    def size_multiplier(
        self, proposal: Proposal, assessment: Assessment, market: MarketView | Missing
    ) -> float:
        answer: float = self._multiplier()
        return answer

    def record_outcome(self, trade: Trade) -> None:
        raise RuntimeError("no outcome today")

    def refresh(self, now_ms: int) -> None:
        raise RuntimeError("no refresh today")

    def weights(self, regime: Regime) -> dict[str, float]:
        raise RuntimeError("no weights today")


def times(multiplier: float) -> Layer:
    return Layer(lambda: multiplier)


def ask(
    proposal: Proposal | None = None,
    policy: OptimizationPolicy | None = None,
    *,
    config: PipelineConfig = CONFIG,
    failures: list[Failure] | None = None,
    late_ms: int = 0,
    shortable: bool = False,
    seen: dict[str, Any] | None = None,
    **account: Any,
) -> Answer:
    """Judge a proposal; ``seen`` are changes to the analysis, the rest changes to the account."""
    at = snapshot(late_ms=late_ms, shortable=shortable)
    report = [].append if failures is None else failures.append
    question = Question(
        proposal or entry(), at, analysis(at, **(seen or {})), context(**account), config, report
    )
    return assess_risk_and_size(question, policy or BasePolicy())


def size(*given: Any, **changes: Any) -> Decimal:
    return ask(*given, **changes).sizing.quantity_base


def denial_of(answer: Answer) -> str:
    assert answer.sizing.quantity_base == 0
    assert answer.sizing.denied is not None
    return answer.sizing.denied.code


# -- size ------------------------------------------------------------------------------------------


def test_size_is_the_smaller_of_the_risk_based_one_and_half_the_cap() -> None:
    """ORC-13, D-20: by hand, with the stop 1 % away and then 20 % away."""
    near = ask().sizing
    assert near.base_quantity == pytest.approx(0.5 * 1_000.0 / float(PRICE))
    close = float(PRICE)
    far = ask(entry(stop_price=close * 0.8)).sizing
    assert far.base_quantity == pytest.approx(100.0 / (close * 0.2), rel=1e-3)


def test_size_grows_with_equity_and_falls_with_price_and_stop_distance() -> None:
    """ORC-13"""
    close = snapshot().close
    assert size(risk=risk("20000")) > size() > size(risk=risk("5000"))
    assert size(entry(stop_price=close * 0.6)) < size(entry(stop_price=close * 0.8))
    cheaper = entry(price=close / 2, stop_price=close / 2 * 0.99)
    assert size(cheaper) > size()


def test_size_is_on_the_lot_grid_and_reported_figures_are_those_of_the_final_size() -> None:
    """ORC-13, OPT-23"""
    answer = ask()
    sizing, quantity = answer.sizing, answer.sizing.quantity_base
    assert quantity > 0 and quantity % D("0.0001") == 0
    assert answer.stop_price is not None
    assert sizing.notional_quote == quantity * PRICE
    assert sizing.stop_risk_quote == quantity * (PRICE - answer.stop_price)


def test_a_riskier_market_never_gets_a_larger_size() -> None:
    """ORC-13: extreme is at least as strict as high in effect, and every level is heard."""
    sizes = [size(seen={"market": market(risk=level)}) for level in LEVELS]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[LEVELS.index(Level.EXTREME)] < sizes[LEVELS.index(Level.HIGH)] < sizes[0]
    assert RISK_FACTORS.keys() == set(LEVELS)


def test_half_one_and_two_give_three_sizes_under_the_shipped_limits() -> None:
    """D-01, D-20: there is headroom both ways."""
    half, one, two = (size(policy=times(m)) for m in (0.5, 1.0, 2.0))
    assert half < one < two
    assert float(half / one) == pytest.approx(0.5, rel=1e-2)
    assert float(two / one) == pytest.approx(2.0, rel=1e-2)


def test_caps_run_last_whatever_the_multiplier() -> None:
    """D-01, ORC-13, OPT-23: the trace ends with the caps, the multiplier comes before them."""
    answer = ask(policy=times(2.0), risk=risk(exposure_by_symbol={BTC: D("900")}))
    codes = [step.code for step in answer.sizing.steps]
    assert codes.index("BASE") < codes.index("MULTIPLIER") < codes.index("MAX_ORDER")
    assert codes.index("MULTIPLIER") < codes.index("MAX_SYMBOL")
    assert answer.sizing.notional_quote <= 100
    assert answer.sizing.multiplier_applied == 2.0


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(-2.0, 20.0)),
    st.decimals("100", "1000000", places=2),
    st.floats(0.0001, 0.9),
)
def test_no_multiplier_lifts_a_hard_limit(m: float, equity: Decimal, stop: float) -> None:
    """D-01, OPT-18, OPT-23, OPT-15: order, symbol and stop risk, at any equity and stop."""
    limits = RiskLimits()
    policy = FailSafePolicy(times(m), fail_safe())
    close = snapshot().close
    answer = ask(entry(stop_price=close * (1.0 - stop)), policy, risk=risk(str(equity)))
    assert answer.sizing.notional_quote <= limits.max_position_size * equity
    assert answer.sizing.stop_risk_quote <= limits.max_risk_per_trade * equity
    assert 0.1 <= answer.sizing.multiplier_applied <= 2.0


def test_with_a_multiplier_of_one_the_size_is_the_sizers_to_the_last_digit() -> None:
    """OPT-22: the layer works on top and hands nothing else to the sizer."""
    seen: list[Proposal] = []

    class Watching(Layer):
        def size_multiplier(
            self, proposal: Proposal, assessment: Assessment, market: MarketView | Missing
        ) -> float:
            seen.append(proposal)
            return 1.0

    proposal = entry()
    off, on = ask(proposal), ask(proposal, Watching())
    assert on.sizing.quantity_base == off.sizing.quantity_base
    assert on.sizing.steps == off.sizing.steps
    assert seen == [proposal]


@settings(max_examples=100, deadline=None)
@given(st.floats(0.0, 10.0), st.sampled_from([StrategyStatus.ACTIVE, StrategyStatus.DEGRADED]))
def test_the_multiplier_stays_in_its_range(raw: float, status: StrategyStatus) -> None:
    """OPT-18, D-02: for whoever may trade at all."""
    applied, _ = applied_multiplier(raw, status, CONFIG)
    assert 0.1 <= applied <= 2.0


def test_both_ends_of_the_multiplier_are_reached() -> None:
    """OPT-18"""
    applied = [ask(policy=times(m)).sizing.multiplier_applied for m in (0.0, 0.1, 2.0, 9.0)]
    assert applied == [0.1, 0.1, 2.0, 2.0]


def test_degraded_halves_above_the_floor_and_shows_it() -> None:
    """D-15, D-02: inside the multiplier, visible in the trace."""
    degraded = Gate(status=StrategyStatus.DEGRADED)
    sizing = ask(policy=times(1.0), gatekeeper=degraded).sizing
    assert (sizing.multiplier_raw, sizing.multiplier_applied) == (1.0, 0.5)
    step = next(step for step in sizing.steps if step.code == "MULTIPLIER")
    assert "status DEGRADED" in step.text
    assert step.after_base == pytest.approx(step.before_base * 0.5)
    floor = ask(policy=times(0.1), gatekeeper=degraded).sizing
    assert floor.multiplier_applied == 0.1


@pytest.mark.parametrize(("verdict", "factor"), [(UNRELIABLE, 0.5), (WEAK, 1.0), (None, 0.5)])
def test_unreliable_opinions_reduce_the_size(verdict: Any, factor: float) -> None:
    """ORC-11, ORC-58: also where opinions were not validated at all."""
    reduced = ask(seen={"validation": verdict}).sizing.base_quantity
    assert reduced == pytest.approx(ask().sizing.base_quantity * factor)


def test_opinions_can_be_configured_to_block() -> None:
    """ORC-11: HOLD instead of a smaller size."""
    config = replace(CONFIG, unreliable_size_factor=0.0)
    assert denial_of(ask(config=config, seen={"validation": UNRELIABLE})) == "UNRELIABLE"


# -- gates -----------------------------------------------------------------------------------------

GATES: dict[str, tuple[str, dict[str, Any]]] = {
    "reducing": ("REDUCING", {"gatekeeper": Gate(state=TradingState.REDUCING)}),
    "halted": ("HALTED", {"gatekeeper": Gate(state=TradingState.HALTED)}),
    "state unknown": ("STATE_UNKNOWN", {"gatekeeper": Gate(broken=True)}),
    "suspended": ("STRATEGY_SUSPENDED", {"gatekeeper": Gate(status=StrategyStatus.SUSPENDED)}),
    "retired": ("STRATEGY_RETIRED", {"gatekeeper": Gate(status=StrategyStatus.RETIRED)}),
    "stale": ("STALE_BAR", {"late_ms": 130_001}),
    "duplicate": ("DUPLICATE", {"pending": (intent(strategy=STRATEGY),)}),
    "in position": ("ALREADY_IN_POSITION", holding()),
    "short": ("NO_SHORTS", {"proposal": entry(side=Side.SELL)}),
    "regime just changed": ("NOT_READY", {"seen": {"market": market(dwell_bars=0)}}),
    "regime is young": ("FORMING", {"seen": {"market": market(dwell_bars=1)}}),
    "no market": ("NOT_READY", {"seen": {"market": Missing("not warm")}}),
    "features not warm": ("NOT_READY", {"seen": {"features": features(ready=False)}}),
    "thin book": ("LIQUIDITY_WAIT", {"seen": {"order_flow": order_flow(advice="wait")}}),
    "no stop": ("NO_STOP", {"proposal": entry(stop_price=None)}),
    "stop above": ("INVALID_STOP", {"proposal": entry(stop_price=snapshot().close * 1.01)}),
    "stop at the price": ("INVALID_STOP", {"proposal": entry(stop_price=snapshot().close)}),
    "stop not a number": ("INVALID_STOP", {"proposal": entry(stop_price=nan)}),
    "drawdown": ("MAX_DRAWDOWN", {"risk": risk(peak_equity_quote=D("12500"))}),
    "day loss": ("DAY_LOSS", {"risk": risk(day_pnl_quote=D("-310"))}),
    "streak": ("LOSS_STREAK", {"risk": risk(consecutive_losses=5)}),
    "strategy exposure": (
        "MAX_STRATEGY", {"risk": risk(exposure_by_strategy={STRATEGY: D("2000")})}
    ),
    "gross exposure": ("MAX_GROSS", {"risk": risk(gross_exposure_quote=D("6000"))}),
    "open orders": ("OPEN_ORDERS", {"risk": risk(open_orders=10)}),
}  # fmt: skip


@pytest.mark.parametrize("name", GATES)
def test_a_tripped_gate_stops_the_best_of_signals(name: str) -> None:
    """OPT-15, D-02, D-14, CTL-8, OPT-73: quality 1 and the largest multiplier change nothing."""
    code, changes = GATES[name]
    best = Layer(lambda: 2.0, lambda: Assessment(True, 1.0, "BEST", "nothing is better"))
    assert denial_of(ask(policy=best, **changes)) == code
    assert ask(policy=best).sizing.quantity_base > 0


def test_the_policy_is_not_even_asked_behind_a_closed_gate() -> None:
    """D-02: a suspended strategy is blocked before sizing, it is not 0.1x."""

    def never() -> Any:
        raise AssertionError("asked")

    gate = Gate(status=StrategyStatus.SUSPENDED)
    answer = ask(policy=Layer(never, never), gatekeeper=gate)
    assert denial_of(answer) == "STRATEGY_SUSPENDED"
    assert answer.sizing.steps == ()


def test_the_reason_of_a_closed_state_is_told() -> None:
    """ORC-59"""
    gate = Gate(state=TradingState.REDUCING, reason="day loss 0.031")
    denied = ask(gatekeeper=gate).sizing.denied
    assert denied is not None
    assert denied.text.endswith("because day loss 0.031")


def test_a_state_that_cannot_be_read_blocks_entries_and_is_reported() -> None:
    """D-03: a risk check that cannot be evaluated blocks."""
    failures: list[Failure] = []
    assert denial_of(ask(gatekeeper=Gate(broken=True), failures=failures)) == "STATE_UNKNOWN"
    assert [failure.where for failure in failures] == ["gatekeeper.trading_state"]


def test_readiness_is_on_by_default_and_only_configuration_turns_it_off() -> None:
    """D-14, OPT-73"""
    assert PipelineConfig().required_readiness is Readiness.READY
    unready = {"market": market(dwell_bars=0)}
    relaxed = replace(CONFIG, required_readiness=Readiness.NOT_READY)
    assert size(config=relaxed, seen=unready) > 0
    forming = replace(CONFIG, required_readiness=Readiness.FORMING)
    assert denial_of(ask(config=forming, seen=unready)) == "NOT_READY"
    assert size(config=forming, seen={"market": market(dwell_bars=1)}) > 0


def test_a_bar_is_fresh_up_to_its_limit() -> None:
    """I-15: two bars and ten seconds."""
    assert size(late_ms=130_000) > 0


def test_without_a_book_it_is_said_and_nothing_is_claimed() -> None:
    """D-22, ORC-58"""
    answer = ask(seen={"order_flow": Missing("no book")})
    assert answer.sizing.quantity_base > 0
    assert [(n.code, n.text) for n in answer.notes] == [
        ("BOOK_NOT_APPLICABLE", "book not judged: no book")
    ]


def test_advice_of_the_book_is_noted_with_its_numbers() -> None:
    """ORC-86"""
    flow = order_flow(advice="split", impact_bps=12.0)
    (note,) = ask(seen={"order_flow": flow}).notes
    assert (note.code, note.value, note.limit) == ("ADVICE_SPLIT", 12.0, 1.0)


# -- the layer -------------------------------------------------------------------------------------


def raising() -> Any:
    raise RuntimeError("layer is broken")


ABSURD: list[Callable[[], Any]] = [
    raising,
    lambda: nan,
    lambda: inf,
    lambda: -inf,
    lambda: -1,
    lambda: 1e9,
    lambda: "0.9",
    lambda: None,
]


@pytest.mark.parametrize("answer", ABSURD)
def test_an_absurd_multiplier_is_the_base_size_and_an_incident(
    answer: Callable[[], Any],
) -> None:
    """OPT-76, F-075, D-03: rejected before it is clamped; m = 1, never 2 and never 0.1."""
    incidents = Incidents()
    policy = FailSafePolicy(Layer(answer), fail_safe(incidents))
    sizing = ask(policy=policy).sizing
    assert sizing.quantity_base == size() > 0
    assert (sizing.multiplier_raw, sizing.multiplier_applied) == (1.0, 1.0)
    assert incidents.places == ["policy.size_multiplier"]


@pytest.mark.parametrize(
    "answer",
    [
        raising,
        lambda: None,
        lambda: Assessment(True, nan, "Q", "quality nan"),
        lambda: Assessment(False, 1.5, "Q", "quality 1.5"),
        lambda: Assessment(True, -1.0, "Q", "quality -1"),
        lambda: Assessment(False, inf, "Q", "quality inf"),
    ],
)
def test_a_scorer_that_fails_leaves_signals_unfiltered(answer: Callable[[], Any]) -> None:
    """OPT-76, F-076, D-03: base behaviour at m = 1, counted and told."""
    incidents = Incidents()
    safe = fail_safe(incidents)
    result = ask(policy=FailSafePolicy(Layer(assessment=answer), safe))
    assert result.sizing.quantity_base == size() > 0
    assert result.policy is not None and result.policy["reason_code"] == "UNFILTERED"
    assert incidents.places == ["policy.assess"]
    assert safe.fallbacks == {"policy.assess": 1}
    assert safe.degraded == ("policy.assess",)


@pytest.mark.parametrize("answer", ABSURD)
@pytest.mark.parametrize("status", [StrategyStatus.SUSPENDED, StrategyStatus.RETIRED])
def test_a_failing_layer_readmits_nobody(answer: Callable[[], Any], status: StrategyStatus) -> None:
    """OPT-76, D-03: status is the gate's, not the layer's."""
    policy = FailSafePolicy(Layer(answer, answer), fail_safe())
    assert denial_of(ask(policy=policy, gatekeeper=Gate(status=status))).startswith("STRATEGY_")


def test_a_bare_policy_that_answers_no_number_is_one_and_noted() -> None:
    """D-03: a second line behind the fail-safe."""
    answer = ask(policy=times(nan))
    assert answer.sizing.quantity_base == size()
    assert answer.notes[0].code == "MULTIPLIER_NOT_FINITE"


@settings(max_examples=100, deadline=None)
@given(st.booleans(), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_filter_can_only_reduce_or_block(accepted: bool, quality: float, m: float) -> None:
    """OPT-14: side and prices are the proposal's; never larger than without it."""
    layer = Layer(lambda: m, lambda: Assessment(accepted, quality, "QUALITY", "scored"))
    answer, without = ask(policy=layer), ask()
    assert answer.sizing.quantity_base <= without.sizing.quantity_base
    assert (answer.sizing.quantity_base > 0) <= accepted
    if accepted:
        assert (answer.stop_price, answer.target_price) == (
            without.stop_price,
            without.target_price,
        )
        assert answer.sizing.quality == quality


def test_a_refused_signal_keeps_its_quality_and_the_policys_words() -> None:
    """OPT-14, ORC-59"""
    layer = Layer(assessment=lambda: Assessment(False, 0.4, "LOW_QUALITY", "quality was 0.4"))
    answer = ask(policy=layer)
    assert denial_of(answer) == "LOW_QUALITY"
    assert answer.sizing.quality == 0.4
    assert answer.policy is not None and answer.policy["confluence"] == 2


# -- exits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"gatekeeper": Gate(state=TradingState.REDUCING)},
        {"gatekeeper": Gate(status=StrategyStatus.SUSPENDED)},
        {"gatekeeper": Gate(broken=True)},
        {"late_ms": 10_000_000},
        {"seen": {"market": Missing("not warm"), "features": Missing("x")}},
        {"seen": {"order_flow": order_flow(advice="wait")}},
        {"seen": {"validation": None, "consensus": None}},
        {"pending": (intent(strategy=STRATEGY),)},
    ],
    ids=["reducing", "suspended", "state unknown", "stale", "blind", "thin", "none", "pending"],
)
def test_what_blocks_an_entry_lets_an_exit_through(changes: dict[str, Any]) -> None:
    """D-02, I-15, F-082, ORC-17: the whole position, whatever the reason."""
    assert size(leave(), **{**holding("2"), **changes}) == 2


def test_an_exit_passes_the_layer_by() -> None:
    """OPT-14: no filter and no multiplier between a strategy and its way out."""
    layer = Layer(raising, raising)
    sizing = ask(leave(), layer, **holding("2")).sizing
    assert (sizing.quantity_base, sizing.multiplier_applied) == (2, 1.0)


def test_an_exit_passes_the_caps_of_entries_and_the_breakers_by() -> None:
    """CTL-5, D-27: a drawdown never locks anybody in."""
    account = holding("500")
    account["risk"] = replace(account["risk"], peak_equity_quote=D("50000"), open_orders=10)
    assert size(leave(), **account) == 500


def test_an_exit_never_exceeds_what_is_held() -> None:
    """ORC-13: the books are asked once more."""
    account = holding("2")
    account["risk"] = risk(positions_base={(STRATEGY, BTC): D("1.5")})
    assert size(leave(), **account) == D("1.5")


def test_only_halted_nothing_held_or_an_exit_on_its_way_stop_an_exit() -> None:
    """D-28, CTL-8"""
    halted = {**holding(), "gatekeeper": Gate(state=TradingState.HALTED)}
    assert denial_of(ask(leave(), **halted)) == "HALTED"
    assert denial_of(ask(leave())) == "NO_POSITION"
    assert denial_of(ask(leave(), positions={STRATEGY: Held(D(0))})) == "NO_POSITION"
    sent = intent(Side.SELL, strategy=STRATEGY, purpose=Purpose.EXIT)
    assert denial_of(ask(leave(), **{**holding(), "pending": (sent,)})) == "DUPLICATE"


def test_a_short_position_is_bought_back_whole() -> None:
    """ORC-64"""
    back = leave(side=Side.BUY)
    assert size(back, **holding("-2")) == 2
