"""Every reason code of the engine is reached from bars, books and accounts: none is on paper only.

A code that a decision carries is reached by a decision: one bar goes through all ten phases. Those
that no decision carries are reached in ``test_every_fault``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from itertools import count
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.limits import RiskLimits
from engine.market_columns import market_columns
from engine.phases.config import Readiness
from engine.ports import StrategyStatus, TradingState
from engine.scoreboard import Scoreboard
from engine.types import bars as bar_types
from engine.types import decisions, opinions, orders, requests
from engine.types.bars import BarColumns, Book
from engine.types.decisions import Action
from engine.types.opinions import LEVELS
from tests.bar_factory import labelled_regimes
from tests.engine.books import BTC, D, intent
from tests.engine.phases import test_every_fault
from tests.engine.phases.bars import BUYER, RULES_ONLY, STORE, Bar, decide
from tests.engine.phases.scene import (
    BARS,
    CONFIG,
    ROW,
    STRATEGY,
    Gate,
    Held,
    Predictor,
    Rule,
    book_at,
    entry,
    holding,
    leave,
    pipeline,
    proven,
    risk,
    settled,
    snapshot,
)
from tests.engine.phases.sizing import Layer, raising, times

ROOT = Path(__file__).resolve().parents[3]
CLOSE = float(BARS.close[ROW])
EAGER = replace(RULES_ONLY, required_readiness=Readiness.NOT_READY)


def buys(rule: Rule = BUYER, config: Any = CONFIG, learned: Any = (), **changes: Any) -> Bar:
    """One bar on which a rule proposes; ``changes`` are the market's, the rest the account's."""
    market = {name: changes.pop(name) for name in tuple(changes) if name in _OF_THE_BAR}
    parts = {name: changes.pop(name) for name in tuple(changes) if name in _OF_THE_PHASES}
    thrift = changes.pop("thrift", 0)
    rules = changes.pop("rules", (rule,))
    given = changes.pop("proposal", None)
    phases = pipeline(rules, learned, config=config, **parts)
    phases.set_thrift(thrift)
    # bars of its own: a store of others' would be asked for columns it has kept
    kept = {} if "bars" in market else {"store": STORE}
    return decide(phases, proposal=given, at=snapshot(**{**kept, **market}), **changes)


_OF_THE_BAR = ("row", "bars", "book", "late_ms", "shortable", "min_notional_quote", "lot_size")
_OF_THE_PHASES = ("scoreboard", "clock")


def row_where(what: str, value: int) -> int:
    """The first warm row of the walk whose column has a value."""
    columns = market_columns(STORE)
    found = (getattr(columns, what) == value) & columns.ready
    return int(np.flatnonzero(found)[0])


def jumped() -> BarColumns:
    """The walk with a step of 20 % two bars before the one that is decided on."""
    factor = np.where(np.arange(len(BARS)) >= ROW - 2, 1.2, 1.0)
    prices = {name: getattr(BARS, name) * factor for name in ("open", "high", "low", "close")}
    return replace(BARS, **prices)


def wrong(*sources: str) -> Scoreboard:
    """A board on which these sources were wrong whenever they spoke."""
    board = Scoreboard()
    for source in sources:
        settled(source, 1.0, 0, 400, board)
    return board


class NoRow(Gate):
    def strategy_status(self, strategy: str) -> StrategyStatus:
        raise KeyError(strategy)


class NoLock(Gate):
    def entry_lock(self, symbol: str, strategy: str) -> str:
        raise ConnectionError("database is gone")


def of(**exposure: Any) -> dict[str, Any]:
    return {"risk": risk(**exposure)}


def limited(**limits: Any) -> dict[str, Any]:
    return {"limits": RiskLimits(**limits)}


ALWAYS_LATE = count(0.0, 3.0).__next__
# about 200 quote at the best level; the next is 12 bps away
SHALLOW = Book(
    0,
    ((CLOSE * 0.99995, 2.0), (CLOSE * 0.9988, 40.0)),
    ((CLOSE * 1.00005, 2.0), (CLOSE * 1.0012, 40.0)),
)
CROSSED = Book(0, ((CLOSE * 1.001, 5.0),), ((CLOSE * 0.999, 5.0),))
AGAINST = Rule("two", 0.4)
CONTRADICTED = {"rules": (BUYER, AGAINST)}
MAJORS = limited(correlated_groups=(("majors", ("BTC", "ETH")),))
HELD_ROW = {STRATEGY: Held(D("2"))}

# -- what a proposal is held for: the decision's own code ------------------------------------------

HOLDS: dict[str, dict[str, Any]] = {
    "STATE_UNKNOWN": {"gatekeeper": Gate(broken=True)},
    "REDUCING": {"gatekeeper": Gate(state=TradingState.REDUCING)},
    "HALTED": {"gatekeeper": Gate(state=TradingState.HALTED)},
    "LOCKED": {"gatekeeper": Gate(lock="BTC/USDT by anna: listing")},
    "LOCK_UNKNOWN": {"gatekeeper": NoLock()},
    "STATUS_UNKNOWN": {"gatekeeper": NoRow()},
    "STRATEGY_SUSPENDED": {"gatekeeper": Gate(status=StrategyStatus.SUSPENDED)},
    "STRATEGY_RETIRED": {"gatekeeper": Gate(status=StrategyStatus.RETIRED)},
    "STALE_BAR": {"late_ms": 130_001},
    "DUPLICATE": {"pending": (intent(strategy=STRATEGY),)},
    "NO_SHORTS": {"rule": Rule("one", 0.4, side=-1)},
    "ALREADY_IN_POSITION": {"proposal": entry(), **holding()},
    "NOT_READY": {"row": row_where("dwell_bars", 0)},
    "FORMING": {"row": row_where("dwell_bars", 1)},
    "BOOK_UNAVAILABLE": {"book": CROSSED},
    "LIQUIDITY_WAIT": {"book": book_at(CLOSE, spread_bps=60.0)},
    "SPREAD": {
        "book": book_at(CLOSE, spread_bps=120.0),
        "config": replace(CONFIG, wait_spread_bps=500.0, wait_liquidity_score=0.0),
    },
    "PRICE_JUMP": {"bars": jumped(), "config": EAGER, "book": None},
    "PRICE_COLLAR": {"book": book_at(CLOSE * 1.03)},
    "UNRELIABLE": {**CONTRADICTED, "config": replace(RULES_ONLY, unreliable_size_factor=0.0)},
    "VOTED_DOWN": {
        "rules": (Rule("one", 0.3, side=1), Rule("two", 0.3)),
        "scoreboard": proven("one", "two"),
        "config": RULES_ONLY,
    },
    "NO_STOP": {"rule": Rule("one", 0.6, side=1, stop_fraction=nan)},
    "INVALID_STOP": {"rule": Rule("one", 0.6, side=1, stop_fraction=-0.01)},
    "COSTS": {"rule": Rule("one", 0.6, side=1, stop_fraction=0.001)},
    "RISK_UNKNOWN": of(cash_quote=D("NaN")),
    "MAX_DRAWDOWN": of(peak_equity_quote=D(12_500)),
    "MIN_EQUITY": limited(min_equity_quote=D(10_001)),
    "LOSS_STREAK": of(consecutive_losses=5),
    "DAY_LOSS": of(day_pnl_quote=D(-310)),
    "WEEK_LOSS": of(week_pnl_quote=D(-640)),
    "OPEN_ORDERS": of(open_orders=10),
    "OPEN_ORDERS_SYMBOL": of(open_orders_by_symbol={BTC: 3}),
    "OPEN_POSITIONS": of(open_positions=5),
    "ORDERS_PER_HOUR": of(orders_last_hour=30),
    "ORDERS_PER_DAY": of(orders_last_day=100),
    "REPEATED_ENTRIES": of(entries_15m=100),
    "REPEATED_ENTRIES_DAY": of(entries_day=1_000),
    "MAX_SYMBOL": of(exposure_by_symbol={BTC: D(1_000)}),
    "MAX_STRATEGY": of(exposure_by_strategy={STRATEGY: D(2_000)}),
    "MAX_GROUP_MAJORS": {**of(exposure_by_symbol={"ETH/USDT": D(3_000)}), **MAJORS},
    "MAX_GROSS": of(gross_exposure_quote=D(6_000)),
    "CASH_RESERVE": of(cash_quote=D(1_000)),
    "VOLUME_SHARE": {"bars": replace(BARS, volume=np.zeros(len(BARS)))},
    "MIN_QUANTITY": {"lot_size": D(1_000)},
    "MIN_NOTIONAL": {"min_notional_quote": D(10**6)},
    "NO_POSITION": {"proposal": leave()},
    "NOT_REDUCING": {"proposal": leave(), "positions": HELD_ROW},
    "DEADLINE": {"clock": ALWAYS_LATE},
    "PHASE_ERROR": {"policy": Layer(raising)},
    "NOT_WARM": {"row": 10, "rule": Rule("one")},
    "NO_PROPOSAL": {"rule": Rule("one", 0.6), "config": RULES_ONLY},
}


@pytest.mark.parametrize("code", HOLDS)
def test_a_bar_is_held_for_every_reason_there_is(code: str) -> None:
    """ORC-64, ORC-59, ORC-14: HOLD with the reason, size 0 and confidence 0."""
    decision = buys(**HOLDS[code]).decision
    assert (decision.action, decision.reason_code) == (Action.HOLD, code)
    assert (decision.quantity_base, decision.confidence, decision.intent) == (0, 0.0, None)
    assert decision.reasons[0].code == code and len(decision.reasons[0].text) > len(code)


# -- what a decision is made for -------------------------------------------------------------------

AGREED = {"rules": (Rule("one", 0.6), Rule("two", 0.6)), "scoreboard": proven("one", "two")}


def held_for(**position: Any) -> dict[str, Any]:
    owner = position.get("strategy", STRATEGY)
    held = Held(D(2), **position)
    account = risk(positions_base={(owner, BTC): held.quantity_base}, open_positions=1)
    return {"positions": {owner: held}, "risk": account}


MADE: dict[str, tuple[Action, dict[str, Any]]] = {
    "RULE_ENTRY": (Action.BUY, {}),
    "ENSEMBLE_ENTRY": (Action.BUY, AGREED),
    "RULE_EXIT": (Action.EXIT, {"rule": Rule("one", 0.6, exits=True), **held_for()}),
    "ENSEMBLE_EXIT": (
        Action.EXIT,
        {
            "rules": (Rule("one", 0.3), Rule("two", 0.3)),
            "scoreboard": proven("one", "two"),
            **held_for(strategy="ensemble"),
        },
    ),
    "STOP": (Action.EXIT, {"rule": Rule("one"), **held_for(stop_price=D(str(CLOSE)))}),
    "TARGET": (Action.EXIT, {"rule": Rule("one"), **held_for(target_price=D(str(CLOSE)))}),
    "MAX_HOLDING": (Action.EXIT, {"rule": Rule("one"), **held_for(opened_at_ms=-(10**9))}),
}


@pytest.mark.parametrize("code", MADE)
def test_a_decision_is_made_for_every_reason_there_is(code: str) -> None:
    """ORC-64, ORC-14: each names its reason, has a size and an intent that says the same."""
    action, changes = MADE[code]
    decision = buys(**changes).decision
    assert (decision.action, decision.reason_code) == (action, code)
    assert decision.quantity_base > 0
    assert decision.intent is not None and decision.intent.reason_code == code


UNFILTERED = "UNFILTERED"


def test_without_the_layer_every_proposal_is_let_through_and_says_so() -> None:
    """ORC-59: what the policy answered is part of the decision."""
    assert buys().decision.policy["reason_code"] == UNFILTERED


# -- what is told beside it, and every step of a size ----------------------------------------------


def told(bar: Bar) -> set[str]:
    records = {reason.code for record in bar.records for reason in record.reasons}
    return records | {reason.code for reason in bar.decision.reasons}


NOTES: dict[str, dict[str, Any]] = {
    "MARKET": {},
    "VALIDATION": {},
    "CONSENSUS": {},
    "SIZE": {},
    "MISSING": {"book": None},
    "BOOK_NOT_APPLICABLE": {"book": None},
    "ADVICE_LIMIT": {"book": book_at(CLOSE, spread_bps=12.0)},
    "ADVICE_SPLIT": {"book": SHALLOW},
    "MULTIPLIER_NOT_FINITE": {"policy": times(inf)},
    "NO_LEARNED_SOURCE": {},
    "NO_OPINION": {"rule": Rule("one", 0.5)},
    "NO_SOURCE": {"scoreboard": wrong("one")},
    "FEWER_MODELS": {"learned": (Predictor("a"), Predictor("b")), "thrift": 2},
}


@pytest.mark.parametrize("code", NOTES)
def test_everything_a_phase_has_to_say_is_said(code: str) -> None:
    """ORC-59, ORC-58"""
    assert code in told(buys(**NOTES[code]))


RISKY = int(np.flatnonzero(market_columns(STORE).risk >= 2)[-1])
SIZES: dict[str, dict[str, Any]] = {
    "BASE": {"rule": Rule("one", 0.6, side=1, stop_fraction=0.004)},
    "RISK_LEVEL": {"row": RISKY, "config": EAGER},
    "VALIDATION": {**CONTRADICTED, "config": RULES_ONLY},
    "MULTIPLIER": {"policy": times(0.5)},
    "BOOK_IMPACT": {"book": SHALLOW, "policy": times(2.0), **limited(max_book_share=D(1))},
    "MAX_ORDER": {
        "policy": times(2.0),
        "config": replace(CONFIG, base_share_of_cap=1.0),
        **limited(risk_per_trade=D("0.02")),
    },
    "MAX_ORDER_QUOTE": {
        "policy": times(2.0),
        "config": replace(CONFIG, base_share_of_cap=1.0),
        **limited(max_order_quote=D(300)),
    },
    "MAX_SYMBOL": of(exposure_by_symbol={BTC: D(800)}),
    "MAX_STRATEGY": of(exposure_by_strategy={STRATEGY: D(1_900)}),
    "MAX_GROUP_MAJORS": {**of(exposure_by_symbol={"ETH/USDT": D(2_900)}), **MAJORS},
    "MAX_GROSS": of(gross_exposure_quote=D(5_900)),
    "LEVERAGE": {**of(gross_exposure_quote=D(900)), **limited(leverage=D("0.1"))},
    "CASH_RESERVE": of(cash_quote=D(1_100)),
    "MAX_RISK": {
        "policy": times(2.0),
        "rule": Rule("one", 0.6, side=1, stop_fraction=0.5),
        **limited(risk_per_trade=D("0.001"), max_risk_per_trade=D("0.001")),
    },
    "VOLUME_SHARE": {"bars": replace(BARS, volume=BARS.volume / 100.0)},
    "BOOK_SHARE": {"book": book_at(CLOSE, quantity=1.0), **limited(max_book_share=D("0.01"))},
    "LOT_SIZE": {},
    "POSITION": {
        "rule": Rule("one", 0.6, exits=True),
        "positions": {STRATEGY: Held(D(2))},
        "risk": risk(positions_base={(STRATEGY, BTC): D(1)}, open_positions=1),
    },
}


@pytest.mark.parametrize("code", SIZES)
def test_every_step_of_a_size_takes_something_from_some_order(code: str) -> None:
    """ORC-13, ORC-64: every tier of size, and every cap, is reached on the way to an order."""
    decision = buys(**SIZES[code]).decision
    assert decision.sizing is not None and decision.action is not Action.HOLD
    steps = {step.code: step for step in decision.sizing.steps}
    assert steps[code].after_base < steps[code].before_base
    assert 0.0 < float(decision.quantity_base) <= steps[code].after_base


@pytest.mark.parametrize("level", LEVELS)
def test_every_risk_level_of_a_real_bar_has_its_tier(level: str) -> None:
    """ORC-13, ORC-07: the level of phase 1, through all phases, is the factor of the size."""
    market = labelled_regimes(9, cycles=2)[0]
    columns = market_columns(bar_types.ColumnStore(market))
    row = int(np.flatnonzero((columns.risk == LEVELS.index(level)) & columns.ready)[0])
    sizing = buys(bars=market, row=row, config=EAGER, book=None, **WIDE).decision.sizing
    assert sizing is not None
    first = sizing.steps[0].after_base
    factor = {"low": 1.0, "medium": 1.0, "high": 0.75, "extreme": 0.5}[level]
    assert sizing.base_quantity == pytest.approx(first * factor)


# labelled markets move faster than the pause after a jump allows
WIDE = limited(max_jump_1m=D("0.99"), max_jump_5m=D("0.99"))


# -- nothing is left out ---------------------------------------------------------------------------

REACHED = {UNFILTERED, *HOLDS, *MADE, *NOTES, *SIZES, *test_every_fault.TOLD}
# What orders and alerts are called that no decision asked for: ``test_outside``,
# ``test_flattening``, ``test_requests`` and ``test_protection``.
UNASKED = {"EXTERNAL", "FLATTEN", "FLATTEN_LEFT_OPEN", "MANUAL_CLOSE", "STOP_JUMPED"}
WORDS = {"BTC", "ETH"}


def spelled() -> Iterator[tuple[str, str]]:
    """Every text of the engine that is spelled as a code is, and where; names it exports aside."""
    for path in sorted((ROOT / "engine").rglob("*.py")):
        exported = path.read_text().partition("__all__")[2].partition("]")[0]
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.value if isinstance(node, ast.Constant) else None
            if not isinstance(text, str) or not re.fullmatch(r"[A-Z][A-Z0-9_]+[A-Z0-9]", text):
                continue
            if f'"{text}"' not in exported:
                yield text, f"{path.relative_to(ROOT)}:{node.lineno}"


def labels() -> set[str]:
    """Values of the engine's enumerations: actions, regimes, states and statuses."""
    modules = (decisions, opinions, orders, requests, bar_types)
    named = [kind for module in modules for kind in vars(module).values()]
    kinds = [k for k in named if isinstance(k, type) and issubclass(k, StrEnum)]
    return {m.value for kind in (*kinds, StrategyStatus, TradingState, Readiness) for m in kind}


def test_every_reason_code_of_the_engine_is_reached() -> None:
    """ORC-59, ORC-64: a code that no case reaches fails here; so does a case of no code."""
    codes = {code for code, _ in spelled()} - labels() - UNASKED - WORDS
    places = dict(spelled())
    lacking = {f"{code} ({places[code]})" for code in codes - REACHED}
    assert lacking == set()
    # what is put together from a label: its case above is the proof
    composed = {"STRATEGY_SUSPENDED", "STRATEGY_RETIRED", "ADVICE_LIMIT", "ADVICE_SPLIT"}
    composed |= {"INVALID_QUANTITY", "INVALID_PRICE", "NOT_READY", "FORMING", "REDUCING", "HALTED"}
    composed |= {"MAX_GROUP_MAJORS", "DECLINE", "SCHEDULE", "REGIME_CHANGE", "NEW_DATA"}
    assert REACHED - codes - composed == set()
