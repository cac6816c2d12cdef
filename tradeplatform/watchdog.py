"""The watchdog: a process of its own that notices when another one falls silent (D-33).

Silence, not exit, is the commonest failure: a worker that lost its broker looks alive. Each
component writes a heartbeat at the end of useful work; here the ages are read. A late one is an
alert; a worker that stays silent is ended, and the supervisor starts it again (F-025).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psutil
from django.conf import settings

from monitoring.models import Heartbeat, Severity
from monitoring.services import alert_raise, alert_resolve, heartbeat
from tradeplatform.configuration import Monitoring

EVERY_S = 5.0
HEARTBEAT_EVERY_S = 10.0
COMPONENT = "watchdog"
# Only these are ended when silent; for the others an alert is all that helps.
RESTARTABLE = ("trading", "general")


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


def end_child(run_dir: Path, prefix: str) -> list[int]:
    """Ask the supervised workers of that name to end; return their process ids.

    Only processes whose parent is our own parent are touched: an id that was reused by a
    stranger is left alone (I-28).
    """
    try:
        known: Mapping[str, int | None] = json.loads((run_dir / "children.json").read_text())
    except (OSError, ValueError):
        return []
    ended = []
    for name, pid in sorted(known.items()):
        if pid is None or name.rstrip("0123456789") != prefix:
            continue
        try:
            process = psutil.Process(pid)
            if process.ppid() == os.getppid():
                process.terminate()
                ended.append(pid)
        except psutil.NoSuchProcess:
            continue
    return ended


class Watchdog:
    """Looks at all heartbeats once per ``look``; remembers what it has already said."""

    def __init__(
        self,
        limits: Monitoring,
        *,
        end: Callable[[str], list[int]],
        monotonic: Callable[[], float],
    ) -> None:
        self._limits = limits
        self._end = end
        self._monotonic = monotonic
        self._silence = Silence()

    def look(self, now: datetime) -> list[str]:
        """Raise, repeat and resolve alerts; return the components that are late."""
        rows = Heartbeat.objects.exclude(component=COMPONENT)
        beats = [Beat(row.component, row.at, row.expected_every_s) for row in rows]
        late = {
            beat.component: overdue
            for beat in beats
            if (overdue := overdue_s(beat, now, self._limits.heartbeat_grace_seconds)) > 0
        }
        for beat in beats:
            if beat.component in late:
                self._silent(beat, now)
            else:
                # also after a restart of this process, which has forgotten what it said
                alert_resolve(dedupe_key=f"heartbeat:{beat.component}", at=now)
        self._silence.late = set(late)
        heartbeat(
            component=COMPONENT,
            expected_every_s=EVERY_S,
            detail={"late": [*sorted(late)]},
            code_version=settings.CODE_VERSION,
            at=now,
        )
        return sorted(late)

    def _silent(self, beat: Beat, now: datetime) -> None:
        age_s = (now - beat.at).total_seconds()
        text = (
            f"{beat.component} was silent for {age_s:.0f} s, expected every"
            f" {beat.expected_every_s:g} s"
        )
        if self._may_end(beat.component, age_s) and (pids := self._end(beat.component)):
            self._silence.ended_at[beat.component] = self._monotonic()
            text += f"; ended pid {', '.join(map(str, pids))} for a fresh start"
        elif beat.component in self._silence.late:
            return
        alert_raise(
            code="HEARTBEAT_LATE",
            severity=Severity.CRITICAL,
            text=text,
            dedupe_key=f"heartbeat:{beat.component}",
            at=now,
        )

    def _may_end(self, component: str, age_s: float) -> bool:
        limit_s = self._limits.restart_silent_after_seconds
        ended_at = self._silence.ended_at.get(component)
        rested = ended_at is None or self._monotonic() - ended_at >= limit_s
        return component in RESTARTABLE and age_s >= limit_s and rested
