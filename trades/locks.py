"""Locks on entries: a person keeps a strategy, or all of them, out of a symbol."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.services import audit_record
from trades.errors import ControlRefused, LockRefused, RequestRefused
from trades.models import EntryLock
from trades.requests import checked_reason
from trades.services import check_scope


def lock_set(
    *,
    symbol: str,
    actor: str,
    reason: str,
    strategy: str = "",
    expires_at: datetime | None = None,
    now: datetime | None = None,
) -> EntryLock:
    """Keep entries out of ``symbol`` (of ``strategy`` only, where one is named) until it is lifted
    or until ``expires_at`` in venue time; exits and cancels go on. ``now`` is the venue's time.

    Raises:
        LockRefused: an unknown symbol or strategy, no reason, or an end that has passed.
    """
    now = now or timezone.now()
    try:
        reason = checked_reason(reason)
        check_scope(f"symbol:{symbol}")
        if strategy:
            check_scope(f"strategy:{strategy}")
    except (ControlRefused, RequestRefused) as error:
        raise LockRefused(str(error)) from error
    if expires_at is not None and expires_at <= now:
        raise LockRefused(
            f"expires_at was {expires_at:%Y-%m-%d %H:%M} UTC, allowed: after {now:%Y-%m-%d %H:%M}"
        )
    with transaction.atomic():
        row = EntryLock.objects.create(
            symbol=symbol,
            strategy=strategy,
            reason=reason,
            actor=actor,
            created_at=now,
            expires_at=expires_at,
        )
        audit_record(
            actor=actor,
            action="lock.set",
            object_type="lock",
            object_id=str(row.pk),
            reason=reason,
            after={"symbol": symbol, "strategy": strategy, "expires_at": expires_at},
        )
    return row


def lock_lift(*, lock: EntryLock, actor: str, reason: str) -> bool:
    """End a lock; return False where it was lifted before.

    Raises:
        LockRefused: no reason was given.
    """
    try:
        reason = checked_reason(reason)
    except RequestRefused as error:
        raise LockRefused(str(error)) from error
    with transaction.atomic():
        changed = EntryLock.objects.filter(pk=lock.pk, lifted_at__isnull=True).update(
            lifted_at=timezone.now(), lifted_by=actor
        )
        if changed:
            audit_record(
                actor=actor,
                action="lock.lift",
                object_type="lock",
                object_id=str(lock.pk),
                reason=reason,
                before={"symbol": lock.symbol, "strategy": lock.strategy, "reason": lock.reason},
            )
    return bool(changed)


def lock_standing(at: datetime) -> QuerySet[EntryLock]:
    """Return the locks that keep entries out at ``at`` (venue time), newest first."""
    unended = Q(expires_at__isnull=True) | Q(expires_at__gt=at)
    return EntryLock.objects.filter(unended, lifted_at__isnull=True)
