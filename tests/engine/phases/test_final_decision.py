"""Phase 8: the final word, and the one place where an intent is made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.client_ids import client_order_id
from engine.phases.entry_gates import Question
from engine.phases.final_decision import (
    finalise,
    hold,
    valid_until_ms,
    votes,
    with_records,
)
from engine.phases.risk_and_sizing import Answer, assess_risk_and_size, denial
from engine.policy import BasePolicy
from engine.types.decisions import Action, Decision, Reason
from engine.types.opinions import Missing, Proposal, Side
from engine.types.orders import OrderType, Purpose
from tests.engine.phases.scene import (
    CONFIG,
    INSTALLATION,
    analysis,
    consensus,
    context,
    entry,
    holding,
    leave,
    snapshot,
)


def decided(
    proposal: Proposal | None = None, *, shortable: bool = False, **account: Any
) -> Decision:
    """Phases 7 and 8 on one proposal."""
    at = snapshot(shortable=shortable)
    asked, given = proposal or entry(at), context(**account)
    found = analysis(at, consensus=consensus(0.6 if asked.side is Side.BUY else 0.4))
    question = Question(asked, at, found, given, CONFIG, [].append)
    answer = assess_risk_and_size(question, BasePolicy())
    return finalise(asked, at, found, answer, given, CONFIG)


@pytest.mark.parametrize(
    ("proposal", "changes", "action", "side"),
    [
        (entry(), {}, Action.BUY, Side.BUY),
        (entry(side=Side.SELL), {"shortable": True}, Action.SELL, Side.SELL),
        (leave(), holding("2"), Action.EXIT, Side.SELL),
        (leave(side=Side.BUY), holding("-2"), Action.EXIT, Side.BUY),
    ],
    ids=["buy", "sell", "exit of a long", "exit of a short"],
)
def test_a_sized_proposal_is_an_action_with_its_intent(
    proposal: Proposal, changes: dict[str, Any], action: Action, side: Side
) -> None:
    """ORC-14, ORC-64: the intent says the same as the decision."""
    decision = decided(proposal, **changes)
    intent = decision.intent
    assert decision.action is action
    assert intent is not None and intent.side is side
    assert intent.purpose is (Purpose.EXIT if action is Action.EXIT else Purpose.ENTRY)
    assert intent.order_type is OrderType.MARKET
    assert intent.quantity_base == decision.quantity_base > 0
    assert (intent.stop_price, intent.target_price) == (
        decision.stop_price,
        decision.target_price,
    )
    assert intent.decided_at_ms == decision.bar_close_ms
    assert intent.regime == "TRENDING"
    assert intent.reason_code == proposal.reason_code
    assert decision.blocking_phase is None


def test_a_decision_carries_all_that_it_was_made_of() -> None:
    """ORC-14, ORC-59: reasons with their numbers, the votes, size, stop, validity."""
    decision = decided()
    codes = [reason.code for reason in decision.reasons]
    assert codes == ["RULE_ENTRY", "MARKET", "VALIDATION", "CONSENSUS", "SIZE"]
    texts = {reason.code: reason.text for reason in decision.reasons}
    assert "regime TRENDING" in texts["MARKET"]
    assert "probability up 0.600 +- 0.100" in texts["CONSENSUS"]
    assert str(decision.quantity_base) in texts["SIZE"]
    assert decision.confidence == 0.7
    assert decision.stop_price is not None and decision.stop_price < decision.price
    assert decision.valid_until_ms == decision.bar_close_ms + 60_000
    assert votes(analysis()) == {"one": 0.6, "two": 0.6}


def test_hold_has_no_size_no_confidence_and_no_intent() -> None:
    """ORC-14"""
    decision = hold("one", snapshot(), Reason("WHY", "because"), CONFIG, proposal=entry())
    assert (decision.action, decision.quantity_base, decision.confidence) == (Action.HOLD, 0, 0.0)
    assert decision.intent is None
    assert decision.stop_price is None and decision.target_price is None
    assert [reason.code for reason in decision.reasons] == ["WHY", "RULE_ENTRY"]


@pytest.mark.parametrize("reason", [Reason("MAX_GROSS", "no room"), None])
def test_a_size_of_nothing_is_a_hold_by_phase_seven(reason: Reason | None) -> None:
    """ORC-14: with a denial, and even where nobody said why."""
    at = snapshot()
    sizing = replace(denial(Reason("X", "x")), denied=reason)
    decision = finalise(entry(), at, analysis(), Answer(sizing), context(), CONFIG)
    assert (decision.action, decision.quantity_base, decision.intent) == (Action.HOLD, 0, None)
    assert decision.blocking_phase == 7
    assert decision.reason_code == (reason.code if reason else "NO_SIZE")


def test_the_same_input_gives_the_same_decision() -> None:
    """ORC-14: to the last field, the order's id included."""
    assert decided() == decided()


