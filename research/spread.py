"""Messages to the research workers: which sweep to plan, which units may run.

A message is a knock with an address: what is to be done is read from rows, so one may be lost or
come twice. The tasks are named, not imported: only research workers load what they run.
"""

from __future__ import annotations

from collections.abc import Sequence

from celery import current_app, group, signature

from research.models import Sweep, SweepUnit
from research.sweep_units import RESEND, units_sent

# A queue beside ``research``: units take minutes, and the worker of ``research`` also carries
# heartbeats and the knocks that would wait behind them.
QUEUE = "research-units"
PLAN_TASK = "tradeplatform.sweep_tasks.sweep_plan"
UNIT_TASK = "tradeplatform.sweep_tasks.sweep_unit"
PLAN_EXPIRES_S = 5
# Older than a resend: what is sent anew does not pile up where no worker takes it.
UNIT_EXPIRES_S = int(RESEND.total_seconds())


def plan_send(sweep: Sweep) -> None:
    """Ask a research worker to write down and send the units that may run now."""
    current_app.send_task(PLAN_TASK, (str(sweep.code),), queue=QUEUE, expires=PLAN_EXPIRES_S)


def units_send(units: Sequence[SweepUnit]) -> None:
    """Send one task a unit, together as a group."""
    if not units:
        return
    units_sent(units=units)
    group(
        signature(UNIT_TASK, args=(unit.pk,), immutable=True, queue=QUEUE, app=current_app)
        for unit in units
    ).apply_async()
