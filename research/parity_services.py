"""Writes of judged days: claimed once, stored once."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from research.models import ParityDay
from research.parity import Parity, days_due, runs_judged
from trades.models import TradingRun

MOST_KEPT = 300
# A process that has not ended after so long is dead; the third one is not followed by another.
PATIENCE = timedelta(hours=1)
MAX_ATTEMPTS = 3


def parity_claim(*, now: datetime | None = None) -> ParityDay | None:
    """Take the oldest day of one open run that nobody has judged; None where all are, in work, or
    given up after ``MAX_ATTEMPTS``."""
    now = now or timezone.now()
    for run in runs_judged().order_by("id"):
        for day in days_due(run):
            taken = _take(run, day, now)
            if taken is not None:
                return taken
    return None


def _take(run: TradingRun, day: date, now: datetime) -> ParityDay | None:
    found = ParityDay.objects.filter(run=run, day=day).first()
    if found is None:
        try:
            with transaction.atomic():
                return ParityDay.objects.create(run=run, day=day, started_at=now)
        except IntegrityError:
            # another knock took it in this moment
            return None
    lost = ParityDay.objects.filter(
        pk=found.pk,
        finished_at=None,
        started_at__lt=now - PATIENCE,
        attempts=found.attempts,
        attempts__lt=MAX_ATTEMPTS,
    )
    if lost.update(started_at=now, attempts=F("attempts") + 1) != 1:
        return None
    found.refresh_from_db()
    return found


def parity_store(
    *, run: TradingRun, day: date, found: Parity, now: datetime | None = None
) -> ParityDay:
    """Store what a day came to, in the place of what was stored of it before."""
    now = now or timezone.now()
    fields = {
        "finished_at": now,
        "bars": found.bars,
        "decisions": found.decisions,
        "redone": found.redone,
        "same": found.same,
        "orders": found.orders,
        "slippage_bps": found.slippage_bps,
        "counts": found.counts,
        "unexplained": found.unexplained,
        # those that want a look first
        "differences": [
            asdict(one)
            for one in sorted(found.differences, key=lambda one: (one.is_explained, one.at_ms))
        ][:MOST_KEPT],
        "code_version": settings.CODE_VERSION,
    }
    row, _ = ParityDay.objects.update_or_create(
        run=run, day=day, defaults=fields, create_defaults=fields | {"started_at": now}
    )
    return row
