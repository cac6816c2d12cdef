"""Replays and sweeps that wait. Beat only knocks: what is due is read from rows."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from research.children import child_run, child_start
from research.claims import claim_oldest
from research.models import ReplayJob, Sweep, SweepStatus
from research.parity_services import parity_claim
from research.selectors import sweep_rests
from research.services import replay_reap
from research.spread import plan_send, units_send
from research.sweep_services import sweep_end_upgraded, sweep_pulse, sweep_reap
from research.sweep_units import units_tend


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
    for sweep in Sweep.objects.filter(status=SweepStatus.RUNNING, is_spread=True):
        _tend(sweep)
    sweep_reap()
    waiting = claim_oldest(Sweep)
    if waiting is None:
        return "nothing to start"
    if waiting.is_spread:
        plan_send(waiting)
    else:
        child_start("sweep_job", waiting)
    return f"started {waiting.code}"


def _tend(sweep: Sweep) -> None:
    """Hold a sweep that has no process of its own, and send what was lost on the way."""
    if sweep_end_upgraded(sweep=sweep, code=settings.CODE_VERSION):
        return
    sweep_pulse(sweep=sweep)
    units_send(units_tend(sweep=sweep))
    if sweep_rests(sweep):
        plan_send(sweep)


@shared_task(acks_late=False, ignore_result=True, soft_time_limit=20, time_limit=30)
def parity_due() -> str:
    """Have the last whole day of a run judged, if it was not; losing a knock is free."""
    row = parity_claim()
    if row is None:
        return "nothing to judge"
    child_run("parity", "--run", str(row.run.code), "--day", str(row.day), "--quiet")
    return f"started {row.run.code} {row.day}"
