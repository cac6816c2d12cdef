"""Writes of this room: samples and their roll-ups, slow statements, retention, maintenance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F

from engine.failsafe import Failure, attempt
from resources.core.readings import MetricVector
from resources.core.triggers import next_slot_ms
from resources.core.windows import HOUR_MS, MINUTE_MS, roll_up, start_of
from resources.models import (
    IncidentState,
    Maintenance,
    OptimizerAction,
    Resolution,
    ResourceIncident,
    Sample,
    SlowQuery,
)
from resources.queries import signature_of
from resources.tunables import PRUNE_BATCH, tunable_value

# How long each is kept; incidents and actions with their samples' summaries much longer.
KEPT: Mapping[int, timedelta] = {
    Resolution.RAW: timedelta(hours=6),
    Resolution.MINUTE: timedelta(days=7),
    Resolution.HOUR: timedelta(days=400),
}
HISTORY_KEPT = timedelta(days=400)
SLOW_KEPT = 500
_BATCH = 1_000
_MOST_BATCHES = 20


def as_ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def at_of(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def sample_record(*, vector: MetricVector, host: str) -> Sample:
    """Store one round; the same round twice is one row."""
    row, _ = Sample.objects.update_or_create(
        host=host,
        resolution_s=Resolution.RAW,
        at=at_of(vector.at_ms),
        defaults={"values": vector.values()},
    )
    return row


def samples_roll_up(*, now: datetime, host: str) -> int:
    """Summarise whole minutes and whole hours that are over and have rounds; return how many.

    Both are made from the rounds themselves while these are there, so no figure of an hour is a
    figure of figures; what was summarised before is not touched (ORC-68).
    """
    made = 0
    for resolution, width_ms in ((Resolution.MINUTE, MINUTE_MS), (Resolution.HOUR, HOUR_MS)):
        until = at_of(start_of(as_ms(now), width_ms))
        done = Sample.objects.filter(host=host, resolution_s=resolution).order_by("-at").first()
        since = done.at + timedelta(milliseconds=width_ms) if done else None
        rows = Sample.objects.filter(host=host, resolution_s=Resolution.RAW, at__lt=until)
        if since is not None:
            rows = rows.filter(at__gte=since)
        groups: dict[int, list[MetricVector]] = {}
        for row in rows.order_by("at").iterator(chunk_size=200):
            at_ms = as_ms(row.at)
            groups.setdefault(start_of(at_ms, width_ms), []).append(
                MetricVector.of(at_ms, row.values)
            )
        for start, rounds in sorted(groups.items()):
            Sample.objects.get_or_create(
                host=host,
                resolution_s=resolution,
                at=at_of(start),
                defaults={"values": roll_up(rounds)},
            )
            made += 1
    return made


def samples_prune(*, now: datetime) -> int:
    """Delete what is older than its retention, a bounded batch a transaction; return how many."""
    batch, deleted = int(tunable_value(PRUNE_BATCH, _BATCH)), 0
    for resolution, kept in KEPT.items():
        for _ in range(_MOST_BATCHES):
            old = Sample.objects.filter(resolution_s=resolution, at__lt=now - kept)
            ids = list(old.order_by("at").values_list("pk", flat=True)[:batch])
            if not ids:
                break
            deleted += Sample.objects.filter(pk__in=ids).delete()[0]
    return deleted + _history_prune(now) + _slow_prune()


def samples_due(*, now: datetime) -> int:
    """Return how many samples ``samples_prune`` would delete by now."""
    old = (Sample.objects.filter(resolution_s=r, at__lt=now - kept) for r, kept in KEPT.items())
    return sum(rows.count() for rows in old)


def _history_prune(now: datetime) -> int:
    before = now - HISTORY_KEPT
    deleted = OptimizerAction.objects.filter(started_at__lt=before).delete()[0]
    ended = ResourceIncident.objects.filter(resolved_at__lt=before, actions__isnull=True)
    return int(deleted + ended.delete()[0])


def _slow_prune() -> int:
    kept = list(SlowQuery.objects.order_by("-last_at").values_list("pk", flat=True)[:SLOW_KEPT])
    if len(kept) < SLOW_KEPT:
        return 0
    return int(SlowQuery.objects.exclude(pk__in=kept).delete()[0])


def slow_queries_record(lines: list[dict[str, Any]]) -> int:
    """Count slow statements by their text, without values; return how many lines there were."""
    for line in lines:
        signature, text = signature_of(str(line["sql"]).replace("\x00", ""))
        took_ms, at = float(line["ms"]), datetime.fromtimestamp(float(line["at"]), UTC)
        row, _ = SlowQuery.objects.get_or_create(
            signature=signature, defaults={"statement": text, "last_at": at}
        )
        SlowQuery.objects.filter(pk=row.pk).update(
            count=F("count") + 1,
            total_ms=F("total_ms") + took_ms,
            worst_ms=max(row.worst_ms, took_ms),
            last_at=max(row.last_at, at),
        )
    return len(lines)


DAY_S = 86_400.0
# code, every so many seconds, so many seconds after each whole multiple (UTC)
TIMETABLE: tuple[tuple[str, float, float], ...] = (
    ("prune-samples", 3_600.0, 300.0),
    ("clean-temp", DAY_S, 3 * 3_600.0 + 600.0),
    ("compress-logs", DAY_S, 3 * 3_600.0 + 1_200.0),
    ("trim-disk-cache", DAY_S, 3 * 3_600.0 + 1_800.0),
    ("database-statistics", DAY_S, 3 * 3_600.0 + 2_400.0),
)


def timetable_ensure(*, now: datetime) -> None:
    """Make the rows of the timetable; times that changed in the code take effect at once."""
    for code, every_s, at_s in TIMETABLE:
        first = at_of(next_slot_ms(as_ms(now), every_s, at_s))
        try:
            with transaction.atomic():
                row, is_new = Maintenance.objects.get_or_create(
                    code=code, defaults={"every_s": every_s, "at_s": at_s, "next_at": first}
                )
        except IntegrityError:
            continue
        if not is_new and (row.every_s, row.at_s) != (every_s, at_s):
            Maintenance.objects.filter(pk=row.pk).update(every_s=every_s, at_s=at_s, next_at=first)


def maintenance_run(*, now: datetime, run: Callable[[str], str]) -> list[str]:
    """Do what is due, once across workers and once for any number of missed times (ORC-49).

    ``run`` takes a code and returns what came of it. A row is claimed by moving its next time on:
    whoever changes the row does the work.
    """
    timetable_ensure(now=now)
    done = []
    for row in Maintenance.objects.filter(next_at__lte=now).order_by("next_at"):
        next_ms = next_slot_ms(as_ms(now), row.every_s, row.at_s)
        late = as_ms(now) - as_ms(row.next_at)
        claimed = Maintenance.objects.filter(pk=row.pk, next_at=row.next_at).update(
            next_at=at_of(next_ms),
            last_run_at=now,
            missed=F("missed") + late // int(row.every_s * 1000),
        )
        if claimed != 1:
            continue
        result = attempt(lambda code=row.code: run(code), f"maintenance {row.code}")  # type: ignore[misc]
        text = f"failed: {result.text}" if isinstance(result, Failure) else result
        Maintenance.objects.filter(pk=row.pk).update(last_outcome=text[:500])
        done.append(row.code)
    return done


def incident_resolve(*, incident: ResourceIncident, at: datetime) -> None:
    ResourceIncident.objects.filter(pk=incident.pk, resolved_at__isnull=True).update(
        state=IncidentState.RESOLVED, resolved_at=at
    )
