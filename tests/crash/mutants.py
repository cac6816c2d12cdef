"""Eleven bugs that peers had and paid for, each to be planted in the product (T4).

A check that stays green with one of them is blind. ``plant`` puts one into a worker of the crash
harness for good; ``tests.crash.test_mutants`` plants each beside the check that must see it.
``python -m tests.crash.mutants`` runs those and prints a table.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

VARIABLE = "TRADEPLATFORM_CRASH_MUTANT"
Put = Callable[[Any, str, Any], None]


def send_before_the_claim(put: Put) -> None:
    """Place first, record second: a death in between leaves an order nobody remembers sending."""
    broker = import_module("trades.brokers.ccxt_live")
    oms = import_module("trades.oms")

    def send(self: Any, intent: Any, *, resend: bool = False) -> Any:
        answer = self._client.send(intent)
        broker.failpoint("oms.before_send")
        broker.failpoint("oms.after_send")
        claim = oms.claim_for_send(intent.client_order_id, self._fence, resend=resend)
        if isinstance(claim, oms.Claim):
            oms.record_answer(intent.client_order_id, answer, self._fence)
        return answer

    put(broker.VenueBroker, "send", send)
    records = import_module("trades.records")
    # without a record of the send, an intent on disk looks unsent and is sent again
    put(
        import_module("trades.reconcile").RunReconciler,
        "_settle_unsent",
        lambda self, order, report: self._broker.send(records.order_intent(order)),
    )


def random_client_ids(put: Put) -> None:
    """An id of its own a send: nothing can be found again, nobody refuses the second."""
    client = import_module("trades.brokers.venue_client").VenueClient
    true_send = client.send
    put(
        client,
        "send",
        lambda self, intent: true_send(
            self, replace(intent, client_order_id=secrets.token_hex(16))
        ),
    )


def retry_on_timeout(put: Put) -> None:
    """No answer taken for a refusal: send again at once."""
    client = import_module("trades.brokers.venue_client").VenueClient
    unanswered = import_module("engine.types.orders").Unanswered
    true_send = client.send

    def send(self: Any, intent: Any) -> Any:
        answer = true_send(self, intent)
        return true_send(self, intent) if isinstance(answer, unanswered) else answer

    put(client, "send", send)


def fills_seen_not_booked(put: Put) -> None:
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

    put(broker, "_unbooked", unbooked)


def no_grace_before_resend(put: Put) -> None:
    """One "no such order" right after the send is believed, and the exit is sent again."""
    oms = import_module("trades.oms")
    records = import_module("trades.records")
    reconciler = import_module("trades.reconcile").RunReconciler

    def missed(self: Any, order: Any, report: Any) -> None:
        oms.record_miss(order.client_order_id, self._fence)
        self._broker.send(records.order_intent(order), resend=True)

    put(reconciler, "_is_young", lambda self, order: False)
    put(reconciler, "_missed", missed)


def periods_may_repeat(put: Put) -> None:
    """No unique period: whoever is knocked on makes an update, however often."""
    services = import_module("optimization.services")
    models = import_module("optimization.models")

    def claim(book: str, venue_now: Any, interval_s: float, now: Any) -> Any:
        return models.UpdatePeriod.objects.create(
            book=book,
            period_at=now,
            interval_s=interval_s,
            status=models.UpdateStatus.CLAIMED,
            claimed_at=now,
        )

    put(services, "_claim", claim)


def deferred_transactions(put: Put) -> None:
    """SQLite's own default: a transaction that reads first cannot always write afterwards."""
    wrapper = import_module("django.db.backends.sqlite3.base").DatabaseWrapper
    put(
        wrapper,
        "_start_transaction_under_autocommit",
        lambda self: self.cursor().execute("BEGIN DEFERRED"),
    )


def lease_without_fence(put: Put) -> None:
    """The lease is taken but no write looks at it."""
    put(import_module("trades.lease").Fence, "assert_held", lambda self: None)


