"""Holds are sampled, everything else stays: how long decisions are kept.

A bar on which nobody proposed leaves a HOLD and its analysis. After some days one in so many of
them is enough to ask "why no trade?"; a decision on a proposal (a block is one) is never deleted,
nor is one that an order refers to, nor an analysis that any decision refers to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from accounts.audit import audit_record
from accounts.models import AuditEvent
from engine.phases.final_decision import PLATFORM
from engine.types.decisions import Action
from trades.models import Analysis, Decision, TradingRun
from trades.records import milliseconds

ACTION = "decisions.thin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Holds without a proposal older than ``holds_kept_days`` of venue time keep one in
    ``holds_kept_one_in`` bars; 1 keeps all. ``batch`` rows go in one transaction and ``batches``
    of them in one call, so that trading never waits long for the database."""

    holds_kept_days: float = 7.0
    holds_kept_one_in: int = 20
    batch: int = 200
    batches: int = 25

    @classmethod
    def of_run(cls, run: TradingRun) -> Retention:
        """Return what the run's configuration says, the defaults where it is silent."""
        said: Mapping[str, Any] = run.config.get("monitoring") or {}
        names = ("holds_kept_days", "holds_kept_one_in")
        return cls(**{name: said[name] for name in names if name in said})


@dataclass(frozen=True, slots=True)
class Thinned:
    """What one call did to one run; ``is_complete`` is False where more is left to do."""

    decisions_deleted: int
    analyses_deleted: int
    holds_kept: int
    is_complete: bool


def decisions_thin(*, run: TradingRun, retention: Retention) -> Thinned:
    """Delete the run's old holds but for a sample; counts go to the audit log.

    Age is venue time, before the run's last event. Which bars stay follows from their time alone,
    so calling again deletes nothing more and every symbol keeps the same bars.
    """
    if run.last_event_at is None or retention.holds_kept_one_in <= 1:
        return Thinned(0, 0, 0, True)
    kept, doomed = 0, []
    for pk, is_kept in _old_holds(run, run.last_event_at, retention):
        if is_kept:
            kept += 1
        elif len(doomed) <= retention.batch * retention.batches:
            doomed.append(pk)
    most = retention.batch * retention.batches
    chosen, is_complete = doomed[:most], len(doomed) <= most
    decisions = analyses = 0
    for start in range(0, len(chosen), retention.batch):
        gone = _delete(run, chosen[start : start + retention.batch])
        decisions, analyses = decisions + gone[0], analyses + gone[1]
    return Thinned(decisions, analyses, kept, is_complete)


def holds_due(*, run: TradingRun, retention: Retention) -> int:
    """Return how many of the run's decisions ``decisions_thin`` would delete by now."""
    if run.last_event_at is None or retention.holds_kept_one_in <= 1:
        return 0
    return sum(not is_kept for _, is_kept in _old_holds(run, run.last_event_at, retention))


def _old_holds(
    run: TradingRun, newest_at: datetime, retention: Retention
) -> Iterator[tuple[int, bool]]:
    """Yield each old hold of nobody's proposal, oldest first, and whether it is in the sample."""
    old = Decision.objects.filter(
        run=run,
        strategy=PLATFORM,
        action=Action.HOLD.value,
        bar_close_at__lt=newest_at - timedelta(days=retention.holds_kept_days),
        orders__isnull=True,
    )
    for pk, closed_at in old.order_by("bar_close_at").values_list("pk", "bar_close_at").iterator():
        bar = milliseconds(closed_at) // run.timeframe_ms
        yield pk, bar % retention.holds_kept_one_in == 0


def _delete(run: TradingRun, keys: list[int]) -> tuple[int, int]:
    """Delete one batch of decisions, and their analyses where nothing else refers to them."""
    with transaction.atomic():
        rows = Decision.objects.filter(pk__in=keys)
        analysis_keys = list(rows.values_list("analysis_id", flat=True))
        decisions, _ = rows.delete()
        unused = Analysis.objects.filter(pk__in=analysis_keys, decisions__isnull=True)
        analyses, _ = unused.delete()
        audit_record(
            actor="retention",
            action=ACTION,
            object_type="run",
            object_id=str(run.code),
            after={"decisions_deleted": decisions, "analyses_deleted": analyses},
        )
    return decisions, analyses


def is_thinned(run: TradingRun) -> bool:
    """Return whether decisions of a run were ever deleted: its digest is then its own."""
    return AuditEvent.objects.filter(action=ACTION, object_id=str(run.code)).exists()


def retention_run() -> dict[str, dict[str, Any]]:
    """Thin every run by its own settings; return what was done by run code."""
    done = {}
    for run in TradingRun.objects.order_by("pk"):
        thinned = decisions_thin(run=run, retention=Retention.of_run(run))
        if thinned.decisions_deleted:
            done[str(run.code)] = asdict(thinned)
    return done
