"""Phase 7, first half: what stops an entry, whoever speaks for it."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from typing import Any

import pytest

from engine.failsafe import Failure
from engine.phases.config import PipelineConfig, Readiness
from engine.phases.microstructure import NO_BOOK
from engine.ports import Assessment, StrategyStatus, TradingState
from engine.types.opinions import (
    ExecutionAdvice,
    Missing,
    Side,
)
from tests.engine.books import D, intent
from tests.engine.phases.scene import (
    CONFIG,
    STRATEGY,
    Gate,
    consensus,
    entry,
    features,
    holding,
    leave,
    market,
    order_flow,
    risk,
    snapshot,
)
from tests.engine.phases.sizing import Layer, ask, denial_of, size

GATES: dict[str, tuple[str, dict[str, Any]]] = {
    "reducing": ("REDUCING", {"gatekeeper": Gate(state=TradingState.REDUCING)}),
    "halted": ("HALTED", {"gatekeeper": Gate(state=TradingState.HALTED)}),
    "state unknown": ("STATE_UNKNOWN", {"gatekeeper": Gate(broken=True)}),
    "locked": ("LOCKED", {"gatekeeper": Gate(lock="BTC/USDT by anna: listing")}),
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
    "book unreadable": (
        "BOOK_UNAVAILABLE", {"seen": {"order_flow": Missing("crossed book: bid was 2, ask was 1")}}
    ),
    "no stop": ("NO_STOP", {"proposal": entry(stop_price=None)}),
    "stop above": ("INVALID_STOP", {"proposal": entry(stop_price=snapshot().close * 1.01)}),
    "stop at the price": ("INVALID_STOP", {"proposal": entry(stop_price=snapshot().close)}),
    "stop not a number": ("INVALID_STOP", {"proposal": entry(stop_price=nan)}),
    "voted down": ("VOTED_DOWN", {"seen": {"consensus": consensus(0.48)}}),
    "target too near": ("COSTS", {"proposal": entry(target_price=snapshot().close * 1.0029)}),
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


def test_a_lock_that_cannot_be_read_blocks() -> None:
    """D-03: LOCK_UNKNOWN, after a state that could be read."""

    class Unreadable(Gate):
        def entry_lock(self, symbol: str, strategy: str) -> str:
            raise ConnectionError("database is gone")

    assert denial_of(ask(gatekeeper=Unreadable())) == "LOCK_UNKNOWN"


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


def test_a_wait_is_denied_with_the_numbers_of_the_book() -> None:
    """ORC-86, D-22"""
    plan = ExecutionAdvice("wait", 0, "once", "spread 61.00 bps (maximum 50)")
    flow = order_flow(advice="wait", execution=plan, liquidity_score=0.31)
    denied = ask(seen={"order_flow": flow}).sizing.denied
    assert denied is not None
    assert (denied.code, denied.value) == ("LIQUIDITY_WAIT", 0.31)
    assert denied.text == "the book says wait: spread 61.00 bps (maximum 50)"


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_an_order_is_cut_to_what_its_side_of_the_book_takes(side: Side) -> None:
    """ORC-86: before the hard caps, with its step in the trace; the other side does not matter."""
    proposal, seen = entry(side=side), {"consensus": consensus(0.6 if side is Side.BUY else 0.4)}
    free = ask(proposal, shortable=True, seen=seen).sizing
    room = float(free.quantity_base) / 3.0
    mine, other = ("buy", "sell") if side is Side.BUY else ("sell", "buy")
    thin = {"order_flow": order_flow(**{f"{mine}_capacity_base": room})}
    cut = ask(proposal, shortable=True, seen={**seen, **thin}).sizing
    assert 0 < float(cut.quantity_base) <= room
    codes = [step.code for step in cut.steps]
    assert codes.index("BOOK_IMPACT") == codes.index("MULTIPLIER") + 1
    (step,) = [step for step in cut.steps if step.code == "BOOK_IMPACT"]
    assert step.after_base == room < step.before_base
    thin = {"order_flow": order_flow(**{f"{other}_capacity_base": room})}
    assert ask(proposal, shortable=True, seen={**seen, **thin}).sizing == free


def test_a_deep_book_never_makes_an_order_larger() -> None:
    """ORC-86: reduction only."""
    endless = order_flow(buy_capacity_base=1e12, sell_capacity_base=1e12)
    assert ask(seen={"order_flow": endless}).sizing == ask(seen={"order_flow": NO_BOOK}).sizing


def test_an_exit_is_not_cut_to_the_book() -> None:
    """D-02: whoever wants out gets out."""
    flow = order_flow(buy_capacity_base=1e-6, sell_capacity_base=1e-6)
    assert size(leave(), **holding("2"), seen={"order_flow": flow}) == 2


def test_a_vote_and_a_target_are_enough_from_their_limit_on() -> None:
    """ORC-11, ORC-12: the consensus does not veto at 0.49; a target may pay 1.5 times the fees."""
    assert size(seen={"consensus": consensus(0.49)}) > 0
    assert size(seen={"consensus": None}) > 0
    assert size(entry(target_price=snapshot().close * 1.0031)) > 0
    assert size(entry(target_price=None)) > 0


def test_a_vote_against_a_short_is_the_mirror_of_one_against_a_long() -> None:
    """ORC-12"""
    short = entry(side=Side.SELL)
    assert size(short, shortable=True, seen={"consensus": consensus(0.51)}) > 0
    voted = ask(short, shortable=True, seen={"consensus": consensus(0.52)})
    assert denial_of(voted) == "VOTED_DOWN"
