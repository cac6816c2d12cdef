"""The database held, full, read-only or gone at the worst moment: nothing is sent without an
intent on disk, and what was sent is found again."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import OperationalError, connection

from engine.types.orders import OrderStatus
from tests.local_venue import LocalVenue
from tests.trades.order_factory import World, age, make_run
from trades import models
from trades.brokers import ccxt_live
from trades.errors import LeaseLost
from trades.lease import Fence
from trades.runner import AdvanceSummary, Runner

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        "sqlite" not in settings.DATABASES["default"]["ENGINE"], reason="faults of a file"
    ),
]


@pytest.fixture
def venue(tmp_path: Path) -> LocalVenue:
    return LocalVenue(tmp_path / "venue")


@pytest.fixture
def world(venue: LocalVenue) -> World:
    return World(make_run(), venue.client, venue.now_ms)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Hold the database from another connection; ours waits a tenth of a second, not twenty."""
    name = str(settings.DATABASES["default"]["NAME"])
    with contextlib.closing(sqlite3.connect(name, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with patient(100):
            yield
        other.execute("ROLLBACK")


@contextlib.contextmanager
def patient(milliseconds: int) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA busy_timeout = {milliseconds}")
        yield
        cursor.execute("PRAGMA busy_timeout = 20000")


@contextlib.contextmanager
def full() -> Iterator[None]:
    """Give the database not one page more than it has, and take the free ones it kept."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE filler (page BLOB)")
        cursor.execute("PRAGMA page_count")
        (pages,) = cursor.fetchone()
        cursor.execute(f"PRAGMA max_page_count = {pages}")
        with contextlib.suppress(OperationalError):
            while True:
                cursor.execute("INSERT INTO filler VALUES (zeroblob(3000))")
        yield
        cursor.execute("PRAGMA max_page_count = 1073741823")
        cursor.execute("DROP TABLE filler")


def recover(world: World) -> None:
    world.reboot(reconciled=False)
    for _ in range(3):
        for order in models.Order.objects.filter(run=world.run):
            age(order, 60)
        world.reconciler.reconcile()
        world.book(sweep=True)


def test_order_sent_just_before_the_database_locked_is_found_by_its_id(
    world: World, venue: LocalVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-034: the answer cannot be written down; the next start asks the venue by id."""
    intent = world.intend()
    with contextlib.ExitStack() as stack:

        def lock(place: str) -> None:
            if place == "oms.after_send":
                stack.enter_context(held())

        monkeypatch.setattr(ccxt_live, "failpoint", lock)
        with pytest.raises(OperationalError, match="locked"):
            world.broker.submit(intent, world.event)
    monkeypatch.undo()
    assert world.order(intent).status == OrderStatus.SENDING
    recover(world)
    assert world.order(intent).status == OrderStatus.FILLED
    assert len(venue.accepted(intent.client_order_id)) == 1


def test_nothing_is_sent_while_the_database_is_held(world: World, venue: LocalVenue) -> None:
    """F-033: the right to send cannot be written, so there is none."""
    intent = world.intend()
    with held(), pytest.raises(OperationalError, match="locked"):
        world.broker.submit(intent, world.event)
    assert venue.accepted(intent.client_order_id) == []
    assert world.order(intent).status == OrderStatus.INTENT


def test_no_intent_and_no_order_on_a_full_disk_and_trading_goes_on_with_space(
    world: World, venue: LocalVenue
) -> None:
    """F-035: clear error, nothing half written, and it ends with the cause."""
    with full(), pytest.raises(OperationalError, match="full"):
        # pages that earlier tests gave back are written first, however many they are
        for _ in range(20_000):
            world.intend()
    written = models.Order.objects.count()
    assert models.OrderEvent.objects.count() <= written, "an order is written with its history"
    intent = world.intend()
    world.broker.submit(intent, world.event)
    world.book()
    assert world.order(intent).status == OrderStatus.FILLED
    assert len(venue.accepted(intent.client_order_id)) == 1


def test_nothing_is_sent_on_a_database_that_became_read_only(
    world: World, venue: LocalVenue
) -> None:
    """F-036: an order that cannot be claimed does not leave."""
    intent = world.intend()
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = 1")
        try:
            with pytest.raises(OperationalError, match="readonly"):
                world.broker.submit(intent, world.event)
        finally:
            cursor.execute("PRAGMA query_only = 0")
    assert venue.accepted(intent.client_order_id) == []
    assert world.order(intent).status == OrderStatus.INTENT


@contextlib.contextmanager
def moved_away(*, replaced: bool) -> Iterator[None]:
    """Take the file from under its name, with another one there or none; then put it back."""
    name = Path(settings.DATABASES["default"]["NAME"])
    aside = name.with_suffix(".aside")
    name.rename(aside)
    try:
        if replaced:
            shutil.copy(aside, name)
        yield
    finally:
        aside.replace(name)


@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "replaced"])
def test_nothing_is_sent_by_a_file_that_is_the_database_no_more(
    world: World, venue: LocalVenue, replaced: bool
) -> None:
    """F-036: our connection still writes to it, and no restart would ever find what it wrote."""
    intent = world.intend()
    with moved_away(replaced=replaced), pytest.raises(LeaseLost, match="moved or replaced"):
        world.broker.submit(intent, world.event)
    assert venue.accepted(intent.client_order_id) == []
    assert world.order(intent).status == OrderStatus.INTENT
    world.broker.submit(intent, world.event)
    assert len(venue.accepted(intent.client_order_id)) == 1, "with the file back it goes on"


class Session:
    """One that says the how many-eth it is."""

    built = 0

    def __init__(self, run: models.TradingRun, fence: Fence) -> None:
        self.fence = fence
        Session.built += 1
        self._nth = str(Session.built)

    def advance(self) -> AdvanceSummary:
        return AdvanceSummary(self.fence.run_id, self._nth)

    def close(self) -> None: ...


def test_a_session_built_from_another_file_is_not_gone_on_with() -> None:
    """F-036: what it remembers may be ahead of the rows that stand there now."""
    run, runner = make_run(), Runner(Session, "1")
    first = runner.advance(run.pk).outcome
    assert runner.advance(run.pk).outcome == first
    with moved_away(replaced=True):
        connection.close()
        assert runner.advance(run.pk).outcome != first
        connection.close()
