"""Messages to the research workers: which sweep to plan, which units may run.

A message is a knock with an address: what is to be done is read from rows, so one may be lost or
come twice. The tasks are named, not imported: only research workers load what they run.
"""

from __future__ import annotations

from collections.abc import Sequence

from celery import current_app, group, signature

from research.models import Sweep, SweepUnit
from research.sweep_units import units_sent

# A queue beside ``research``: units take minutes, and the worker of ``research`` also carries
# heartbeats and the knocks that would wait behind them.
QUEUE = "research-units"
PLAN_TASK = "tradeplatform.sweep_tasks.sweep_plan"
UNIT_TASK = "tradeplatform.sweep_tasks.sweep_unit"
PLAN_EXPIRES_S = 5
# A unit waits behind those its worker is at, which take minutes: shorter than that, and what
# nobody has begun would have to be sent again before it could be.
UNIT_EXPIRES_S = 3600


def plan_send(sweep: Sweep) -> None:
    """Ask a research worker to write down and send the units that may run now."""
    current_app.send_task(PLAN_TASK, (str(sweep.code),), queue=QUEUE, expires=PLAN_EXPIRES_S)


def units_send(units: Sequence[SweepUnit]) -> None:
    """Send one task a unit, together as a group.

    Units that were sent before take the place of what lies in the queue: the broker keeps what
    has expired until a worker takes it, and without one it would grow with every resend.
    """
    if not units:
        return
    if any(unit.sent_at is not None for unit in units):
        _queue_clear()
    units_sent(units=units)
    group(
        signature(
            UNIT_TASK,
            args=(unit.pk,),
            immutable=True,
            queue=QUEUE,
            expires=UNIT_EXPIRES_S,
            app=current_app,
        )
        for unit in units
    ).apply_async()


def _queue_clear() -> None:
    # one sweep runs at a time: what lies there is its own, or is heeded by nobody any more
    with current_app.connection_for_write() as connection:
        connection.default_channel.queue_purge(QUEUE)
