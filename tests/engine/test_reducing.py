"""Orders that no decision asked for reduce, and are named as surely as those of decisions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from engine.client_ids import client_order_id
from engine.lots import Position
from engine.reducing import reducing_intent
from engine.types.opinions import Side
from engine.types.orders import Cause, OrderIntent, OrderType, Purpose

IDENTITY = {"installation": "a1b2c3", "account": "main", "run_code": "run"}
ONE = Decimal(1)


def held(quantity: str = "1") -> Position:
    return Position("ema-trend", "BTC/USDT", Decimal(quantity), Decimal(100), Decimal(95))


def ask(position: Position | None = None, **changes: Any) -> OrderIntent:
    given: dict[str, Any] = {
        **IDENTITY,
        "cause": Cause.REQUEST,
        "cause_id": "7",
        "quantity_base": ONE,
        "reference_price": Decimal(100),
        "at_ms": 60_000,
        "reason_code": "MANUAL_CLOSE",
    }
    return reducing_intent(position or held(), **given | changes)


def test_it_takes_the_other_side_of_what_is_held() -> None:
    """I-21: an order without a decision is an exit, never an entry."""
    assert (ask().side, ask().purpose) == (Side.SELL, Purpose.EXIT)
    assert ask(held("-1")).side is Side.BUY
    stop = ask(cause=Cause.PROTECTION, order_type=OrderType.STOP, stop_price=Decimal(95))
    assert (stop.order_type, stop.stop_price) == (OrderType.STOP, Decimal(95))


@pytest.mark.parametrize("quantity", ["0", "-1", "1.0001"])
def test_more_than_is_held_is_refused(quantity: str) -> None:
    """I-21."""
    with pytest.raises(ValueError, match=f"was {quantity}"):
        ask(quantity_base=Decimal(quantity))


def test_the_cause_must_not_be_a_decision() -> None:
    """ORC-03: what phase 8 decides is built there."""
    with pytest.raises(ValueError, match="phase 8"):
        ask(cause=Cause.DECISION)


def test_its_name_repeats_and_tells_causes_apart() -> None:
    """D-19, I-1: the same request is the same order after a restart; nothing else is."""
    assert ask().client_order_id == ask().client_order_id
    names = {
        ask().client_order_id,
        ask(cause_id="8").client_order_id,
        ask(cause=Cause.PROTECTION).client_order_id,
        ask(leg=1).client_order_id,
        client_order_id(*IDENTITY.values(), "ema-trend", "BTC/USDT", 60_000, 0),
    }
    assert len(names) == 5
