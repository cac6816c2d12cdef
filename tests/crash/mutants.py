"""Known bugs, to be planted in the workers of the harness: each must turn it red (T4).

They are what peers did and paid for: see the pointers of the fault matrix.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

VARIABLE = "TRADEPLATFORM_CRASH_MUTANT"


def send_before_the_claim() -> None:
    """Place first, record second: a death in between leaves an order nobody remembers sending."""
    broker = import_module("trades.brokers.ccxt_live")
    oms = import_module("trades.oms")
    failpoint = broker.failpoint

    def send(self: Any, intent: Any, *, resend: bool = False) -> Any:
        answer = self._client.send(intent)
        failpoint("oms.before_send")
        failpoint("oms.after_send")
        claim = oms.claim_for_send(intent.client_order_id, self._fence, resend=resend)
        if isinstance(claim, oms.Claim):
            oms.record_answer(intent.client_order_id, answer, self._fence)
        return answer

    broker.VenueBroker.send = send
    reconciler = import_module("trades.reconcile").RunReconciler
    # without a record of the send, an intent on disk looks unsent and is sent again
    reconciler._settle_unsent = lambda self, order, report: self._broker.send(
        import_module("trades.records").order_intent(order)
    )


def random_client_ids() -> None:
    """An id of its own a send: nothing can be found again, nobody refuses the second."""
    client = import_module("trades.brokers.venue_client").VenueClient
    true_send = client.send
    client.send = lambda self, intent: true_send(
        self, replace(intent, client_order_id=secrets.token_hex(16))
    )


def retry_on_timeout() -> None:
    """No answer taken for a refusal: send again at once."""
    client = import_module("trades.brokers.venue_client").VenueClient
    unanswered = import_module("engine.types.orders").Unanswered
    true_send = client.send

    def send(self: Any, intent: Any) -> Any:
        answer = true_send(self, intent)
        return true_send(self, intent) if isinstance(answer, unanswered) else answer

    client.send = send


def fills_seen_not_booked() -> None:
    """Told apart when heard, not when booked: a rolled-back fill is never fetched again."""
    broker = import_module("trades.brokers.ccxt_live").VenueBroker
    models = import_module("trades.models")
    true_unbooked = broker._unbooked

    def unbooked(self: Any, symbol: str, trades: Any) -> Any:
        fresh = []
        for trade in true_unbooked(self, symbol, trades):
            key = f"seen:{symbol}:{trade.trade_id}"
            _, is_new = models.ControlState.objects.get_or_create(
                scope=key, defaults={"actor": "mutant", "changed_at": self._run.started_at}
            )
            if is_new:
                fresh.append(trade)
        return fresh

    broker._unbooked = unbooked


MUTANTS: dict[str, Callable[[], None]] = {
    "send-before-the-claim": send_before_the_claim,
    "random-client-ids": random_client_ids,
    "retry-on-timeout": retry_on_timeout,
    "fills-seen-not-booked": fills_seen_not_booked,
}


def plant(name: str) -> None:
    """Plant the mutant of that name; none for an empty one."""
    if name:
        MUTANTS[name]()
