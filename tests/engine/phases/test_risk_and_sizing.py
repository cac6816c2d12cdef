"""Phase 7: the base size, the multiplier on top, the hard limits last; exits pass by."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.failsafe import FailSafePolicy
from engine.limits import RiskLimits
from engine.phases.risk_and_sizing import (
    RISK_FACTORS,
    applied_multiplier,
)
from engine.ports import Assessment, StrategyStatus, TradingState
from engine.types.opinions import (
    LEVELS,
    ExecutionAdvice,
    Level,
    MarketView,
    Missing,
    Proposal,
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
    entry,
    fail_safe,
    holding,
    leave,
    market,
    order_flow,
    risk,
    snapshot,
)
from tests.engine.phases.sizing import PRICE, Layer, ask, denial_of, raising, size, times

# -- size ------------------------------------------------------------------------------------------


def test_size_is_the_smaller_of_the_risk_based_one_and_half_the_cap() -> None:
    """ORC-13, D-20: by hand, with the stop 1 % away and then 20 % away, 0.2 % fees on top."""
    near = ask().sizing
    assert near.base_quantity == pytest.approx(0.5 * 1_000.0 / float(PRICE))
    close = float(PRICE)
    far = ask(entry(stop_price=close * 0.8)).sizing
    assert far.base_quantity == pytest.approx(100.0 / (close * 0.202), rel=1e-3)


def test_size_grows_with_equity_and_falls_with_price_and_stop_distance() -> None:
    """ORC-13"""
    close = snapshot().close
    assert size(risk=risk("20000")) > size() > size(risk=risk("5000"))
    assert size(entry(stop_price=close * 0.6)) < size(entry(stop_price=close * 0.8))
    cheaper = entry(price=close * 0.99, stop_price=close * 0.99 * 0.99)
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


def test_an_exit_is_reported_as_it_is_with_no_multiplier_and_at_its_notional() -> None:
    """OPT-23, OPT-14: the figures of an exit are those of its own quantity."""
    sizing = ask(leave(), **holding("2")).sizing
    assert (sizing.base_quantity, sizing.quantity_base) == (2.0, D("2"))
    assert (sizing.multiplier_raw, sizing.multiplier_applied) == (1.0, 1.0)
    assert (sizing.notional_quote, sizing.stop_risk_quote) == (2 * PRICE, D("0"))
    denied = ask(leave()).sizing.denied
    assert denied is not None and (denied.code, denied.value) == ("NO_POSITION", 0.0)


def test_only_an_exit_of_the_same_strategy_and_symbol_stands_in_an_exits_way() -> None:
    """CTL-8, D-21: a position must not be held because another strategy leaves its own."""
    for changes, code in (
        ({"strategy": "two"}, None),
        ({"symbol": "ETH/USDT"}, None),
        ({"purpose": Purpose.ENTRY}, None),
        ({}, "DUPLICATE"),
    ):
        fields = {"strategy": STRATEGY, "purpose": Purpose.EXIT, **changes}
        on_its_way = intent(Side.SELL, "2", **fields)
        denied = ask(leave(), pending=(on_its_way,), **holding("2")).sizing.denied
        assert (None if denied is None else denied.code) == code


def test_what_takes_from_the_size_says_from_what_to_what() -> None:
    """ORC-13, ORC-59: the step's own numbers, not only the sentence."""
    sizing = ask(seen={"market": market(risk=Level.EXTREME)}).sizing
    (step,) = [step for step in sizing.steps if step.code == "RISK_LEVEL"]
    assert step.after_base == step.before_base * 0.5 == sizing.base_quantity


def test_the_trace_holds_what_took_something_and_every_cap_and_nothing_else() -> None:
    """ORC-13, ORC-59: a market of low risk and reliable opinions are no steps."""
    codes = [step.code for step in ask().sizing.steps]
    assert codes[:2] == ["BASE", "MULTIPLIER"] and codes[2] == "MAX_ORDER"
    assert codes[-1] == "LOT_SIZE" and len(set(codes)) == len(codes)
    assert not {"RISK_LEVEL", "VALIDATION", "BOOK_IMPACT"} & set(codes)
    risky = ask(seen={"market": market(risk=Level.HIGH), "validation": UNRELIABLE}).sizing
    assert [s.code for s in risky.steps][:4] == ["BASE", "RISK_LEVEL", "VALIDATION", "MULTIPLIER"]


def test_a_target_is_on_the_grid_and_absent_where_none_was_proposed() -> None:
    """ORC-14"""
    target = snapshot().close * 1.02
    assert ask(entry(target_price=target)).target_price == snapshot().instrument.price(target)
    assert ask(entry(target_price=None)).target_price is None


@pytest.mark.parametrize(("slices", "word"), [(1, ":"), (2, ", 2 slices by twap:")])
def test_advice_names_its_slices_where_there_are_several(slices: int, word: str) -> None:
    """ORC-86"""
    plan = ExecutionAdvice("split", slices, "twap", "too large for the touch")
    (note,) = ask(seen={"order_flow": order_flow(advice="split", execution=plan)}).notes
    assert note.text.startswith(f"advice split{word} spread 1.00 bps")


def test_an_order_as_large_as_the_book_takes_is_not_cut() -> None:
    """ORC-86, D-22: the limit itself is within it."""
    wanted = ask().sizing
    room = wanted.base_quantity * wanted.multiplier_applied
    exact = ask(seen={"order_flow": order_flow(buy_capacity_base=room)}).sizing
    assert exact == wanted
