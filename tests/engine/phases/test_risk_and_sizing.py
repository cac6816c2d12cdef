"""Phase 7: ORC-13, OPT-14, OPT-15, OPT-17, OPT-18, OPT-22, OPT-73, D-01, D-02, D-03, D-15, D-20."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.failsafe import Failure
from engine.limits import RiskLimits
from engine.phases.config import PipelineConfig, Readiness
from engine.phases.risk_and_sizing import (
    RISK_FACTORS,
    Answer,
    Question,
    applied_multiplier,
    assess_risk_and_size,
)
from engine.ports import StrategyStatus, TradingState
from engine.types.bars import Snapshot
from engine.types.opinions import LEVELS, Level, Missing, Proposal, Side
from engine.types.orders import OrderIntent, OrderType, Purpose
from tests.engine.phases import scene

D = Decimal
CONFIG = PipelineConfig()
OF = scene.snapshot()


@dataclass
class Judged:
    answer: Answer
    policy: scene.Policy
    reported: list[Failure]

    @property
    def code(self) -> str:
        denied = self.answer.sizing.denied
        return "" if denied is None else denied.code

    @property
    def quantity(self) -> Decimal:
        return self.answer.sizing.quantity_base


def judge(
    proposal: Proposal | None = None,
    *,
    of: Snapshot = OF,
    policy: scene.Policy | None = None,
    config: PipelineConfig = CONFIG,
    analysis: dict[str, Any] | None = None,
    **given: Any,
) -> Judged:
    """Judge one entry under a context in which all is well, but for what is given."""
    asked = policy or scene.Policy()
    reported: list[Failure] = []
    question = Question(
        proposal or scene.entry(of),
        of,
        scene.analysis(of, **(analysis or {})),
        scene.context(**given),
        config,
        reported.append,
    )
    return Judged(assess_risk_and_size(question, asked), asked, reported)


def pending(purpose: Purpose = Purpose.ENTRY, strategy: str = "rule-a") -> OrderIntent:
    return OrderIntent(
        client_order_id="earlier",
        strategy=strategy,
        symbol=scene.BTC,
        side=Side.BUY,
        purpose=purpose,
        order_type=OrderType.MARKET,
        quantity_base=D("1"),
        limit_price=None,
        stop_price=None,
        target_price=None,
        reference_price=D("100"),
        decided_at_ms=0,
        regime="",
    )


# -- sizes ---------------------------------------------------------------------------------------


def test_three_multipliers_give_three_sizes_under_the_shipped_limits() -> None:
    """D-20, D-01, OPT-86: the base leaves headroom both ways."""
    sizes = [judge(policy=scene.Policy(multiplier=m)).quantity for m in (0.5, 1.0, 2.0)]
    assert sizes[0] < sizes[1] < sizes[2]
    assert float(sizes[2] / sizes[1]) == pytest.approx(2.0, rel=1e-3)


def test_a_multiplier_of_one_is_the_base_size_to_the_last_lot() -> None:
    """OPT-22"""
    judged = judge(policy=scene.Policy(multiplier=1.0))
    sizing = judged.answer.sizing
    assert judged.quantity == OF.instrument.quantity(sizing.base_quantity)
    assert sizing.multiplier_applied == 1.0


def test_the_base_is_half_the_cap_where_the_stop_is_near() -> None:
    """D-20: 10 % of 10,000 is the cap, half of it the base."""
    sizing = judge().answer.sizing
    assert sizing.base_quantity == pytest.approx(500.0 / float(OF.instrument.price(OF.close)))


def test_the_base_risks_one_per_cent_of_equity_where_the_stop_is_far() -> None:
    """ORC-13, D-01: size from equity, price and stop."""
    far = scene.entry(OF, stop_price=OF.close * 0.5)
    limits = RiskLimits(max_position_size=D("1"), max_strategy_exposure=D("1"))
    sizing = judge(far, limits=limits).answer.sizing
    price, stop = OF.instrument.price(OF.close), judge(far).answer.stop_price
    assert stop is not None
    assert sizing.base_quantity == pytest.approx(100.0 / float(price - stop))
    assert sizing.stop_risk_quote == pytest.approx(D("100"), rel=D("0.001"))


def test_fees_of_the_round_trip_count_as_risk() -> None:
    """ORC-13: a stop that is hit costs its distance and the fees."""
    far = scene.entry(OF, stop_price=OF.close * 0.5)
    dear = replace(OF, instrument=scene.instrument(taker_fee_fraction=D("0.001")))
    limits = RiskLimits(max_position_size=D("1"), max_strategy_exposure=D("1"))
    assert judge(far, of=dear, limits=limits).quantity < judge(far, limits=limits).quantity


def test_a_riskier_market_never_gives_a_larger_size() -> None:
    """ORC-13: extreme counts at least as much as high."""
    sizes = [judge(analysis={"market": scene.market_view(risk=level)}).quantity for level in LEVELS]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[LEVELS.index(Level.EXTREME)] < sizes[LEVELS.index(Level.HIGH)] < sizes[0]
    assert set(RISK_FACTORS) == set(Level)


def test_an_unreliable_verdict_halves_the_size_and_leaves_its_trace() -> None:
    """ORC-11: validation visibly changes the decision."""
    well = judge(analysis={"validation": scene.validation("reliable")})
    bad = judge(analysis={"validation": scene.validation("unreliable")})
    assert float(bad.quantity / well.quantity) == pytest.approx(0.5, rel=1e-3)
    codes = [step.code for step in bad.answer.sizing.steps]
    assert codes.index("VALIDATION") < codes.index("MULTIPLIER")
    assert "VALIDATION" not in [step.code for step in well.answer.sizing.steps]


def test_an_unreliable_verdict_blocks_where_the_configuration_says_so() -> None:
    """ORC-11"""
    config = PipelineConfig(unreliable_size_factor=0.0)
    assert judge(analysis={"validation": scene.validation("unreliable")}, config=config).code == (
        "UNRELIABLE"
    )


def test_the_hard_limits_come_after_the_multiplier() -> None:
    """D-01, OPT-17, OPT-23: order of the trace, and the size the caps allow."""
    judged = judge(policy=scene.Policy(multiplier=2.0), limits=RiskLimits(max_order_quote=D("50")))
    codes = [step.code for step in judged.answer.sizing.steps]
    assert codes[0] == "BASE"
    assert codes.index("BASE") < codes.index("MULTIPLIER") < codes.index("MAX_ORDER_QUOTE")
    assert codes[-1] == "LOT_SIZE"
    assert judged.answer.sizing.notional_quote <= D("50")
    assert judged.policy.calls == ["assess", "size_multiplier"]


@given(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([StrategyStatus.ACTIVE, StrategyStatus.DEGRADED]),
)
def test_the_applied_multiplier_stays_between_a_tenth_and_two(
    raw: float, status: StrategyStatus
) -> None:
    """OPT-18, D-02"""
    applied, unfit = applied_multiplier(raw, status, CONFIG)
    assert 0.1 <= applied <= 2.0
    assert (unfit is None) == math.isfinite(raw)


@pytest.mark.parametrize(
    ("raw", "status", "expected"),
    [
        (99.0, StrategyStatus.ACTIVE, 2.0),
        (0.0, StrategyStatus.ACTIVE, 0.1),
        (2.0, StrategyStatus.DEGRADED, 1.0),
        (1.0, StrategyStatus.DEGRADED, 0.5),
        (0.1, StrategyStatus.DEGRADED, 0.1),
        (math.nan, StrategyStatus.ACTIVE, 1.0),
        (math.inf, StrategyStatus.ACTIVE, 1.0),
    ],
)
def test_both_ends_are_reached_and_degraded_halves_above_the_floor(
    raw: float, status: StrategyStatus, expected: float
) -> None:
    """OPT-18, D-15, D-03: infinity is no large multiplier, it is none."""
    assert applied_multiplier(raw, status, CONFIG)[0] == expected


def test_a_degraded_strategy_trades_half_the_size() -> None:
    """D-15"""
    whole, half = judge(), judge(gate=scene.Gate(status=StrategyStatus.DEGRADED))
    assert float(half.quantity / whole.quantity) == pytest.approx(0.5, rel=1e-3)


def test_a_multiplier_that_is_no_number_is_noted_and_trades_the_base_size() -> None:
    """OPT-76, D-03"""
    judged = judge(policy=scene.Policy(multiplier=math.nan))
    assert judged.quantity == judge().quantity
    assert [note.code for note in judged.answer.notes if note.code.startswith("MULT")] == [
        "MULTIPLIER_NOT_FINITE"
    ]


def test_the_stop_is_rounded_towards_the_entry_so_risk_is_never_larger_than_sized() -> None:
    long = judge(scene.entry(OF, stop_price=OF.close * 0.98 + 0.0001)).answer.stop_price
    assert long is not None
    assert float(long) >= OF.close * 0.98
    assert long % OF.instrument.tick_size == 0


# -- gates: each alone stops an entry, whatever the layer thinks of it ----------------------------


def gated(expected: str, **given: Any) -> tuple[str, Callable[[scene.Policy], Judged]]:
    return expected, lambda policy: judge(policy=policy, **given)


def stale() -> Snapshot:
    late = replace(OF.event, now_ms=OF.event.ts_ms + 10 * scene.MINUTE_MS)
    return replace(OF, event=late)


NO_FEATURES = {"features": Missing("failed")}
GATES = [
    gated("REDUCING", gate=scene.Gate(state=TradingState.REDUCING)),
    gated("HALTED", gate=scene.Gate(state=TradingState.HALTED)),
    gated("STATE_UNKNOWN", gate=scene.Gate(fails=True)),
    gated("STRATEGY_SUSPENDED", gate=scene.Gate(status=StrategyStatus.SUSPENDED)),
    gated("STRATEGY_RETIRED", gate=scene.Gate(status=StrategyStatus.RETIRED)),
    gated("STALE_BAR", of=stale()),
    gated("DUPLICATE", pending=(pending(),)),
    gated("NO_SHORTS", proposal=scene.entry(OF, Side.SELL)),
    gated("ALREADY_IN_POSITION", positions={"rule-a": scene.position()}),
    gated("NOT_READY", analysis=NO_FEATURES),
    gated("FORMING", analysis={"market": scene.market_view(dwell_bars=1)}),
    gated("LIQUIDITY_WAIT", analysis={"order_flow": scene.order_flow(advice="wait")}),
    gated("VOTED_DOWN", analysis={"consensus": scene.consensus(0.40)}),
    gated("NO_STOP", proposal=scene.entry(OF, stop_price=None)),
    gated("INVALID_STOP", proposal=scene.entry(OF, stop_price=OF.close * 1.01)),
    gated("INVALID_STOP", proposal=scene.entry(OF, stop_price=math.nan)),
    gated("MAX_DRAWDOWN", risk={"peak_equity_quote": D(20_000)}),
    gated("MAX_SYMBOL", risk={"exposure_by_symbol": {scene.BTC: D(1_000)}}),
    gated("DAY_LOSS", risk={"day_pnl_quote": D(-1_000)}),
]


@pytest.mark.parametrize(("expected", "tripped"), GATES, ids=[name for name, _ in GATES])
def test_a_tripped_gate_gives_no_order_at_full_quality_and_multiplier(
    expected: str, tripped: Callable[[scene.Policy], Judged]
) -> None:
    """OPT-15, OPT-73, D-02, D-03, ORC-58: the layer weakens no control."""
    judged = tripped(scene.Policy(multiplier=2.0, accepted=True, quality=1.0))
    assert judged.code == expected
    assert judged.quantity == 0
    denied = judged.answer.sizing.denied
    assert denied is not None
    assert denied.text


def test_with_no_gate_tripped_there_is_an_order() -> None:
    """The gates above are what stopped it."""
    assert judge().code == ""
    assert judge().quantity > 0


def test_a_target_that_does_not_pay_its_fees_is_denied() -> None:
    dear = replace(OF, instrument=scene.instrument(taker_fee_fraction=D("0.05")))
    assert judge(of=dear).code == "COSTS"


def test_a_gatekeeper_that_cannot_be_read_is_reported() -> None:
    """D-03"""
    judged = judge(gate=scene.Gate(fails=True))
    assert [failure.where for failure in judged.reported] == ["gatekeeper.trading_state"]


def test_gates_of_the_account_come_before_the_layer_is_asked() -> None:
    """D-02, OPT-17: a suspended strategy is not scored."""
    assert judge(gate=scene.Gate(status=StrategyStatus.SUSPENDED)).policy.calls == []


def test_a_proposal_the_filter_refuses_is_not_sized() -> None:
    """OPT-11, OPT-17"""
    judged = judge(policy=scene.Policy(accepted=False, quality=0.31))
    assert judged.code == "QUALITY"
    assert judged.policy.calls == ["assess"]
    assert judged.answer.policy is not None
    assert judged.answer.policy["quality"] == 0.31


def test_readiness_can_be_turned_off_by_configuration_and_not_by_the_layer() -> None:
    """D-14"""
    off = PipelineConfig(required_readiness=Readiness.NOT_READY)
    assert judge(analysis={"market": scene.market_view(dwell_bars=0)}, config=off).code == ""


def test_a_short_is_sized_where_it_can_be_sold() -> None:
    """ORC-64"""
    of = replace(OF, instrument=scene.instrument(shortable=True))
    judged = judge(scene.entry(of, Side.SELL), of=of, analysis={"consensus": scene.consensus(0.4)})
    assert judged.quantity > 0


def test_without_a_book_the_order_says_so_and_claims_nothing() -> None:
    """D-22"""
    assert [n.code for n in judge().answer.notes] == ["BOOK_NOT_APPLICABLE"]
    advised = judge(analysis={"order_flow": scene.order_flow(advice="split", impact_bps=20.0)})
    assert [n.code for n in advised.answer.notes] == ["ADVICE_SPLIT"]


# -- exits ---------------------------------------------------------------------------------------


def close(**given: Any) -> Judged:
    given.setdefault("positions", {"rule-a": scene.position("0.5")})
    return judge(scene.leave(OF), **given)


@pytest.mark.parametrize(
    "given",
    [
        {"gate": scene.Gate(state=TradingState.REDUCING)},
        {"gate": scene.Gate(fails=True)},
        {"gate": scene.Gate(status=StrategyStatus.SUSPENDED)},
        {"gate": scene.Gate(status=StrategyStatus.RETIRED)},
        {"analysis": {"market": Missing("none"), "features": Missing("none")}},
        {"analysis": {"consensus": scene.consensus(0.9)}},
        {"of": stale()},
        {"policy": scene.Policy(accepted=False)},
        {"pending": (pending(Purpose.ENTRY),)},
        {"risk": {"day_pnl_quote": D(-1_000), "positions_base": {("rule-a", scene.BTC): D("0.5")}}},
        {"limits": RiskLimits(max_order_quote=D("1"))},
    ],
)
def test_an_exit_passes_every_gate_and_cap_of_entries_by(given: dict[str, Any]) -> None:
    """D-02, D-03: getting out is never denied by what stops getting in."""
    judged = close(**given)
    assert judged.code == ""
    assert judged.quantity == D("0.5")
    assert judged.policy.calls == []


def test_an_exit_closes_exactly_what_is_held_on_the_lot_grid() -> None:
    """I-10: dust below a lot stays."""
    assert close(positions={"rule-a": scene.position("0.12345678")}).quantity == D("0.1234")


def test_halted_stops_an_exit_too() -> None:
    """D-28"""
    assert close(gate=scene.Gate(state=TradingState.HALTED)).code == "HALTED"


def test_a_second_exit_waits_for_the_first() -> None:
    """CTL-8"""
    assert close(pending=(pending(Purpose.EXIT),)).code == "DUPLICATE"
    assert close(pending=(pending(Purpose.EXIT, "other"),)).code == ""


def test_there_is_nothing_to_close_without_a_position() -> None:
    assert close(positions={}).code == "NO_POSITION"


def test_a_position_no_venue_would_take_is_held_with_the_reason() -> None:
    assert close(positions={"rule-a": scene.position("0.0200")}).code == "MIN_NOTIONAL"


# -- the filter only ever takes away --------------------------------------------------------------


@given(
    st.floats(0.0, 5.0),
    st.booleans(),
    st.sampled_from([None, 0.0, 0.5, 1.0]),
    st.sampled_from(list(StrategyStatus)),
    st.sampled_from(list(TradingState)),
)
def test_the_layer_never_flips_a_side_or_lifts_a_cap(
    multiplier: float,
    accepted: bool,
    quality: float | None,
    status: StrategyStatus,
    state: TradingState,
) -> None:
    """OPT-14, OPT-15, OPT-23, I-10, D-29: fuzz over the policy's answers and the gate's."""
    policy = scene.Policy(multiplier=multiplier, accepted=accepted, quality=quality)
    judged = judge(policy=policy, gate=scene.Gate(state=state, status=status))
    sizing = judged.answer.sizing
    allowed = accepted and status.may_enter and state is TradingState.ACTIVE
    assert (judged.quantity > 0) == allowed
    assert sizing.notional_quote <= D(1_000)
    assert sizing.stop_risk_quote <= D(200)
    if allowed:
        assert judged.answer.stop_price is not None
        assert judged.answer.stop_price < OF.instrument.price(OF.close)
