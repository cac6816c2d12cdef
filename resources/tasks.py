"""What workers do for the optimizer. A task writes what it measured into the action's row."""

from __future__ import annotations

from collections.abc import Callable

from celery import shared_task
from django.utils import timezone

from resources.actions.connections import connections_closed
from resources.actions.relief import Relief, caches_cleared, garbage_collected
from resources.maintenance import maintenance_due as run_what_is_due
from resources.models import ActionState, OptimizerAction
from trades.worker_beats import GENERAL, beats_of


@shared_task(acks_late=False, ignore_result=True, soft_time_limit=25, time_limit=30)
def relieve_memory(action_id: int) -> str:
    return _do(action_id, garbage_collected)


@shared_task(acks_late=False, ignore_result=True, soft_time_limit=25, time_limit=30)
def clear_caches(action_id: int) -> str:
    return _do(action_id, caches_cleared)


@shared_task(acks_late=False, ignore_result=True, soft_time_limit=25, time_limit=30)
def close_connections(action_id: int) -> str:
    return _do(action_id, connections_closed)


@shared_task(acks_late=False, ignore_result=True, soft_time_limit=240, time_limit=300)
def maintenance_due() -> list[str]:
    """Do the maintenance that is due; losing or repeating a knock is free."""
    with beats_of(GENERAL):
        return run_what_is_due()


def _do(action_id: int, work: Callable[[], Relief]) -> str:
    """Do it once: a row that is not waiting any more was done or given up."""
    waits = OptimizerAction.objects.filter(pk=action_id, applied_at=None).exclude(
        state=ActionState.FAILED
    )
    if not waits.exists():
        return "not asked for any more"
    relief = work()
    OptimizerAction.objects.filter(pk=action_id).update(
        state=ActionState.MEASURING,
        applied_at=timezone.now(),
        own_before=relief.before,
        own_after=relief.after,
        saved=relief.saved,
    )
    return "done"
