"""Phase 8: ORC-14, ORC-03, ORC-59, D-19."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.phases.config import PipelineConfig
from engine.phases.final_decision import client_order_id, finalise, hold, with_records
from engine.phases.risk_and_sizing import Answer, denial
from engine.types.bars import Snapshot
from engine.types.decisions import Action, Decision, Reason, Sizing
from engine.types.opinions import Proposal, Side
from engine.types.orders import OrderType, Purpose
from tests.engine.phases import scene

D = Decimal
CONFIG = PipelineConfig(validity_bars=2)
OF = scene.snapshot()


def sized(quantity: str = "0.05") -> Answer:
    sizing = Sizing(0.05, 1.2, 1.2, D(quantity), D("5"), D("0.1"), (), 0.8)
    return Answer(sizing, D("98.01"), D("104.02"), (), {"quality": 0.8})


def final(
    proposal: Proposal | None = None, answer: Answer | None = None, of: Snapshot = OF
) -> Decision:
    return finalise(
        proposal or scene.entry(of),
        of,
        scene.analysis(of),
        answer or sized(),
        scene.context(),
        CONFIG,
    )


def test_a_passed_entry_has_action_size_prices_reasons_and_a_validity_window() -> None:
    """ORC-14, ORC-59"""
    decision = final()
    assert decision.action is Action.BUY
    assert decision.quantity_base == D("0.05")
    assert (decision.stop_price, decision.target_price) == (D("98.01"), D("104.02"))
    assert decision.confidence == 0.7
    assert decision.valid_until_ms == OF.event.ts_ms + 2 * scene.MINUTE_MS
    codes = [reason.code for reason in decision.reasons]
    assert codes[:5] == ["RULE_ENTRY", "MARKET", "VALIDATION", "CONSENSUS", "SIZE"]
    told = " ".join(reason.text for reason in decision.reasons)
    assert "probability up 0.600" in told
    assert "regime TRENDING" in told
    assert "0.05" in told
    assert decision.policy == {"quality": 0.8}


def test_its_intent_repeats_the_decision() -> None:
    """ORC-03, D-19"""
    intent = final().intent
    assert intent is not None
    assert (intent.purpose, intent.side, intent.order_type) == (
        Purpose.ENTRY,
        Side.BUY,
        OrderType.MARKET,
    )
    assert intent.quantity_base == D("0.05")
    assert intent.stop_price == D("98.01")
    assert intent.reference_price == OF.instrument.price(OF.close)
    assert intent.decided_at_ms == OF.event.ts_ms
    assert intent.regime == "TRENDING"
    assert intent.reason_code == "RULE_ENTRY"


def test_sell_and_exit_are_actions_of_their_own() -> None:
    """ORC-64"""
    assert final(scene.entry(OF, Side.SELL)).action is Action.SELL
    left = final(scene.leave(OF))
    assert left.action is Action.EXIT
    assert left.intent is not None
    assert left.intent.purpose is Purpose.EXIT


def test_a_denied_proposal_is_a_hold_of_nothing_with_the_reason() -> None:
    """ORC-14: HOLD always has size 0."""
    answer = Answer(denial(Reason("NO_SHORTS", "cannot be sold short, side was SELL")))
    decision = final(answer=answer)
    assert (decision.action, decision.quantity_base, decision.confidence) == (Action.HOLD, 0, 0.0)
    assert decision.intent is None
    assert (decision.reason_code, decision.blocking_phase) == ("NO_SHORTS", 7)
    assert decision.proposal is not None


def test_a_size_of_nothing_without_a_denial_is_a_hold_too() -> None:
    """ORC-14"""
    decision = final(answer=sized("0"))
    assert (decision.action, decision.reason_code) == (Action.HOLD, "NO_SIZE")


def test_the_same_input_gives_the_same_decision() -> None:
    """ORC-14"""
    assert final() == final()


def test_a_hold_of_nobody_belongs_to_the_platform_and_has_no_intent() -> None:
    decision = hold("platform", OF, Reason("NO_PROPOSAL", "nobody"), CONFIG)
    assert (decision.action, decision.intent, decision.blocking_phase) == (Action.HOLD, None, None)
    assert with_records(decision, ()) is decision


FIELDS: dict[str, Any] = {
    "installation": "abc012",
    "account": "main",
    "run_code": "run-1",
    "strategy": "ema-trend",
    "symbol": scene.BTC,
    "bar_close_ms": 1_700_000_000_000,
    "leg": 0,
}


def test_an_order_id_is_installation_and_26_hex_and_never_changes() -> None:
    """D-19: the literal guards against a changed recipe, which would double orders on restart."""
    found = client_order_id(**FIELDS)
    assert found == client_order_id(**FIELDS)
    assert len(found) == 32
    assert set(found) <= set("0123456789abcdef")
    assert found == "abc01237813b446b1a9cdd31e617302d"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("account", "other"),
        ("run_code", "run-2"),
        ("strategy", "breakout"),
        ("symbol", "ETH/USDT"),
        ("bar_close_ms", 1_700_000_060_000),
        ("leg", 1),
        ("installation", "abc013"),
    ],
)
def test_every_part_of_the_decision_changes_the_id(name: str, value: object) -> None:
    """D-19"""
    assert client_order_id(**{**FIELDS, name: value}) != client_order_id(**FIELDS)


@given(st.text(max_size=6), st.text(max_size=6), st.text(max_size=6), st.text(max_size=6))
def test_parts_do_not_run_together(a: str, b: str, c: str, d: str) -> None:
    """D-19: ("ab", "c") and ("a", "bc") are two orders."""
    one = client_order_id(**{**FIELDS, "account": a, "run_code": b})
    other = client_order_id(**{**FIELDS, "account": c, "run_code": d})
    assert (one == other) == ((a, b) == (c, d))


@pytest.mark.parametrize("installation", ["", "abc", "ABCDEF", "abc01g", "abc0123"])
def test_an_installation_that_is_not_six_hex_characters_is_refused(installation: str) -> None:
    """D-19"""
    with pytest.raises(ValueError, match="installation must be 6 lowercase hex characters, was"):
        client_order_id(**{**FIELDS, "installation": installation})
