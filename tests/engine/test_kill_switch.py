"""The kill switch where no row is asked: replay and side books, right before an order leaves."""

from __future__ import annotations

from typing import Any

import pytest

from engine.kill_switch import barred_by, nothing_barred
from engine.ports import TradingState
from engine.types.orders import Purpose
from tests.engine.books import intent
from tests.engine.phases.scene import Gate


@pytest.mark.parametrize(
    ("state", "purpose", "may"),
    [
        (TradingState.ACTIVE, Purpose.ENTRY, True),
        (TradingState.ACTIVE, Purpose.EXIT, True),
        (TradingState.REDUCING, Purpose.ENTRY, False),
        (TradingState.REDUCING, Purpose.EXIT, True),
        (TradingState.HALTED, Purpose.ENTRY, False),
        (TradingState.HALTED, Purpose.EXIT, False),
    ],
)
def test_what_leaves_is_what_a_claim_with_rows_would_let_leave(
    state: TradingState, purpose: Purpose, may: bool
) -> None:
    """CTL-13: the same table as in the transaction that sends; the refusal is our own."""
    order: Any = intent(purpose=purpose)
    refusal = barred_by(Gate(state=state, reason="fell"))(order)
    assert (refusal is None) is may
    if refusal is not None:
        assert (refusal.code, refusal.message, refusal.by_venue) == (state.value, "fell", False)
    assert nothing_barred(order) is None


def test_a_gate_that_cannot_be_read_lets_nothing_leave() -> None:
    """D-03: it raises, and the event fails as a claim would."""
    with pytest.raises(ConnectionError):
        barred_by(Gate(broken=True))(intent())
