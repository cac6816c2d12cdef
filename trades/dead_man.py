"""The venue cancels our resting entries if we fall silent, where it can count down (CTL-14).

A countdown cancels every order of the account, protective stops too. So it runs only while an
entry rests and no stop does: a dead platform must not take the protection of what it holds with
it. Venues without one keep resting entries until the watchdog has brought the worker back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from engine.types.orders import OrderStatus, OrderType, Purpose
from trades import models
from trades.send_rules import AT_THE_VENUE

COUNTDOWN_S = 60.0
BEAT_S = 20.0
_AT_VENUE = (OrderStatus.OPEN, OrderStatus.PARTIAL, OrderStatus.PENDING_CANCEL)


class Countdown(Protocol):
    """A venue that may cancel everything unless it hears from us."""

    @property
    def can_count_down(self) -> bool: ...

    def cancel_all_after(self, seconds: float) -> str:
        """Start the countdown anew, 0 ends it; return why it did not, empty where it did."""


class DeadMan:
    """Keeps one run's countdown going; ``beat`` is called at every advance."""

    def __init__(
        self,
        run_id: int,
        venue: Countdown,
        *,
        told: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``told`` hears why a countdown could not be started or ended, once per reason, and an
        empty text when it can be again."""
        self._run_id = run_id
        self._venue = venue
        self._told = told
        self._monotonic = monotonic
        # where an entry rested when the process before this one died, its countdown may go on
        self._is_running = self._entry_rests()
        self._due_at_s = monotonic()
        self._failure = ""

    def beat(self) -> None:
        if not self._venue.can_count_down:
            return
        is_wanted = self._is_wanted()
        if not is_wanted and not self._is_running:
            return
        # one that is not wanted any more ends at once: a stop may rest by now
        if is_wanted and self._monotonic() < self._due_at_s:
            return
        failure = self._venue.cancel_all_after(COUNTDOWN_S if is_wanted else 0.0)
        if failure != self._failure:
            self._failure = failure
            self._told(failure)
        if failure:
            # a countdown that goes on by itself ends entries only: asked again at the next beat
            return
        self._is_running = is_wanted
        self._due_at_s = self._monotonic() + (BEAT_S if is_wanted else 0.0)

    def _is_wanted(self) -> bool:
        if not self._entry_rests():
            return False
        # the account may be shared by runs, by two keys of it too, and a stop without an answer
        # may rest all the same
        venue = models.TradingRun.objects.filter(pk=self._run_id).values("venue")
        protective = models.Order.objects.filter(
            run__venue__in=venue, purpose=Purpose.EXIT, status__in=AT_THE_VENUE
        )
        return not protective.exclude(order_type=OrderType.MARKET.value).exists()

    def _entry_rests(self) -> bool:
        return models.Order.objects.filter(
            run_id=self._run_id, purpose=Purpose.ENTRY, status__in=_AT_VENUE
        ).exists()
