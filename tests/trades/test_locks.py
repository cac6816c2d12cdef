"""A lock keeps entries out of a symbol, at the decision and at the wire, and lets exits go."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from engine.types.orders import Rejection
from tests.trades.asked_run import Quiet
from tests.trades.order_factory import (
    BTC,
    STRATEGY,
    held_fence,
    make_intent,
    make_run,
    write_intent,
)
from trades import oms
from trades.errors import LockRefused
from trades.gate import DatabaseGatekeeper
from trades.locks import lock_lift, lock_set, lock_standing
from trades.records import moment

pytestmark = pytest.mark.django_db


def gate(run: object) -> DatabaseGatekeeper:
    return DatabaseGatekeeper(run, lambda: True, Quiet())  # type: ignore[arg-type]


def test_the_gate_says_who_locked_what_and_until_when() -> None:
    """D-59: by symbol, or by strategy and symbol; its end is venue time."""
    run = make_run()
    now = moment(1_700_000_000_000)
    lock_set(
        symbol=BTC,
        strategy=STRATEGY,
        actor="anna",
        reason="listing",
        expires_at=now + timedelta(minutes=1),
        now=now,
    )
    reader = gate(run)
    reader.observe(1_700_000_000_000)
    words = reader.entry_lock(BTC, STRATEGY)
    assert words == f"{BTC} {STRATEGY} by anna until 2023-11-14 22:14 UTC: listing"
    assert reader.entry_lock(BTC, "breakout") == ""
    assert reader.entry_lock("ETH/USDT", STRATEGY) == ""
    reader.observe(1_700_000_060_001)
    assert reader.entry_lock(BTC, STRATEGY) == ""


def test_an_entry_decided_before_the_lock_is_stopped_at_the_wire_and_an_exit_is_not() -> None:
    """D-59, I-9: the lock is read in the transaction that sends."""
    run = make_run()
    fence = held_fence(run)
    entry, exit_ = make_intent(), make_intent()
    write_intent(run, entry)
    lock_set(symbol=BTC, actor="anna", reason="listing", now=moment(entry.decided_at_ms))
    refused = oms.claim_for_send(entry.client_order_id, fence)
    assert isinstance(refused, Rejection)
    assert (refused.code, refused.message) == (
        "LOCKED",
        f"entries are locked: {BTC} by anna: listing",
    )
    order = write_intent(run, exit_)
    order.purpose = "exit"
    order.save(update_fields=["purpose"])
    answer = oms.claim_for_send(exit_.client_order_id, fence)
    assert getattr(answer, "code", "") != "LOCKED"


def test_lifting_is_audited_and_happens_once() -> None:
    make_run()
    row = lock_set(symbol=BTC, actor="anna", reason="listing")
    assert lock_standing(timezone.now()).exists()
    assert lock_lift(lock=row, actor="bert", reason="over")
    assert not lock_lift(lock=row, actor="bert", reason="over")
    assert not lock_standing(timezone.now()).exists()
    actions = list(AuditEvent.objects.filter(object_type="lock").values_list("action", flat=True))
    assert sorted(actions) == ["lock.lift", "lock.set"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"symbol": "DOGE/USDT"}, "allowed: global, or symbol: with one of"),
        ({"strategy": "nobody"}, "allowed: global, or strategy: with one of"),
        ({"reason": ""}, "reason had 0"),
        ({"expires_at": timezone.now() - timedelta(days=1)}, "allowed: after"),
    ],
)
def test_a_lock_that_locks_nothing_is_refused(given: dict[str, object], text: str) -> None:
    make_run()
    with pytest.raises(LockRefused, match=text):
        lock_set(**{"symbol": BTC, "actor": "anna", "reason": "x"} | given)  # type: ignore[arg-type]
