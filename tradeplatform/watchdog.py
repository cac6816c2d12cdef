"""The watchdog: a process of its own that notices when another one falls silent (D-33).

Silence, not exit, is the commonest failure: a worker that lost its broker looks alive. Each
component writes a heartbeat at the end of useful work; here the ages are read. A late one is an
alert; a worker that stays silent is ended, and the supervisor starts it again (F-025).

What was written before this process started says nothing of those that run now: after a pause of
hours every heartbeat is old. So silence counts from the heartbeat or from our own start, whichever
is later, and nobody is ended before it has been up long enough to be called silent itself. Waking
is a start as well: where our own last look is long past, the machine slept or was paused.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import psutil
from django.conf import settings

from monitoring.components import State, loops_standing
from monitoring.jobs import JobState, job_list
from monitoring.models import Alert, Heartbeat, Severity
from monitoring.services import alert_raise, alert_resolve, heartbeat, jobs_know
from tradeplatform.configuration import Monitoring

EVERY_S = 5.0
HEARTBEAT_EVERY_S = 10.0
COMPONENT = "watchdog"
JOB_DOWN = "JOB_DOWN"
RUN_IDLE = "RUN_IDLE"
# What the others may need to come up beside us before their silence counts.
STARTING_S = 30.0
# Looks come every few seconds: where none was made for so long, everybody was away, not one alone.
AWAY_S = 60.0
# Only these are ended when silent; for the others an alert is all that helps.
RESTARTABLE = ("trading", "general", "notifier")
# The workers of accounts beside ``main`` are named as their queues.
OF_AN_ACCOUNT = "trading."


@dataclass(frozen=True, slots=True)
class Beat:
    """One component's last sign of life."""

    component: str
    at: datetime
    expected_every_s: float


@dataclass
class Silence:
    """Which components were late at the last look, and which were ended when."""

    late: set[str] = field(default_factory=set)
    ended_at: dict[str, float] = field(default_factory=dict)


def overdue_s(beat: Beat, now: datetime, grace_s: float) -> float:
    """Return how many seconds a beat is late beyond its period and the grace; 0 when on time."""
    return max((now - beat.at).total_seconds() - beat.expected_every_s - grace_s, 0.0)


def end_child(run_dir: Path, prefix: str, up_for_s: float = 0.0) -> list[int]:
    """Ask the supervised workers of that name to end; return their process ids.

    A worker that has been up for less than ``up_for_s`` is left alone: the silence was its
    predecessor's. Only processes whose parent is our own parent are touched: an id that was
    reused by a stranger is left alone (I-28).
    """
    try:
        known: Mapping[str, int | None] = json.loads((run_dir / "children.json").read_text())
    except (OSError, ValueError):
        return []
    ended = []
    for name, pid in sorted(known.items()):
        # workers of one queue are numbered; an account's name may end in a digit itself
        is_named = name == prefix or (
            not prefix.startswith(OF_AN_ACCOUNT) and name.rstrip("0123456789") == prefix
        )
        if pid is None or not is_named:
            continue
        try:
            process = psutil.Process(pid)
            is_ours = process.ppid() == os.getppid()
            if is_ours and time.time() - process.create_time() >= up_for_s:
                process.terminate()
                ended.append(pid)
        except psutil.NoSuchProcess:
            continue
    return ended


def _job_key(job: JobState) -> str:
    return f"job:{job.task}"[:160]


