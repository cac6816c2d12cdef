"""What research workers do; loaded by them alone (``celery worker -I tradeplatform.sweep_tasks``).

A task may come twice, late, or to a worker that dies: rows decide who works on a unit, and the
knock sends again what nobody holds.
"""

from __future__ import annotations

import logging
import time
from functools import lru_cache
from typing import Any
from uuid import UUID

from celery import shared_task
from django.conf import settings

from engine.failsafe import Failure, attempt
from research.errors import ReplayStopped, UnitRefused
from research.models import Sweep, SweepStatus, SweepUnit
from research.pulse import Pulse
from research.spread import units_send
from research.sweep_services import sweep_end, sweep_note
from research.sweep_units import unit_claim, unit_pulse, unit_unsent
from tradeplatform.replay_jobs import TOLD
from tradeplatform.sweep_jobs import (
    Prepared,
    prepared,
    sweep_fail,
    sweep_planned,
    unit_work,
    worker_name,
)

logger = logging.getLogger(__name__)
# Hours, not the minutes of other tasks: a unit over years of minutes takes long, its claim is what
# tells a living worker from a dead one.
LIMITS: dict[str, Any] = {"soft_time_limit": 6 * 3600, "time_limit": 6 * 3600 + 60}
PULSE_EVERY_S = 5.0
# What a worker refused it refuses for so long without reading its files again.
REFUSES_FOR_S = 60.0


@shared_task(acks_late=True, reject_on_worker_lost=True, ignore_result=True, **LIMITS)
def sweep_plan(code: str) -> str:
    """Write down and send what may run now; safe to lose and to run twice."""
    sweep = Sweep.objects.filter(code=UUID(code), status=SweepStatus.RUNNING).first()
    if sweep is None:
        return "not running"
    ready = _ready(sweep)
    return "refused" if ready is None else _go_on(sweep, ready)


@shared_task(acks_late=True, reject_on_worker_lost=True, ignore_result=True, **LIMITS)
def sweep_unit(pk: int) -> str:
    """Run one unit, if nobody has done it or is at it; safe to lose and to run twice."""
    found = SweepUnit.objects.filter(pk=pk).select_related("sweep").first()
    if found is None or found.sweep.status != SweepStatus.RUNNING:
        return "not running"
    sweep = found.sweep
    ready = _ready(sweep)
    if ready is None:
        unit_unsent(unit=found)
        return "refused"
    if found.finished_at is not None:
        # its worker may have died after storing it and before sending what follows
        return _go_on(sweep, ready, found.window)
    unit = unit_claim(sweep=sweep, worker=worker_name(), pk=pk)
    return "another's" if unit is None else _run(sweep, unit, ready)


def _run(sweep: Sweep, unit: SweepUnit, ready: Prepared) -> str:
    pulse = Pulse(lambda *_: unit_pulse(unit=unit), every_s=PULSE_EVERY_S)
    pulse.start()
    try:
        worked = attempt(lambda: unit_work(unit, ready, pulse.tell), "unit")
    finally:
        pulse.end()
    if not isinstance(worked, Failure):
        _, is_last = worked
        return _go_on(sweep, ready, unit.window) if is_last else "stored"
    if isinstance(worked.error, ReplayStopped):
        return str(worked.error)
    sweep_fail(sweep, worked)
    return "failed"


def _go_on(sweep: Sweep, ready: Prepared, window: int | None = None) -> str:
    """Send what may run after this, or end the sweep."""
    planned = sweep_planned(sweep, ready, window)
    if isinstance(planned, dict):
        sweep_end(sweep=sweep, result=planned, code=settings.CODE_VERSION)
        return "ended"
    # whoever plans the whole sweep begins or resumes it: messages of before were not heeded
    new = [unit for unit in planned if window is None or unit.sent_at is None]
    units_send(new)
    return f"sent {len(new)}"


def _ready(sweep: Sweep) -> Prepared | None:
    """Return what units are run with; None where this worker may not work on them.

    Where the sweep could begin elsewhere, what is wrong here is this worker's alone: it is shown
    on the sweep and nothing is claimed. Where it could not begin anywhere, it fails.
    """
    ready: Prepared | Failure | None = _refused_lately(sweep.code)
    if ready is None:
        ready = attempt(lambda: _prepared(sweep.code), "prepare")
    if not isinstance(ready, Failure):
        return ready
    error = ready.error
    if isinstance(error, UnitRefused) or (sweep.basis is not None and isinstance(error, TOLD)):
        line = f"{worker_name()} refuses its units: {error}"
        logger.warning("unit_refused sweep=%s %s", sweep.code, line)
        sweep_note(sweep=sweep, line=line)
        _refused.setdefault(sweep.code, (time.monotonic() + REFUSES_FOR_S, ready))
    else:
        sweep_fail(sweep, ready)
    return None


# by sweep: until when, and why
_refused: dict[UUID, tuple[float, Failure]] = {}


def _refused_lately(code: UUID) -> Failure | None:
    until_s, failure = _refused.get(code, (0.0, None))
    if failure is None or time.monotonic() < until_s:
        return failure
    _refused.clear()
    return None


@lru_cache(maxsize=1)
def _prepared(code: UUID) -> Prepared:
    # the bars of one sweep stay in the worker: a unit may take less time than reading them
    return prepared(Sweep.objects.get(code=code))
