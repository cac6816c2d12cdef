"""Units as rows and messages: claimed by one of two at once, one message each in the queue."""

from __future__ import annotations

import threading
import time
import uuid
from datetime import datetime, timedelta

import pytest
from celery import Celery
from django.db import connection, transaction
from django.utils import timezone

from research import spread, tasks
from research.claims import CLAIM, SLOT
from research.core.sweep import IN_SAMPLE, Unit
from research.models import Sweep, SweepUnit
from research.sweep_units import unit_claim, units_plan

pytestmark = pytest.mark.django_db
N_UNITS = 6


@pytest.fixture
def sweep(db: None) -> Sweep:
    """A running sweep whose units wait."""
    row = Sweep.objects.create(
        code=uuid.uuid4(),
        request={},
        actor="olga",
        status="RUNNING",
        slot=SLOT,
        claimed_until_at=timezone.now() + CLAIM,
        created_at=timezone.now(),
        units_total=N_UNITS,
        is_spread=True,
    )
    units_plan(sweep=row, units=[Unit(0, IN_SAMPLE, number, {}) for number in range(N_UNITS)])
    return row


def test_units_that_nobody_takes_lie_in_the_queue_once_and_expire(sweep, monkeypatch):
    """Sent every minute while no worker lives: the broker also carries the knocks."""
    app = Celery(broker="memory://", set_as_current=False)
    monkeypatch.setattr(spread, "current_app", app)
    for _ in range(4):
        tasks.sweeps_due()
        SweepUnit.objects.update(sent_at=timezone.now() - timedelta(seconds=61))
    with app.connection_for_read() as broker:
        lying = broker.SimpleQueue(spread.QUEUE)
        assert lying.qsize() == N_UNITS
        expires_at = datetime.fromisoformat(lying.get(block=False).headers["expires"])
        lying.clear()
    assert timedelta(0) < expires_at - timezone.now() <= timedelta(seconds=spread.UNIT_EXPIRES_S)


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="one writer at a time waits for no row")
def test_of_two_claims_at_once_the_one_that_waited_for_the_row_takes_nothing(sweep):
    """The first holds the row in an open transaction; the second waits for it, and looks again."""
    pk = SweepUnit.objects.order_by("number").values_list("pk", flat=True)[0]
    taken: dict[str, SweepUnit | None] = {}

    def second() -> None:
        taken["second"] = unit_claim(sweep=sweep, worker="second:1", pk=pk)
        connection.close()

    thread = threading.Thread(target=second)
    with transaction.atomic():
        taken["first"] = unit_claim(sweep=sweep, worker="first:1", pk=pk)
        thread.start()
        wait_for_a_blocked_update()
    thread.join(timeout=60)
    assert taken["first"] is not None and taken["second"] is None
    row = SweepUnit.objects.get(pk=pk)
    assert (row.attempts, row.worker) == (1, "first:1")


def wait_for_a_blocked_update() -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
        time.sleep(0.02)
    pytest.fail("the second claim never waited for the row")
