"""The layer's Celery task. A knock carries nothing: what is due is read from rows."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from optimization.services import optimization_update


@shared_task(acks_late=False, ignore_result=True, soft_time_limit=60, time_limit=75)
def update_due() -> dict[str, Any]:
    """Make the update that is due, if any."""
    summary = optimization_update()
    return {"outcome": summary.outcome, "weights": summary.weights, "edges": summary.edges}
