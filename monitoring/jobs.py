"""Which jobs of the schedule run, judged by what workers wrote when one ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django_celery_beat.models import PeriodicTask

from monitoring.components import State
from monitoring.models import JobRun

# A job has its period, half of it, and a minute more: its queue may be busy.
LATE_AFTER_PERIODS, DOWN_AFTER_PERIODS = 1.5, 3.0
GRACE_S = 60.0
# Knocks of every second or two are told at this pace.
LEAST_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class JobState:
    """``last_success_at`` None: none yet. ``reason`` is the last error where it came later than the
    last success."""

    job: str
    task: str
    state: State
    last_success_at: datetime | None
    expected_every_s: float
    code_version: str
    reason: str


def tasks_on_schedule() -> set[str]:
    """Return the tasks the product itself has on its schedule: whose ends are written down.

    Beat keeps the row of a job that was renamed or taken away, and has those that somebody added
    in the admin: of their tasks nobody writes how they end.
    """
    return {str(entry["task"]) for entry in settings.CELERY_BEAT_SCHEDULE.values()}


def job_list(now: datetime, *, judged_from: datetime | None = None) -> list[JobState]:
    """Return the state of every job of our own schedule that comes at an interval, by name.

    ``judged_from`` is when whoever asks began to look: an installation that was away for days has
    no late jobs from before.
    """
    ended = {row.task: row for row in JobRun.objects.all()}
    rows = PeriodicTask.objects.filter(interval__isnull=False, task__in=tasks_on_schedule())
    return [
        _state(row, ended.get(row.task), now, judged_from)
        for row in rows.select_related("interval").order_by("name")
    ]


def _state(
    row: PeriodicTask, ended: JobRun | None, now: datetime, judged_from: datetime | None
) -> JobState:
    every_s = max(row.interval.schedule.run_every.total_seconds(), LEAST_EVERY_S)
    succeeded_at = ended.succeeded_at if ended else None
    failed_at = ended.failed_at if ended else None
    reason = ""
    if ended and failed_at and (succeeded_at is None or failed_at > succeeded_at):
        reason = f"failed last: {ended.error}"
    # the schedule's own dates move with every knock: they tell nothing of what came of it
    since = succeeded_at or (ended.known_at if ended else now)
    if judged_from is not None:
        since = max(since, judged_from)
    state = _by_age((now - since).total_seconds(), every_s)
    if not row.enabled:
        state, reason = State.PAUSED, "switched off in the schedule"
    elif succeeded_at is None and state is State.UP:
        state = State.NEW
    return JobState(
        job=row.name,
        task=row.task,
        state=state,
        last_success_at=succeeded_at,
        expected_every_s=every_s,
        code_version=ended.code_version if ended else "",
        reason=reason,
    )


def _by_age(age_s: float, every_s: float) -> State:
    if age_s <= LATE_AFTER_PERIODS * every_s + GRACE_S:
        return State.UP
    return State.LATE if age_s <= DOWN_AFTER_PERIODS * every_s + GRACE_S else State.DOWN
