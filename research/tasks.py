"""Replays and sweeps that wait. Beat only knocks: what is due is read from rows."""

from __future__ import annotations

from celery import shared_task

from research.children import child_start
from research.claims import claim_oldest
from research.models import ReplayJob, Sweep
from research.services import replay_reap
from research.sweep_services import sweep_reap


@shared_task(acks_late=False, ignore_result=True, soft_time_limit=20, time_limit=30)
def replays_due() -> str:
    """Take jobs from dead processes, and start the one that is due; returns at once.

    Losing or repeating a knock is free: the slot lets one replay run at a time.
    """
    replay_reap()
    job = claim_oldest(ReplayJob)
    if job is None:
        return "nothing to start"
    child_start("replay_job", job)
    return f"started {job.code}"


@shared_task(acks_late=False, ignore_result=True, soft_time_limit=20, time_limit=30)
def sweeps_due() -> str:
    """As ``replays_due``, for sweeps: one of them runs beside one replay."""
    sweep_reap()
    sweep = claim_oldest(Sweep)
    if sweep is None:
        return "nothing to start"
    child_start("sweep_job", sweep)
    return f"started {sweep.code}"
