"""What the kill switch says of an order right before it leaves, where no row is asked.

Brokers with rows ask them in the transaction that sends. A broker on paper in memory asks the gate
of its book: what this event's own breakers have stopped since the decision does not leave there
either, so that replay, side books and live runs decide alike.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.ports import Gatekeeper, TradingState
from engine.types.orders import OrderIntent, Purpose, Rejection

Barred = Callable[[OrderIntent], Rejection | None]


def nothing_barred(intent: OrderIntent) -> Rejection | None:
    """Let everything leave."""
    return None


def barred_by(gate: Gatekeeper) -> Barred:
    """Return what tells why ``gate`` lets an order not leave now, None where it may."""

    def barred(intent: OrderIntent) -> Rejection | None:
        state = gate.trading_state(intent.symbol, intent.strategy)
        is_entry = intent.purpose is Purpose.ENTRY
        if state is TradingState.HALTED or (state is TradingState.REDUCING and is_entry):
            reason = gate.state_reason(intent.symbol, intent.strategy)
            return Rejection(state.value, reason, by_venue=False)
        return None

    return barred
