"""PostgreSQL ends our transaction, or gives us no connection: nothing of the event stays, and the
next knock takes all of it."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection

from engine.types.orders import OrderStatus
from tests.local_venue import LocalVenue
from tests.postgres import programme
from tests.trades.order_factory import World, make_run
from trades import journal, models
from trades.lease import Fence
from trades.runner import AdvanceSummary, Runner

psycopg = pytest.importorskip("psycopg")
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        "sqlite" in settings.DATABASES["default"]["ENGINE"], reason="faults of a server"
    ),
]
PATIENCE_S = 30.0


def beside(**changes: str) -> Any:
    """Open a connection that is not Django's, to the same test database."""
    given = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    return psycopg.connect(**{name: given[name] for name in names} | changes)


@pytest.fixture
def world(tmp_path: Path) -> World:
    venue = LocalVenue(tmp_path / "venue")
    return World(make_run(), venue.client, venue.now_ms)


@contextmanager
def within_the_booking(patch: pytest.MonkeyPatch, act: Callable[[], None]) -> Iterator[None]:
    """Do something once an event's transaction has begun to book its first fill."""
    with patch.context() as patched:
        patched.setattr(journal, "failpoint", lambda place: place == "fills.before" and act())
        yield


def booked(world: World) -> tuple[int, int, int]:
    fills, lots = models.Fill.objects.count(), models.Lot.objects.count()
    return fills, lots, models.Order.objects.filter(status=OrderStatus.FILLED).count()


def test_an_event_that_loses_a_deadlock_leaves_nothing_and_is_taken_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-041: we hold the lease and want the order, somebody holds the order and wants the lease."""
    intent = world.intend()
    world.broker.submit(intent, world.event)
    with connection.cursor() as cursor:
        # whoever looks first is the one that is ended
        cursor.execute("SET deadlock_timeout = '20ms'")
    with beside() as other:
        other.execute("SELECT id FROM trades_order FOR UPDATE")
        waiter = threading.Thread(target=lambda: other.execute("UPDATE trades_lease SET token = 1"))

        def meet() -> None:
            waiter.start()
            until_s = time.monotonic() + PATIENCE_S
            with beside() as third:
                asks = "SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s"
                while third.execute(asks, [other.info.backend_pid]).fetchone() != ("Lock",):
                    third.rollback()
                    assert time.monotonic() < until_s, "the other connection never waited"

        with (
            within_the_booking(monkeypatch, meet),
            pytest.raises(OperationalError, match="deadlock detected"),
        ):
            world.book()
        waiter.join(PATIENCE_S)
        other.rollback()
    assert booked(world) == (0, 0, 0)
    world.reboot()
    world.book()
    assert booked(world) == (1, 1, 1)


def test_an_event_that_cannot_be_serialized_leaves_nothing_and_is_taken_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-041: a server that is set up stricter than ours, and a row changed under our snapshot."""
    intent = world.intend()
    world.broker.submit(intent, world.event)

    def change() -> None:
        with beside() as other:
            other.execute("UPDATE trades_order SET quantity_base = quantity_base")

    strict = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL "
    with connection.cursor() as cursor:
        cursor.execute(f"{strict} REPEATABLE READ")
    try:
        with (
            within_the_booking(monkeypatch, change),
            pytest.raises(OperationalError, match="could not serialize"),
        ):
            world.book()
        assert booked(world) == (0, 0, 0)
        world.reboot()
        world.book()
        assert booked(world) == (1, 1, 1)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"{strict} READ COMMITTED")


@pytest.fixture
def killed_server() -> Callable[[], None]:
    """Return what stops the server without a word and starts it again, as a crash does."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        pytest.skip("other processes test on the same server")
    with connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        (data,) = cursor.fetchone()
    pg_ctl = programme("pg_ctl")
    if pg_ctl is None or not Path(data, "postmaster.opts").exists():
        pytest.skip("the server is not one of this machine's")

    def restart() -> None:
        subprocess.run(
            [pg_ctl, "-D", data, "-l", f"{data}/../log", "-m", "immediate", "-w", "restart"],
            user=Path(data).stat().st_uid if os.geteuid() == 0 else None,
            cwd=data,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=True,
        )

    return restart


def test_an_event_that_the_server_dies_in_leaves_nothing_and_is_taken_again(
    world: World, monkeypatch: pytest.MonkeyPatch, killed_server: Callable[[], None]
) -> None:
    """F-040, F-039: stopped at once in the middle of the booking; what was acknowledged stands."""
    intent = world.intend()
    world.broker.submit(intent, world.event)
    with (
        within_the_booking(monkeypatch, killed_server),
        pytest.raises((OperationalError, InterfaceError)),
    ):
        world.book()
    connection.close()
    assert world.order(intent).status in (OrderStatus.OPEN, OrderStatus.PARTIAL)
    assert booked(world) == (0, 0, 0)
    world.reboot()
    world.book()
    assert booked(world) == (1, 1, 1)


def test_a_worker_whose_server_is_killed_trades_at_the_next_knock(
    killed_server: Callable[[], None],
) -> None:
    """F-040: the knock that finds a dead connection does nothing, the next one has a new one."""
    runner, run = Runner(Session, "1"), make_run()
    assert runner.advance(run.pk).outcome == "advanced"
    killed_server()
    with pytest.raises((OperationalError, InterfaceError)):
        runner.advance(run.pk)
    # as at each task's end: a connection that cannot be used is not used again
    close_old_connections()
    assert runner.advance(run.pk).outcome == "advanced"


class Session:
    """One that counts its advances."""

    def __init__(self, run: models.TradingRun, fence: Fence) -> None:
        self.fence = fence

    def advance(self) -> AdvanceSummary:
        return AdvanceSummary(self.fence.run_id, "advanced")

    def close(self) -> None: ...


def test_a_worker_without_a_connection_does_nothing_and_the_next_knock_trades(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F-042: as many connections as the server gives us, all of them taken."""
    runner, run = Runner(Session, "1"), make_run()
    role = "short_of_connections"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP ROLE IF EXISTS {role}")
        cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x' CONNECTION LIMIT 1")
        cursor.execute(f"GRANT {connection.settings_dict['USER']} TO {role}")
    with monkeypatch.context() as patched:
        patched.setitem(connection.settings_dict, "USER", role)
        patched.setitem(connection.settings_dict, "PASSWORD", "x")
        connection.close()
        with beside(user=role, password="x"):
            with pytest.raises(OperationalError, match="too many connections"):
                runner.advance(run.pk)
            connection.close()
        until_s = time.monotonic() + PATIENCE_S
        while (outcome := _knocked(runner, run)) == "none left" and time.monotonic() < until_s:
            time.sleep(0.01)  # the server takes a moment to notice who has gone
        connection.close()
    assert outcome == "advanced"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP ROLE {role}")


def _knocked(runner: Runner, run: models.TradingRun) -> str:
    try:
        return runner.advance(run.pk).outcome
    except OperationalError:
        return "none left"