class Watchdog:
    """Looks at all heartbeats once per ``look``; remembers what it has already said."""

    def __init__(
        self,
        limits: Monitoring,
        *,
        end: Callable[[str, float], list[int]],
        monotonic: Callable[[], float],
        started_at: datetime,
    ) -> None:
        """``end`` takes a component and for how many seconds it must have been up."""
        self._limits = limits
        self._end = end
        self._monotonic = monotonic
        self._judged_from = started_at + timedelta(seconds=STARTING_S)
        self._looked_at: datetime | None = None
        self._silence = Silence()

    def look(self, now: datetime) -> list[str]:
        """Raise, repeat and resolve alerts; return the components that are late."""
        if self._looked_at is not None and (now - self._looked_at).total_seconds() > AWAY_S:
            self._judged_from = now + timedelta(seconds=STARTING_S)
        rows = Heartbeat.objects.exclude(component=COMPONENT)
        beats = [Beat(row.component, row.at, row.expected_every_s) for row in rows]
        late = {beat.component for beat in beats if self._overdue_s(self._judged(beat), now) > 0}
        standing = loops_standing(now) if late else {}
        late -= {name for name, (state, _) in standing.items() if state is State.PAUSED}
        for beat in beats:
            if beat.component in late:
                _, idle = standing.get(beat.component, (State.LATE, ""))
                self._silent(self._judged(beat), now, idle)
            elif beat.component in standing:
                alert_resolve(dedupe_key=f"heartbeat:{beat.component}", at=now)
            elif self._overdue_s(beat, now) == 0:
                # also after a restart of this process, which has forgotten what it said
                alert_resolve(dedupe_key=f"heartbeat:{beat.component}", at=now)
        self._silence.late = late
        self._jobs(now)
        heartbeat(
            component=COMPONENT,
            expected_every_s=EVERY_S,
            detail={"late": [*sorted(late)]},
            code_version=settings.CODE_VERSION,
            at=now,
        )
        # a look that failed was none: where the database was away, nobody could write to it either
        self._looked_at = now
        return sorted(late)

    def _jobs(self, now: datetime) -> None:
        """Tell of jobs of the schedule that have not ended well for long, and take back what
        was told of others."""
        told = set(
            Alert.objects.filter(code=JOB_DOWN, resolved_at__isnull=True).values_list(
                "dedupe_key", flat=True
            )
        )
        jobs = job_list(now, judged_from=self._judged_from)
        jobs_know(tasks=[job.task for job in jobs], at=now)
        for key in told - {_job_key(job) for job in jobs}:
            # it was taken off the schedule: nobody will tell of its end any more
            alert_resolve(dedupe_key=key, at=now)
        for job in jobs:
            key = _job_key(job)
            if job.state is not State.DOWN:
                if key in told:
                    alert_resolve(dedupe_key=key, at=now)
            elif key not in told:
                last = job.last_success_at
                since = f"since {last:%Y-%m-%d %H:%M:%S} UTC" if last else "yet"
                why = f"; {job.reason}" if job.reason else ""
                alert_raise(
                    code=JOB_DOWN,
                    severity=Severity.WARNING,
                    text=f'the job "{job.job}" did not end well {since}, expected every'
                    f" {job.expected_every_s:g} s{why}",
                    dedupe_key=key,
                    at=now,
                )

    def _judged(self, beat: Beat) -> Beat:
        """Return the beat with the time from which its silence counts."""
        return replace(beat, at=max(beat.at, self._judged_from))

    def _overdue_s(self, beat: Beat, now: datetime) -> float:
        return overdue_s(beat, now, self._limits.heartbeat_grace_seconds)

    def _silent(self, beat: Beat, now: datetime, idle: str) -> None:
        """Tell of a silence; ``idle`` is why a loop may not work, empty where it could."""
        age_s = (now - beat.at).total_seconds()
        text = (
            f"{beat.component} was silent for {age_s:.0f} s, expected every"
            f" {beat.expected_every_s:g} s"
        )
        if idle:
            text = f"{beat.component} stands idle: {idle}"
        may_end = self._may_end(beat.component, age_s)
        limit_s = self._limits.restart_silent_after_seconds
        if may_end and (pids := self._end(beat.component, limit_s)):
            self._silence.ended_at[beat.component] = self._monotonic()
            text += f"; ended pid {', '.join(map(str, pids))} for a fresh start"
        elif beat.component in self._silence.late:
            return
        alert_raise(
            code=RUN_IDLE if idle else "HEARTBEAT_LATE",
            severity=Severity.CRITICAL,
            text=text,
            dedupe_key=f"heartbeat:{beat.component}",
            at=now,
        )

    def _may_end(self, component: str, age_s: float) -> bool:
        limit_s = self._limits.restart_silent_after_seconds
        ended_at = self._silence.ended_at.get(component)
        rested = ended_at is None or self._monotonic() - ended_at >= limit_s
        is_worker = component in RESTARTABLE or component.startswith(OF_AN_ACCOUNT)
        return is_worker and age_s >= limit_s and rested