def kill_flag_cached(put: Put) -> None:
    """The kill switch is read once a minute, not at each send."""
    oms = import_module("trades.oms")
    true_refusal = oms.refusal_of
    kept: dict[str, tuple[float, Any]] = {}

    def refusal(order: Any, entries_held: str) -> Any:
        at_s, answer = kept.get(order.purpose, (-60.0, None))
        if time.monotonic() - at_s >= 60.0:
            answer = true_refusal(order, entries_held)
            kept[order.purpose] = (time.monotonic(), answer)
        return answer

    put(oms, "refusal_of", refusal)


def clamp_before_finite(put: Put) -> None:
    """``max(low, min(high, m))`` first: what is not a number becomes the largest size there is."""
    sizing = import_module("engine.phases.risk_and_sizing")
    true_applied = sizing.applied_multiplier

    def applied(raw: float, status: Any, config: Any) -> Any:
        clamped = max(config.multiplier_min, min(config.multiplier_max, raw))
        return true_applied(clamped, status, config)

    put(sizing, "applied_multiplier", applied)


def cap_before_multiplier(put: Put) -> None:
    """The hard limits cut the base size, then the multiplier lifts it over them."""
    sizing = import_module("engine.phases.risk_and_sizing")
    limits = import_module("engine.limits")
    true_applied, true_apply = sizing.applied_multiplier, limits.apply
    last = [1.0]

    def applied(raw: float, status: Any, config: Any) -> Any:
        last[0], unfit = true_applied(raw, status, config)
        return last[0], unfit

    def apply(request: Any, caps: Any, risk: Any) -> Any:
        base = replace(request, quantity_base=float(request.quantity_base) / last[0])
        capped = true_apply(base, caps, risk)
        quantity = request.instrument.quantity(float(capped.quantity_base) * last[0])
        return replace(capped, quantity_base=quantity)

    put(sizing, "applied_multiplier", applied)
    put(limits, "apply", apply)


@dataclass(frozen=True)
class Mutant:
    """One bug, and the contract rows whose checks must turn red with it."""

    plant: Callable[[Put], None]
    rows: str

    @property
    def says(self) -> str:
        return str(self.plant.__doc__).strip().splitlines()[0]


MUTANTS: dict[str, Mutant] = {
    "record-after-send": Mutant(send_before_the_claim, "F-002 I-3"),
    "random-client-ids": Mutant(random_client_ids, "F-045 I-1"),
    "retry-on-timeout": Mutant(retry_on_timeout, "F-045 I-2"),
    "dedup-at-receipt": Mutant(fills_seen_not_booked, "F-016 I-3"),
    "no-grace-before-resend": Mutant(no_grace_before_resend, "F-047 I-2"),
    "no-unique-period": Mutant(periods_may_repeat, "F-079 I-12"),
    "deferred-transactions": Mutant(deferred_transactions, "F-033"),
    "lease-without-fence": Mutant(lease_without_fence, "F-010 I-16"),
    "kill-flag-cached": Mutant(kill_flag_cached, "F-103 I-9"),
    "clamp-before-finite": Mutant(clamp_before_finite, "F-075 I-11"),
    "cap-before-multiplier": Mutant(cap_before_multiplier, "F-086 I-10"),
}


def plant(name: str) -> None:
    """Plant the mutant of that name for the life of this process; none for an empty one."""
    if name:
        MUTANTS[name].plant(setattr)


def main() -> int:
    """Run the checks with and without each mutant; print which of them were seen."""
    pytest = import_module("pytest")
    seen: dict[str, tuple[str, float]] = {}

    class Outcomes:
        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.when == "call" or report.failed or report.skipped:
                seen[report.nodeid.partition("::")[2]] = (report.outcome, report.duration)

    tests = "tests/crash/test_mutants.py"
    code = pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", tests], plugins=[Outcomes()])
    width = max(map(len, MUTANTS))
    for name, mutant in MUTANTS.items():
        outcome, duration_s = seen.get(f"test_planted_bug_is_seen[{name}]", ("not run", 0.0))
        word = {"passed": "caught", "failed": "MISSED"}.get(outcome, outcome)
        print(f"{name:{width}}  {word:8} {duration_s:6.2f} s  {mutant.rows:12}  {mutant.says}")
    caught = sum(seen.get(f"test_planted_bug_is_seen[{n}]", ("",))[0] == "passed" for n in MUTANTS)
    print(f"{caught} of {len(MUTANTS)} caught")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
