"""A database that is locked or full: nothing is sent that is not on disk, and it ends by itself."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection

from engine.types.orders import OrderStatus
from tests.practice_process import PracticeProcess
from tests.trades.brokers.conftest import practice, running  # noqa: F401  fixtures
from tests.trades.brokers.test_ccxt_live import venue_orders
from tests.trades.order_factory import World, age, make_run
from trades import models

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world(transactional_db: None, practice: PracticeProcess) -> World:  # noqa: F811
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL locks rows, and its disk is not ours to fill")
    now_ms = practice.status()["server_time_ms"]
    return World(make_run(), practice.client(timeout_s=1.0), now_ms)


@contextmanager
def locked() -> Iterator[sqlite3.Connection]:
    """Another process' writer that does not let go."""
    holder = sqlite3.connect(
        connection.settings_dict["NAME"], isolation_level=None, check_same_thread=False
    )
    holder.execute("BEGIN EXCLUSIVE")
    try:
        yield holder
    finally:
        holder.close()


@contextmanager
def patience(ms: int) -> Iterator[None]:
    """Wait for a lock this long instead of twenty seconds."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        (before,) = cursor.fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {ms}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {before}")


def test_a_short_lock_is_waited_out_and_the_order_goes(
    world: World,
    practice: PracticeProcess,  # noqa: F811
) -> None:
    """F-033: the shipped patience is 20 s; here a lock of a second."""
    assert connection.settings_dict["OPTIONS"]["timeout"] >= 20
    intent = world.intend()
    with locked() as holder:
        threading.Timer(1.0, lambda: holder.execute("ROLLBACK")).start()
        began_s = time.monotonic()
        world.broker.submit(intent, world.event)
        assert time.monotonic() - began_s >= 0.9
    assert len(venue_orders(practice, intent.client_order_id)) == 1


def test_a_lock_beyond_patience_sends_nothing_and_the_old_entry_is_given_up(
    world: World,
    practice: PracticeProcess,  # noqa: F811
) -> None:
    """F-033: what cannot be claimed is not sent; the session built after it holds entries until
    it has reconciled, and does not send late what was meant minutes ago."""
    intent = world.intend()
    with locked(), patience(300), pytest.raises(OperationalError, match="locked"):
        world.broker.submit(intent, world.event)
    assert venue_orders(practice, intent.client_order_id) == []
    assert world.order(intent).status == OrderStatus.INTENT
    world.reboot(reconciled=False)
    held = world.intend()
    refused = world.broker.submit(held, world.event)
    assert "not reconciled" in str(refused)
    assert world.reconciler.reconcile().expired == [intent.client_order_id]
    sent = world.intend()
    world.broker.submit(sent, world.event)
    assert len(venue_orders(practice, sent.client_order_id)) == 1
    assert venue_orders(practice, intent.client_order_id) == []


def test_a_full_disk_sends_nothing_without_its_intent_and_space_brings_it_back(
    world: World,
    practice: PracticeProcess,  # noqa: F811
) -> None:
    """F-035, I-25: the error says what it is; no order at the venue lacks its row."""
    before = {order["client_id"] for order in practice.ledger()["orders"]}
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA page_count")
        (pages,) = cursor.fetchone()
        cursor.execute(f"PRAGMA max_page_count = {pages}")
    try:
        with pytest.raises(OperationalError, match="full"):
            for _ in range(500):
                world.broker.submit(world.intend(), world.event)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA max_page_count = 1073741823")
    there = {order["client_id"] for order in practice.ledger()["orders"]} - before
    known = dict(models.Order.objects.values_list("client_order_id", "status"))
    assert there <= known.keys()
    assert "INTENT" not in {known[client_id] for client_id in there}
    world.reboot()
    for order in models.Order.objects.filter(status__in=("SENDING", "UNKNOWN")):
        age(order, 11)
    world.reconciler.reconcile()
    world.book()
    again = world.intend()
    world.broker.submit(again, world.event)
    assert len(venue_orders(practice, again.client_order_id)) == 1
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA integrity_check")
        assert cursor.fetchone() == ("ok",)
