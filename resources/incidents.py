"""What an incident has been through, written down step by step."""

from __future__ import annotations

from datetime import datetime

from resources.core.planner import Wait
from resources.core.triggers import Trigger
from resources.models import IncidentStep, OptimizerAction, ResourceIncident, Stage


def seen_again(incident: ResourceIncident, trigger: Trigger, now: datetime) -> None:
    is_lower = incident.limit > incident.first_value
    pick = min if is_lower else max
    incident.worst_value = pick(incident.worst_value, trigger.value)
    incident.last_value, incident.last_at = trigger.value, now
    incident.count += 1
    incident.save(update_fields=["worst_value", "last_value", "last_at", "count"])


def note_wait(incident: ResourceIncident, said: Wait, now: datetime) -> None:
    """Write down why nothing is done, once for a reason however its seconds count down."""
    why = said.why.partition(" for another")[0]
    last = incident.steps.order_by("-id").first()
    if last is None or last.stage != Stage.WAIT or last.text != why:
        note_step(incident, Stage.WAIT, now, why)


def note_step(
    incident: ResourceIncident | None,
    stage: str,
    at: datetime,
    text: str,
    row: OptimizerAction | None = None,
) -> None:
    if incident is not None:
        detail = {} if row is None else {"action_id": row.pk, "action": row.action}
        IncidentStep.objects.create(incident=incident, stage=stage, at=at, text=text, detail=detail)
