"""Requests are taken back and locks lifted on the admin pages, each with a reason."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse

from accounts.models import AuditEvent
from tests.accounts.callers import PASSWORD, by_session
from tests.trades.rows import START, make_everything
from trades.locks import lock_set
from trades.models import EntryLock, OperatorRequest, TradingRun, VenueTransfer
from trades.requests import request_adjust

pytestmark = pytest.mark.django_db
REQUESTS = reverse("admin:trades_operatorrequest_changelist")
LOCKS = reverse("admin:trades_entrylock_changelist")


@pytest.fixture
def run() -> TradingRun:
    return make_everything()


def asked(run: TradingRun) -> OperatorRequest:
    return request_adjust(run=run, asset="USDT", amount=Decimal(5), actor="ann", reason="topped up")


def test_a_waiting_request_is_withdrawn_with_a_reason(run: TradingRun) -> None:
    """D-59, SEC-33: first the question, then the act and its audit row."""
    row, admin = asked(run), by_session("admin")
    selected = {ACTION_CHECKBOX_NAME: [row.pk], "action": "withdraw_selected"}
    page = admin.post(REQUESTS, selected).content.decode()
    assert "will not carry them out" in page and "topped up" in page
    admin.post(REQUESTS, selected | {"apply": "1", "reason": " "})
    row.refresh_from_db()
    assert row.status == "WAITING"
    admin.post(REQUESTS, selected | {"apply": "1", "reason": "twice"})
    row.refresh_from_db()
    assert (row.status, row.outcome) == ("REFUSED", "withdrawn by admin-user: twice")
    event = AuditEvent.objects.get(action="request.withdraw")
    assert (event.object_id, event.reason, event.actor) == (str(row.pk), "twice", "admin-user")


@pytest.mark.parametrize("fields", [{"status": "DONE"}, {"status": "WORKING"}, {"kind": "flatten"}])
def test_what_is_carried_out_or_flattens_cannot_be_withdrawn(
    run: TradingRun, fields: dict[str, str]
) -> None:
    """I-17: a crash between worker and page leaves no request both done and withdrawn."""
    row = asked(run)
    OperatorRequest.objects.update(**fields)
    before = OperatorRequest.objects.values().get()
    selected = {ACTION_CHECKBOX_NAME: [row.pk], "action": "withdraw_selected"}
    answer = by_session("admin").post(
        REQUESTS, selected | {"apply": "1", "reason": "x"}, follow=True
    )
    assert "allowed: one that waits" in answer.content.decode()
    assert OperatorRequest.objects.values().get() == before
    assert not AuditEvent.objects.filter(action="request.withdraw").exists()


def test_a_lock_is_lifted_with_a_reason_and_the_password(run: TradingRun) -> None:
    """SEC-19: it lets more be traded than before."""
    lock = lock_set(
        symbol=run.symbols[0],
        actor="ann",
        reason="news",
        expires_at=START + timedelta(days=36_500),
        now=START,
    )
    admin = by_session("admin")
    selected = {ACTION_CHECKBOX_NAME: [lock.pk], "action": "lift_selected", "apply": "1"}
    admin.post(LOCKS, selected | {"reason": "calm", "password": "wrong"})
    assert EntryLock.objects.get().lifted_at is None
    admin.post(LOCKS, selected | {"reason": "calm", "password": PASSWORD})
    assert EntryLock.objects.get().lifted_by == "admin-user"
    assert AuditEvent.objects.filter(action="lock.lift", reason="calm").exists()


def test_requests_locks_and_transfers_are_looked_at_and_never_edited(run: TradingRun) -> None:
    row = asked(run)
    VenueTransfer.objects.create(
        run=run,
        venue_id="d1",
        is_deposit=True,
        asset="USDT",
        amount=Decimal(5),
        fee=Decimal(0),
        transferred_at=START,
        noticed_at=START,
        request=row,
    )
    admin = by_session("admin")
    rows = {"operatorrequest": row.pk, "venuetransfer": VenueTransfer.objects.get().pk}
    for model, pk in rows.items():
        assert admin.get(reverse(f"admin:trades_{model}_changelist")).status_code == 200
        change = reverse(f"admin:trades_{model}_change", args=[pk])
        assert admin.get(change).status_code == 200
        assert admin.post(change, {}).status_code == 403
