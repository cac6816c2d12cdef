"""Writes of replay jobs: asked for, claimed, kept alive, ended; each by one conditional update."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.services import audit_record
from research.claims import CLAIM, FREE, still_mine
from research.errors import ReplayRefused
from research.models import ReplayJob, ReplayStatus
from research.requests import request_checked

MAX_ATTEMPTS = 3
MAX_QUEUED_BY_ONE = 1
NOTES_MAX = 2_000
_WORKED_ON = (ReplayStatus.RUNNING, ReplayStatus.ABORTING)


def replay_start(
    *, given: Mapping[str, Any], folders: Sequence[Path], actor: str, notes: str = ""
) -> ReplayJob:
    """Queue a replay; a worker's knock takes it up.

    Raises:
        ReplayInvalid: with one line for every wrong value.
        ReplayRefused: this person has one waiting already (SEC-42), or the notes are too long.
    """
    request = request_checked(given, folders)
    _check_notes(notes)
    with transaction.atomic():
        waiting = ReplayJob.objects.filter(actor=actor[:120], status=ReplayStatus.QUEUED).count()
        if waiting >= MAX_QUEUED_BY_ONE:
            raise ReplayRefused(
                f"replays of {actor} that wait were {waiting}, allowed: {MAX_QUEUED_BY_ONE};"
                " abort it or let it start first",
                reason_code="replay_queue_full",
            )
        job = ReplayJob.objects.create(
            code=uuid.uuid4(),
            request=request,
            actor=actor[:120],
            notes=notes,
            created_at=timezone.now(),
        )
        _audit("replay.start", job, actor, after={"request": request})
    return job


def replay_abort(*, job: ReplayJob, actor: str, reason: str) -> None:
    """Stop a replay: one that waits at once, one that runs at its next sign of progress.

    Raises:
        ReplayRefused: no reason, or it is over.
    """
    if not reason.strip():
        raise ReplayRefused("reason was empty, to abort a replay needs one")
    now = timezone.now()
    mine = ReplayJob.objects.filter(pk=job.pk)
    with transaction.atomic():
        changed = mine.filter(status=ReplayStatus.QUEUED).update(
            status=ReplayStatus.ABORTED, error=one_line(reason), finished_at=now
        ) or mine.filter(status=ReplayStatus.RUNNING).update(
            status=ReplayStatus.ABORTING, error=one_line(reason)
        )
        if changed != 1:
            job.refresh_from_db()
            raise ReplayRefused(f"replay {job.code} was {job.status}, allowed: QUEUED, RUNNING")
        _audit("replay.abort", job, actor, reason=reason.strip())


def replay_note(*, job: ReplayJob, notes: str, actor: str) -> None:
    """Replace the notes of a replay.

    Raises:
        ReplayRefused: they are too long.
    """
    _check_notes(notes)
    with transaction.atomic():
        before = ReplayJob.objects.values_list("notes", flat=True).get(pk=job.pk)
        ReplayJob.objects.filter(pk=job.pk).update(notes=notes)
        _audit("replay.note", job, actor, before={"notes": before}, after={"notes": notes})


def replay_reap() -> int:
    """Take jobs away from processes that died: back to the queue, or over with a reason.

    Returns how many there were. A job never stays running without a process.
    """
    now, ended = timezone.now(), 0
    lost = ReplayJob.objects.filter(status__in=_WORKED_ON, claimed_until_at__lt=now)
    for job in lost.only("pk", "status", "attempts", "error"):
        ended += ReplayJob.objects.filter(
            pk=job.pk, status=job.status, attempts=job.attempts, claimed_until_at__lt=now
        ).update(**_after_death(job), **FREE)
    return ended


def _after_death(job: ReplayJob) -> dict[str, Any]:
    now = timezone.now()
    if job.status == ReplayStatus.ABORTING:
        return {"status": ReplayStatus.ABORTED, "finished_at": now}
    if job.attempts >= MAX_ATTEMPTS:
        return {
            "status": ReplayStatus.FAILED,
            "finished_at": now,
            "error": f"its process ended without a word {job.attempts} times, given up:"
            " out of memory, or the machine was restarted",
        }
    return {
        "status": ReplayStatus.QUEUED,
        "error": f"attempt {job.attempts} ended without a word, it starts over",
        "progress_fraction": 0.0,
        "bars_done": 0,
        "bars_per_s": 0.0,
    }


def replay_pulse(*, job: ReplayJob, bars_done: int, bars_total: int, bars_per_s: float) -> str:
    """Keep the claim and tell the progress; returns why the work must stop, empty to go on."""
    fraction = min(1.0, bars_done / bars_total) if bars_total else 0.0
    alive = still_mine(job).update(
        claimed_until_at=timezone.now() + CLAIM,
        progress_fraction=fraction,
        bars_done=bars_done,
        bars_total=bars_total,
        bars_per_s=bars_per_s,
    )
    if alive == 1:
        return ""
    row = ReplayJob.objects.filter(pk=job.pk).only("status", "attempts").first()
    if row is not None and row.status == ReplayStatus.ABORTING and row.attempts == job.attempts:
        return "aborted"
    return "taken over"


def replay_beat(job: ReplayJob) -> Callable[[int, int, float], str]:
    """Return ``replay_pulse`` of one job, as a pulse calls it."""
    return lambda done, total, rate: replay_pulse(
        job=job, bars_done=done, bars_total=total, bars_per_s=rate
    )


def replay_done(
    *,
    job: ReplayJob,
    result: Mapping[str, Any],
    report: Mapping[str, Any],
    code_version: str,
    config_digest: str,
) -> bool:
    """Store what came out, once; returns whether this process still had the job."""
    return bool(
        still_mine(job).update(
            status=ReplayStatus.DONE,
            result=dict(result),
            report=dict(report),
            error="",
            progress_fraction=1.0,
            bars_done=result["bars"],
            bars_total=result["bars"],
            bars_per_s=result["bars_per_s"],
            code_version=code_version,
            config_digest=config_digest,
            finished_at=timezone.now(),
            **FREE,
        )
    )


def replay_failed(*, job: ReplayJob, reason: str) -> None:
    """End a job with one line; an abort by a person stands as an abort."""
    now = timezone.now()
    still_mine(job).update(
        status=ReplayStatus.FAILED, error=one_line(reason), finished_at=now, **FREE
    )
    replay_stopped(job=job)


def replay_stopped(*, job: ReplayJob) -> None:
    """The process saw that it was aborted and ends."""
    ReplayJob.objects.filter(pk=job.pk, status=ReplayStatus.ABORTING, attempts=job.attempts).update(
        status=ReplayStatus.ABORTED, finished_at=timezone.now(), **FREE
    )


def replay_released(*, job: ReplayJob) -> None:
    """Give the job back: the platform stops, and the next start takes it up from the beginning."""
    replay_stopped(job=job)
    still_mine(job).update(
        status=ReplayStatus.QUEUED,
        # a stop is nobody's fault
        attempts=F("attempts") - 1,
        error="the platform was stopped, it starts over",
        progress_fraction=0.0,
        **FREE,
    )


def one_line(text: str) -> str:
    """Return a text as one line of at most 500 characters."""
    return " ".join(text.split())[:500]


def _check_notes(notes: str) -> None:
    if len(notes) > NOTES_MAX or "\0" in notes:
        raise ReplayRefused(f"notes had {len(notes)} characters, allowed: {NOTES_MAX}, no NUL")


def _audit(action: str, job: ReplayJob, actor: str, **told: Any) -> None:
    audit_record(actor=actor, action=action, object_type="replay", object_id=str(job.code), **told)
