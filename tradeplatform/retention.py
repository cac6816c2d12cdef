"""How long things are kept, all in one list: what is due now, and the part nobody else deletes.

Money is never in it: orders, fills, trades, equity, the audit log, alerts and incidents stay. Old
holds and samples have timers of their own (``trades.retention``, ``resources.maintenance``), shown
here so that one command says everything that goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction

from accounts.services import audit_record, idempotency_prune
from market.services import KEPT_BARS, candles_prune
from notifications.services import messages_prune
from resources.actions.disk import LOGS, Found, delete, files_in, root_of
from resources.services import KEPT, samples_due, samples_prune
from tradeplatform.configuration import Configuration
from trades.models import TradingRun
from trades.retention import Retention, holds_due
from trades.retention import retention_run as holds_thin

ACTION = "retention.run"


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of thing that is kept for a while. ``has_timer`` says that another task sees to it
    by itself; ``due`` counts without deleting, ``delete`` deletes and counts."""

    name: str
    rule: str
    has_timer: bool
    due: Callable[[], int]
    delete: Callable[[], int]


def parts(config: Configuration, *, now: datetime) -> tuple[Part, ...]:
    """Return everything that is deleted some day, with its rule in words."""
    kept, monitoring = config.retention, config.monitoring
    messages_before = now - timedelta(days=kept.messages_days)
    logs_before = now - timedelta(days=kept.packed_logs_days)
    samples = ", ".join(f"{span.total_seconds() / 3600:g} h" for span in KEPT.values())
    return (
        Part(
            "holds",
            f"after {monitoring.holds_kept_days:g} days of venue time one in"
            f" {monitoring.holds_kept_one_in} stays",
            True,
            _holds_due,
            lambda: sum(done["decisions_deleted"] for done in holds_thin().values()),
        ),
        Part(
            "samples",
            f"rounds, minutes and hours of resources: {samples}",
            True,
            lambda: samples_due(now=now),
            lambda: samples_prune(now=now),
        ),
        Part(
            "messages",
            f"ended messages of the outbox: {kept.messages_days:g} days",
            False,
            lambda: messages_prune(before=messages_before, dry_run=True),
            lambda: messages_prune(before=messages_before),
        ),
        Part(
            "candles",
            f"stored candles: {kept.candles_days:g} days, the newest {KEPT_BARS} of each stay",
            False,
            lambda: candles_prune(days=kept.candles_days, dry_run=True),
            lambda: candles_prune(days=kept.candles_days),
        ),
        Part(
            "idempotency_keys",
            "answers to repeated calls: 7 days",
            False,
            lambda: idempotency_prune(now, dry_run=True),
            lambda: idempotency_prune(now),
        ),
        Part(
            "packed_logs",
            f"rotated and packed logs: {kept.packed_logs_days:g} days",
            False,
            lambda: sum(1 for _ in packed_logs(logs_before)),
            lambda: sum(delete(_logs(), found) for found in list(packed_logs(logs_before))),
        ),
    )


def retention_run(
    config: Configuration, *, now: datetime, with_timers: bool = False, actor: str = "retention"
) -> dict[str, int]:
    """Delete what is past its days; counts by name go to the audit log where there are any.

    Args:
        with_timers: also what has a timer of its own.
    """
    done = {
        part.name: part.delete()
        for part in parts(config, now=now)
        if with_timers or not part.has_timer
    }
    if any(done.values()):
        with transaction.atomic():
            audit_record(actor=actor, action=ACTION, object_type="retention", after=done, at=now)
    return done


def packed_logs(before: datetime) -> Iterator[Found]:
    """Yield packed logs last written before then; never a log that is still written to."""
    for found in files_in(_logs()):
        if found.name.endswith(".gz") and found.modified_s < before.timestamp():
            yield found


def _logs() -> Path:
    return root_of(Path(settings.VAR_DIR), LOGS)


def _holds_due() -> int:
    return sum(
        holds_due(run=run, retention=Retention.of_run(run)) for run in TradingRun.objects.all()
    )
