"""Which components are alive, judged by the heartbeats they wrote at the end of useful work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from monitoring.models import Heartbeat

LATE_AFTER_PERIODS = 3.0
DOWN_AFTER_PERIODS = 10.0


@dataclass(frozen=True, slots=True)
class ComponentState:
    """``age_s`` is wall time since the last heartbeat; late after three periods without one."""

    component: str
    at: datetime
    age_s: float
    expected_every_s: float
    is_late: bool
    code_version: str


def state_of(component: ComponentState) -> str:
    """Return up, late or down by the age of the last useful work."""
    if not component.is_late:
        return "up"
    return "late" if component.age_s <= DOWN_AFTER_PERIODS * component.expected_every_s else "down"


def component_list(now: datetime) -> list[ComponentState]:
    """Return the state of every component that ever wrote a heartbeat, by name."""
    return [_state(row, now) for row in Heartbeat.objects.order_by("component")]


def _state(row: Heartbeat, now: datetime) -> ComponentState:
    age_s = max((now - row.at).total_seconds(), 0.0)
    return ComponentState(
        component=row.component,
        at=row.at,
        age_s=age_s,
        expected_every_s=row.expected_every_s,
        is_late=age_s > LATE_AFTER_PERIODS * row.expected_every_s,
        code_version=row.code_version,
    )
