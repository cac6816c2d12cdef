"""The trading loop's Celery tasks. A knock carries nothing: what is due is read from rows."""

from __future__ import annotations

from functools import cache
from typing import Any

from celery import Task, shared_task
from celery.utils.nodenames import worker_direct

from trades.queues import TRADING, holding_workers, runs_by_queue
from trades.retention import retention_run
from trades.runner import COLD, Runner, build_runner
from trades.worker_beats import GENERAL, beats_of, worker_beats

# By then the worker's next process, or another worker, may hold the lease or build.
BEGIN_WITHIN_S = 10


@cache
def _runner(address: str) -> Runner:
    # one a worker process, made on first use so that it is never carried across a fork
    return build_runner(address)


@shared_task(acks_late=False, ignore_result=True, soft_time_limit=20, time_limit=30)
def advance_due() -> int:
    """Knock on every open run of this queue; losing, repeating or delaying a knock is free.

    Runs of accounts with workers of their own are knocked on by beat itself: a worker that waits
    for one account's venue must not be the one that passes on the others' knocks. A run that a
    worker holds is knocked on at that worker: of two workers on the queue the other one would take
    every second knock and do nothing with it.
    """
    run_ids = [run_id for run_id, _, queue in runs_by_queue() if queue == TRADING]
    workers = holding_workers(run_ids)
    for run_id in run_ids:
        at = {"queue": worker_direct(workers[run_id])} if run_id in workers else {}
        advance.apply_async((run_id,), expires=2, **at)
    return len(run_ids)


@shared_task(bind=True, acks_late=False, ignore_result=True, soft_time_limit=45, time_limit=60)
def advance(self: Task, run_id: int) -> dict[str, int | str]:
    """Process everything that is due for one run, under its lease.

    A session is built by a task with more time: fifty symbols on a busy machine take longer to
    begin than any advance may, and a build that is cut off begins from nothing at the next knock.
    """
    here = self.request.hostname or ""
    summary = _runner(here).advance(run_id, may_build=False)
    if summary.outcome == COLD:
        begin.apply_async((run_id,), queue=worker_direct(here), expires=BEGIN_WITHIN_S)
    return summary.as_dict()


@shared_task(bind=True, acks_late=False, ignore_result=True, soft_time_limit=240, time_limit=300)
def begin(self: Task, run_id: int) -> dict[str, int | str]:
    """Take the lease of a run, build its session here and advance it once.

    It may take longer than the watchdog bears a silence, so it beats for its worker meanwhile.
    """
    with worker_beats(run_id):
        return _runner(self.request.hostname or "").advance(run_id).as_dict()


@shared_task(acks_late=True, reject_on_worker_lost=True, soft_time_limit=240, time_limit=300)
def thin_holds() -> dict[str, dict[str, Any]]:
    """Keep a sample of old holds of every run; safe to run twice."""
    with beats_of(GENERAL):
        return retention_run()
