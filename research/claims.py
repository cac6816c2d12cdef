"""Who works on a replay or a sweep: one process at a time, told by a slot, a fence and a word.

``slot`` is unique and set while a process works on the row. ``attempts`` is the fence: a process
that lost the row to a later one finds it no longer its own. ``claimed_until_at`` is pushed on by
every word of the process; when it has passed, the process is dead.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from research.models import QUEUED, RUNNING, Work

# A process that has not been heard of for so long is dead; it says a word every second.
CLAIM = timedelta(seconds=45)
SLOT = 1
FREE: dict[str, Any] = {"slot": None, "claimed_until_at": None}

Row = TypeVar("Row", bound=Work)


def claim_oldest(model: type[Row]) -> Row | None:
    """Take the oldest row that waits; None where there is none, or one is worked on already."""
    rows = model._default_manager
    waiting = rows.filter(status=QUEUED).order_by("created_at", "id").first()
    if waiting is None or rows.filter(slot=SLOT).exists():
        return None
    now = timezone.now()
    try:
        with transaction.atomic():
            taken = rows.filter(pk=waiting.pk, status=QUEUED, attempts=waiting.attempts).update(
                status=RUNNING,
                slot=SLOT,
                attempts=F("attempts") + 1,
                claimed_until_at=now + CLAIM,
                started_at=waiting.started_at or now,
                error="",
            )
    except IntegrityError:
        # the slot: another worker took another row in this moment
        return None
    if taken != 1:
        return None
    waiting.refresh_from_db()
    return waiting


def still_mine(row: Row) -> QuerySet[Row]:
    """Return the row as long as the process that read it has it: running, in this attempt."""
    rows: QuerySet[Row] = type(row)._default_manager.filter(
        pk=row.pk, status=RUNNING, attempts=row.attempts
    )
    return rows
