"""What a broker remembers between taking a stop away and sending what it gave way to."""

from __future__ import annotations

from collections.abc import Callable

from engine.types.orders import OrderIntent
from trades.send_rules import Clearance

# A halt means nothing leaves: an exit that was cleared before it has so long.
GOOD_FOR_S = 10.0


class Clearances:
    """The clearances of one session, by position; a process that dies takes them along."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._given: dict[tuple[str, str], tuple[float, Clearance]] = {}

    def keep(self, clearance: Clearance | None) -> None:
        """Remember what a stop was taken away for; None clears nothing."""
        if clearance is not None:
            key = clearance.strategy, clearance.symbol
            self._given[key] = (self._monotonic(), clearance)

    def of(self, intent: OrderIntent) -> Clearance | None:
        """Return the clearance of the intent's position while it is good, else None."""
        key = intent.strategy, intent.symbol
        at_s, clearance = self._given.get(key, (float("-inf"), None))
        if self._monotonic() - at_s <= GOOD_FOR_S:
            return clearance
        self._given.pop(key, None)
        return None