def test_without_a_regime_the_intent_names_none() -> None:
    """ORC-58"""
    at, given = snapshot(), context(**holding("2"))
    found = analysis(at, market=Missing("not warm"))
    question = Question(leave(), at, found, given, CONFIG, [].append)
    answer = assess_risk_and_size(question, BasePolicy())
    decision = finalise(leave(), at, found, answer, given, CONFIG)
    assert decision.intent is not None and decision.intent.regime == ""


def test_validity_is_counted_in_bars() -> None:
    """ORC-14"""
    at = snapshot()
    assert valid_until_ms(at, replace(CONFIG, validity_bars=3)) == at.event.ts_ms + 180_000


def test_a_decision_without_new_records_is_left_as_it_is() -> None:
    decision = decided()
    assert with_records(decision, (), {}) is decision


# -- the id of an order ----------------------------------------------------------------------------

PARTS: tuple[Any, ...] = ("main", "run", "one", "BTC/USDT", 60_000, 0)


def test_an_order_id_is_the_installation_and_twenty_six_characters_of_a_hash() -> None:
    """D-19: 32 lowercase hex characters; the literal keeps ids stable over releases."""
    made = client_order_id(INSTALLATION, *PARTS)
    assert len(made) == 32
    assert set(made) <= set("0123456789abcdef")
    assert made.startswith(INSTALLATION)
    assert made == client_order_id(INSTALLATION, *PARTS)
    assert made == "0a1b2ccf6180e8a38ee41462a7d24b31"


@pytest.mark.parametrize("part", range(6))
def test_every_part_of_a_decision_makes_another_id(part: int) -> None:
    """D-19, CTL-8: account, run, strategy, symbol, bar and leg."""
    other = list(PARTS)
    other[part] = other[part] + 1 if isinstance(other[part], int) else other[part] + "x"
    assert client_order_id(INSTALLATION, *other) != client_order_id(INSTALLATION, *PARTS)


texts = st.text(alphabet="ab:1", max_size=6)


@settings(max_examples=300, deadline=None)
@given(st.tuples(texts, texts, texts, texts), st.tuples(texts, texts, texts, texts))
def test_parts_never_run_together(first: tuple[str, ...], other: tuple[str, ...]) -> None:
    """D-19: ab + c is not a + bc."""
    ids = [client_order_id(INSTALLATION, *parts, 1, 0) for parts in (first, other)]  # type: ignore[arg-type]
    assert (ids[0] == ids[1]) == (first == other)


@pytest.mark.parametrize("installation", ["", "0a1b2", "0a1b2c3", "0A1B2C", "xyzxyz"])
def test_an_installation_that_is_not_six_hex_characters_is_refused(installation: str) -> None:
    """D-19"""
    with pytest.raises(ValueError, match="installation must be 6 lowercase hex characters"):
        client_order_id(installation, *PARTS)


def test_a_decision_repeated_after_a_restart_has_the_same_order_id() -> None:
    """D-19: and another strategy on the same bar has its own."""
    one, again, other = decided(), decided(), decided(entry(strategy="two"))
    ids = [d.intent.client_order_id for d in (one, again, other) if d.intent is not None]
    assert len(ids) == 3
    assert ids[0] == ids[1] != ids[2]
