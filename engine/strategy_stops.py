"""What takes the right to enter from one strategy until a person gives it back."""

from __future__ import annotations

from collections.abc import Sequence

from engine.ports import Gatekeeper, TradingState
from engine.types.decisions import Decision, Reason
from engine.types.orders import OrderIntent

# Denials that switch the strategy off besides (CTL-7).
REPEATED = frozenset({"REPEATED_ENTRIES", "REPEATED_ENTRIES_DAY"})
_ODD_FILLS = frozenset({"OVERFILL", "OVERSOLD"})


class StrategyStops:
    """Asks the gate to let a strategy only reduce what it holds. Times are event time."""

    def __init__(self, gatekeeper: Gatekeeper) -> None:
        self._gatekeeper = gatekeeper

    def odd_fill(self, reasons: Sequence[Reason], intent: OrderIntent, at_ms: int) -> None:
        """An overfill is booked, told, and stops the strategy from taking new risk (F-017)."""
        for reason in reasons:
            if reason.code in _ODD_FILLS:
                self._stop(intent.strategy, reason.code, reason.text, at_ms)

    def streak(self, strategy: str, losses: int, limit: int, at_ms: int) -> None:
        """So many losing trades in a row stop a strategy (CTL-10)."""
        if losses >= limit:
            text = f"{strategy} lost {losses} trades in a row, limit was {limit}"
            self._stop(strategy, "LOSS_STREAK", text, at_ms)

    def repeats(self, decision: Decision, at_ms: int) -> None:
        """A strategy that would enter once too often takes no new risk until a person looks."""
        if decision.reason_code in REPEATED:
            text = f"{decision.strategy} on {decision.symbol}: {decision.reasons[0].text}"
            self._stop(decision.strategy, decision.reason_code, text, at_ms)

    def _stop(self, strategy: str, code: str, text: str, at_ms: int) -> None:
        scope = f"strategy:{strategy}"
        self._gatekeeper.escalate(TradingState.REDUCING, code, text, at_ms, scope=scope)
