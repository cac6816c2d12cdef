"""What the venue's refusals lead to: a closer look, a brake, and what must be done before it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from engine.ports import TradingState
from engine.types.orders import OrderIntent, OrderState, Rejection, Unanswered
from trades import models, order_watch, records, stops_back
from trades.alerts import STOP_REFUSED, Alarm, Alert
from trades.brokers.venue_client import refuses_keys
from trades.core.operating_limits import OperatingLimits
from trades.lease import Fence

logger = logging.getLogger(__name__)
CLOSED = "MarketClosed"  # ccxt's word; whether the order was taken only a query tells
# A halt waits so long, in seconds, for the stops that refused exits had taken away.
HALT_WAITS_S = 10.0


class Refusals:
    """The refusals of one session's orders. A halt that waits is lost with the process: the state
    is REDUCING by then, and the next refusal asks for the halt again."""

    def __init__(
        self,
        run: models.TradingRun,
        fence: Fence,
        alarm: Alarm,
        limits: OperatingLimits,
        monotonic: Callable[[], float],
    ) -> None:
        self._run = run
        self._fence = fence
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
        """Pull the halt that waits, once each stop that is owed has been sent again; ``may_send``
        is False where the venue wants silence."""
        if self._halt is None:
            return
        owed = stops_back.owed(self._run)
        sendable = [stop for stop in owed if may_send(records.order_intent(stop))]
        for stop in sendable:
            intent = stops_back.put_back(stop, self._run, self._fence)
            if intent is not None:
                send(intent)
        if len(sendable) == len(owed) or self._monotonic() >= self._halt_by_s:
            self._alarm(self._halt)
            self._halt = None

    def _brake(self, alert: Alert) -> None:
        """Pull it at once, but for a halt that would leave a position without exit and without the
        stop that gave way to it: entries end now, the rest once the stop is back."""
        if alert.brake is not TradingState.HALTED or not stops_back.owed(self._run):
            self._alarm(alert)
            return
        if self._halt is None:
            self._halt_by_s = self._monotonic() + HALT_WAITS_S
        self._halt = alert
        text = f"{alert.text}; halted once the stops of what is held are back"
        self._alarm(replace(alert, text=text, brake=TradingState.REDUCING))
