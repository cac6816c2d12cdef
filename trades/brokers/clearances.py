"""What a broker remembers between taking a stop away and sending what it gave way to."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction
from django.utils import timezone

from engine.types.orders import OrderIntent, OrderStatus
from trades import models
from trades.send_rules import Clearance, clearance_of, guards_in_a_halt

# A halt means nothing leaves: an exit that was cleared before it has so long, from when its stop
# was asked to go, and again from when the stop is seen to have gone.
GOOD_FOR_S = 10.0
# Never later than so long after its stop was last asked to go, however late the venue's word on
# that comes: an order that is undecided for that long is told of by itself (I-23).
LATEST_S = 120.0
_NONE = (float("-inf"), float("-inf"), None)


class Clearances:
    """The clearances of one session, one a position; a process that dies takes them along."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        # by position: when its time began to count, when its stop was asked to go
        self._given: dict[tuple[str, str], tuple[float, float, Clearance]] = {}

    def keep(self, clearance: Clearance | None) -> None:
        """Remember what a stop was taken away for; None clears nothing."""
        if clearance is not None:
            now_s, key = self._monotonic(), (clearance.strategy, clearance.symbol)
            self._given[key] = (now_s, now_s, clearance)

    def seen(self, order: models.Order) -> None:
        """Count the time anew where this order is the stop that went and has ended by now.

        Until then the exit could not leave: a venue that takes its time over the cancel must not
        spend the exit's.
        """
        key = order.strategy, order.symbol
        _, asked_s, clearance = self._given.get(key, _NONE)
        has_ended = OrderStatus(order.status).is_terminal
        if clearance is not None and has_ended and clearance.stop_id == order.pk:
            self._given[key] = (self._monotonic(), asked_s, clearance)

    def may_ask_again(self, order: models.Order) -> bool:
        """True where a cancel that was lost may be repeated; what a stop makes room for by now is
        cleared then. False for a stop that guards on in a halt."""
        with transaction.atomic():
            clearance = clearance_of(order, timezone.now())
            if clearance is None and guards_in_a_halt(order):
                return False
        self.keep(clearance)
        return True

    def of(self, intent: OrderIntent) -> Clearance | None:
        """Return the clearance of the intent's position while it is good, else None."""
        return self._good((intent.strategy, intent.symbol))

    def are_awaited(self) -> bool:
        """True while an order that was not sent yet may leave by one of them."""
        good = [clearance for key in self._given if (clearance := self._good(key)) is not None]
        return any(clearance.covered().exists() for clearance in good)

    def _good(self, key: tuple[str, str]) -> Clearance | None:
        at_s, asked_s, clearance = self._given.get(key, _NONE)
        now_s = self._monotonic()
        # one that is too old stays: its stop may not have ended yet
        is_good = now_s - at_s <= GOOD_FOR_S and now_s - asked_s <= LATEST_S
        return clearance if is_good else None
