"""What the venue's refusals lead to: a closer look, a brake, and what must be done before it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from engine.ports import TradingState
from engine.types.orders import OrderIntent, OrderState, Rejection, Unanswered
from trades import models, order_watch, records
from trades.alerts import STOP_REFUSED, Alarm, Alert
from trades.brokers.clearances import Clearances
from trades.brokers.venue_client import refuses_keys
from trades.core.operating_limits import OperatingLimits
from trades.stops_back import StopsBack

logger = logging.getLogger(__name__)
CLOSED = "MarketClosed"  # ccxt's word; whether the order was taken only a query tells
# A halt waits so long, in seconds, for stops that are taken away for exits, and to put them back.
HALT_WAITS_S = 10.0


class Refusals:
    """The refusals of one session's orders. A halt that waits is lost with the process: the state
    is REDUCING by then, and the next refusal asks for the halt again."""

    def __init__(
        self,
        run: models.TradingRun,
        stops: StopsBack,
        clearances: Clearances,
        alarm: Alarm,
        limits: OperatingLimits,
        monotonic: Callable[[], float],
    ) -> None:
        self._run = run
        self._stops = stops
        self._clearances = clearances
        self._alarm = alarm
        self._limits = limits
        self._monotonic = monotonic
        self._was_refused = False
        self._halt: Alert | None = None
        self._halt_by_s = 0.0

    def take(self) -> bool:
        """True once after the venue refused an order: books or rules may no longer be right."""
        told, self._was_refused = self._was_refused, False
        return told

    def judge(self, intent: OrderIntent, answer: OrderState | Rejection | Unanswered) -> None:
        """Pull the brake where refusals show that going on is useless (F-052, F-056)."""
        if not isinstance(answer, Rejection):
            self._was_refused |= isinstance(answer, Unanswered) and CLOSED in answer.reason
            return
        self._was_refused = answer.by_venue
        self.heard(answer.code, answer.message)
        if intent.is_resting_protection:
            subject = f"{intent.strategy} {intent.symbol}"
            text = f"the venue refused the stop of {subject}: {answer.message}"
            self._alarm(Alert(STOP_REFUSED, subject, text))
            return
        alert = order_watch.judged_refusal(self._run.pk, answer.message, self._limits)
        if alert is not None:
            self._brake(alert)

    def heard(self, code: str, message: str) -> None:
        """Halt where it was our keys that were refused; any other refusal is noted."""
        if refuses_keys(code, message):
            text = f"the venue refused our keys: {message}"
            self._alarm(Alert("AUTH", str(self._run.pk), text, brake=TradingState.HALTED))
        else:
            logger.warning("refused run=%s code=%s", self._run.pk, code)

    def pull_due(
        self, may_send: Callable[[OrderIntent], bool], send: Callable[[OrderIntent], object]
    ) -> None:
        """Pull the halt that waits, once no stop is on its way and each that is owed has been sent
        again; ``may_send`` is False where the venue wants silence."""
        if self._halt is None:
            return
        is_late = self._monotonic() >= self._halt_by_s
        if not is_late and self._is_giving_way():
            return
        owed = self._stops.owed()
        sendable = [stop for stop in owed if may_send(records.order_intent(stop))]
        for stop in sendable:
            intent = self._stops.put_back(stop)
            if intent is not None:
                send(intent)
        if is_late or len(sendable) == len(owed):
            self._alarm(self._halt)
            self._halt = None

    def _is_giving_way(self) -> bool:
        """True while a stop of what is held is being taken away, or what it went for may still
        leave: halted now, the one would be gone and the other, refused, could not be made good."""
        return self._stops.is_unsettled() or self._clearances.are_awaited()

    def _brake(self, alert: Alert) -> None:
        """Pull it at once, but for a halt that would leave a position without exit and without the
        stop that gave way to it: entries end now, the rest once the stop is back."""
        is_halt = alert.brake is TradingState.HALTED
        if not is_halt or not (self._is_giving_way() or self._stops.owed()):
            self._alarm(alert)
            return
        if self._halt is None:
            self._halt_by_s = self._monotonic() + HALT_WAITS_S
        self._halt = alert
        text = f"{alert.text}; halted once the stops of what is held are back"
        self._alarm(replace(alert, text=text, brake=TradingState.REDUCING))
