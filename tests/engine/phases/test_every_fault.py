"""Codes that no decision carries: refused bars, reasons to train anew, odd fills, second nets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import nan
from typing import Any

import pytest

from engine import controls
from engine import limits as hard_limits
from engine.limits import RiskLimits, SizeRequest
from engine.paper import PaperBroker
from engine.phases import final_decision
from engine.phases.config import Readiness
from engine.phases.risk_and_sizing import Answer
from engine.quality import bar_at, validate_event
from engine.types.bars import ColumnStore, MarketEvent
from engine.types.decisions import Sizing
from engine.types.ledger import ZERO
from engine.types.opinions import Side
from engine.types.orders import OrderType, Purpose
from tests.bar_factory import random_walk
from tests.engine.books import BTC, D, fill, instrument, intent
from tests.engine.phases.bars import RULES_ONLY
from tests.engine.phases.scene import (
    BARS,
    CONFIG,
    ROW,
    Predictor,
    Rule,
    analysis,
    context,
    entry,
    pipeline,
    risk,
    snapshot,
)
from tests.engine.sessions import event_at, scene

EAGER = replace(RULES_ONLY, required_readiness=Readiness.NOT_READY)

# -- bars that are refused -------------------------------------------------------------------------

USUAL = event_at(BARS, ROW)
assert USUAL.bar is not None
BEFORE = bar_at(BARS, ROW - 1)
HERE = bar_at(BARS, ROW)
AFTER = USUAL.ts_ms + 1
REFUSED: dict[str, tuple[MarketEvent, Any]] = {
    "NO_BAR": (replace(USUAL, bar=None), BEFORE),
    "CLOSE_TIME_MISMATCH": (replace(USUAL, ts_ms=USUAL.ts_ms + 1), BEFORE),
    "UNCLOSED_BAR": (replace(USUAL, now_ms=USUAL.ts_ms - 1), BEFORE),
    "DUPLICATE_BAR": (USUAL, HERE),
    "OUT_OF_ORDER_BAR": (USUAL, bar_at(BARS, ROW + 1)),
    "PRICE_JUMP": (USUAL, replace(BEFORE, close=HERE.close * 11.0)),
    "NON_FINITE_PRICE": (replace(USUAL, bar=replace(HERE, close=nan)), BEFORE),
    "NON_POSITIVE_PRICE": (replace(USUAL, bar=replace(HERE, low=0.0)), BEFORE),
    "ABSURD_PRICE": (replace(USUAL, bar=replace(HERE, high=1e12)), BEFORE),
    "HIGH_BELOW_LOW": (replace(USUAL, bar=replace(HERE, high=HERE.low * 0.9)), BEFORE),
    "OUTSIDE_RANGE": (replace(USUAL, bar=replace(HERE, close=HERE.high * 1.1)), BEFORE),
    "BAD_VOLUME": (replace(USUAL, bar=replace(HERE, volume=-1.0)), BEFORE),
    "MISALIGNED_BAR": (
        replace(USUAL, bar=replace(HERE, ts_ms=HERE.ts_ms + 1), ts_ms=AFTER, now_ms=AFTER),
        BEFORE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", REFUSED)
def test_a_bar_is_refused_for_every_fault_there_is(code: str) -> None:
    """ORC-55: invalid input is rejected with its reason; the same bar without the fault passes."""
    event, before = REFUSED[code]
    reason = validate_event(event, before, BARS.timeframe_ms)
    assert reason is not None and reason.code == code
    assert validate_event(USUAL, BEFORE, BARS.timeframe_ms) is None


# -- triggers of phase 10 --------------------------------------------------------------------------


def triggers(**config: Any) -> set[str]:
    """Play one predictor that is right at first and then wrong; what phase 10 told on the way."""
    bars = random_walk(4, 712)
    rises = bars.close[12:] > bars.close[:-12]
    rows = iter(range(400, 700))

    def answer() -> float:
        row = next(rows)
        return 0.9 if rises[row] == (row < 550) else 0.1

    source = Predictor(answer=answer)
    phases = pipeline((), (source,), config=replace(CONFIG, **(NEVER | config)))
    store, found = ColumnStore(bars), set()
    for row in range(400, 700):
        at = snapshot(row, bars=bars, store=store, book=None)
        seen = phases.analyse(at)
        learned = phases.apply_learning(phases.after(at, seen, [phases.hold(at, seen)]))
        found |= {reason.code for record in learned.records for reason in record.reasons}
    return found


NEVER: dict[str, Any] = {
    "schedule_ms": 10**12,
    "new_data_settled": 10**9,
    "decline_min_settled": 10**9,
    "drift_delta": 1e-12,
    "evolution_cooldown_ms": 0,
    "learn_every_bars": 1,
}


TRIGGERS: dict[str, dict[str, Any]] = {
    "SCHEDULE": {"schedule_ms": 30 * 60_000},
    "NEW_DATA": {"new_data_settled": 20},
    "DECLINE": {"decline_min_settled": 50},
    "DRIFT": {"drift_delta": 0.05},
}


@pytest.mark.parametrize("code", [*TRIGGERS, "REGIME_CHANGE"])
def test_a_source_is_to_be_trained_anew_for_every_reason_there_is(code: str) -> None:
    """ORC-16: a changed regime where nothing else is due; the others come before it is told."""
    assert code in triggers(**TRIGGERS.get(code, {}))


# -- what fills turn out to be ---------------------------------------------------------------------


def odd_fill(code: str) -> list[str]:
    """Codes of the alerts that a fill raises in a session."""
    run = scene(BARS, pipeline([Rule("one")], config=EAGER), first_row=FIRST)
    order = intent(strategy="one", quantity="1")
    out = intent(Side.SELL, "1", strategy="one", purpose=Purpose.EXIT)
    told_of = {
        "OVERFILL": [(fill(order, "100", "1.5"), order)],
        "OVERSOLD": [(fill(out, "100"), out)],
        "FEE_UNVALUED": [(fill(order, "100", fee=D("0.01"), fee_asset="BNB"), order)],
    }
    run.broker.fills_at = lambda event: told_of[code]
    outcome = run.session.on_event(event_at(BARS, FIRST))
    return [alert.code for alert in outcome.alerts]


FIRST = 400


@pytest.mark.parametrize("code", ["OVERFILL", "OVERSOLD", "FEE_UNVALUED"])
def test_a_fill_that_is_not_as_it_should_be_is_booked_and_told(code: str) -> None:
    """F-017, I-6: what the venue did is the truth, but somebody must look."""
    assert code in odd_fill(code)


def test_what_is_too_little_to_sell_is_told() -> None:
    """DUST: a fee taken in base leaves less than a lot of what was bought."""
    bought = intent(strategy="one", quantity="1")
    books = {"instruments": {BTC: instrument()}}
    run = scene(BARS, pipeline([Rule("one")], config=EAGER), first_row=FIRST, **books)
    sold = intent(Side.SELL, "0.9999", strategy="one", purpose=Purpose.EXIT)
    first = fill(bought, "100", fee=D("0.00005"), fee_asset="BTC")
    fills = iter([[(first, bought)], [(fill(sold, "100"), sold)]])
    run.broker.fills_at = lambda event: next(fills, [])
    codes: list[str] = []
    for row in range(FIRST, FIRST + 4):
        outcome = run.session.on_event(event_at(BARS, row))
        codes += [alert.code for alert in outcome.alerts]
    assert codes == ["DUST"]


# -- second nets -----------------------------------------------------------------------------------


def limit_code(**changes: Any) -> str:
    fields: dict[str, Any] = {
        "instrument": instrument(), "strategy": "one", "side": Side.BUY, "quantity_base": 1.0,
        "price": 100.0, "stop_price": 95.0,
    }  # fmt: skip
    denied = hard_limits.apply(SizeRequest(**{**fields, **changes}), RiskLimits(), risk()).denied
    return "" if denied is None else denied.code


def collared() -> str:
    denied = controls.collar_denial(100.0, nan, instrument(), RiskLimits())
    return "" if denied is None else denied.code


def unsized() -> str:
    nothing = Sizing(0.0, 1.0, 1.0, ZERO, ZERO, ZERO, (), None)
    at = snapshot()
    said = final_decision.finalise(entry(), at, analysis(at), Answer(nothing), context(), CONFIG)
    return said.reason_code


def refusal(**changes: Any) -> str:
    broker = PaperBroker({BTC: instrument()})
    answer: Any = broker.submit(intent(**changes), event_at(BARS, ROW))
    return str(answer.code)


def unknown_order() -> str:
    answer: Any = PaperBroker({BTC: instrument()}).cancel("nobody's", event_at(BARS, ROW))
    return str(answer.code)


NETS: dict[str, Callable[[], str]] = {
    "INVALID_QUANTITY": lambda: limit_code(quantity_base=nan),
    "INVALID_PRICE": lambda: limit_code(price=nan),
    "NO_REFERENCE": collared,
    "NO_SIZE": unsized,
    "UNKNOWN_SYMBOL": lambda: refusal(symbol="ETH/USDT"),
    "NO_PRICE": lambda: refusal(order_type=OrderType.LIMIT),
    "STOP_ENTRY": lambda: refusal(order_type=OrderType.STOP, stop_price=D(99)),
    "UNKNOWN_ORDER": unknown_order,
}


@pytest.mark.parametrize("code", NETS)
def test_every_second_net_says_why_it_holds(code: str) -> None:
    """D-03: what an earlier gate should have stopped is stopped again, in its own words."""
    assert NETS[code]() == code


TOLD = {*REFUSED, *TRIGGERS, *NETS, "REGIME_CHANGE", "OVERFILL", "OVERSOLD", "FEE_UNVALUED", "DUST"}
"""Every code that a case of this file reaches."""
