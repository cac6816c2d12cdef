"""The broker fails in each of its ways beside a platform that trades: real processes, one after the
other on the same ones, and both ledgers agree at the end."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis
from celery import Celery

from tests.crash import arming
from tests.crash.metronome import metronome
from tests.crash.oracle import judge, read_books
from tests.crash.platform import WORKERS, Child, Platform, platform
from tradeplatform.settings import CELERY_BROKER_TRANSPORT_OPTIONS as TRANSPORT
from tradeplatform.supervisor import ENDS_FILE

pytestmark = [pytest.mark.crash, pytest.mark.slow]
BARS_A_SECOND = 4.0
PATIENCE_S = 240.0
QUEUE = f"{TRANSPORT['global_keyprefix']}trading"
KNOCK = "trades.tasks.advance_due"
OLD_KNOCKS = 1_000


@dataclass
class Scene:
    """A platform with one trading worker, and what stands beside it."""

    running: Platform

    @property
    def worker(self) -> Child:
        return self.running.children[WORKERS[0]]

    @property
    def socket(self) -> str:
        return str(self.running.folder / "redis.sock")

    def redis(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=self.socket, socket_timeout=5.0)

    def celery(self) -> Celery:
        app = Celery("outages", broker=self.running.broker_url, set_as_current=False)
        app.conf.broker_transport_options = TRANSPORT
        return app

    def trades_on(self) -> None:
        """Return once two more events of the run are committed."""
        for _ in range(2):
            before = self.running.last_event()
            eventually(lambda before=before: self.running.last_event() != before)

    def waits(self, mark: bytes) -> bool:
        """Return whether a message with this in it waits in the queue of trading."""
        with closing(self.redis()) as client:
            return any(mark in message for message in client.lrange(QUEUE, 0, -1))

    def knocks_heard(self) -> int:
        """Return how many knocks the worker carried out so far, by its own word."""
        heard: list[int] = []

        def asked() -> bool:
            for stats in (self.celery().control.inspect(timeout=3.0).stats() or {}).values():
                heard.append(stats["total"].get(KNOCK, 0))
            return bool(heard)

        eventually(asked)
        return heard[-1]

    @contextlib.contextmanager
    def paused_worker(self) -> Iterator[None]:
        os.kill(self.worker.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.worker.pid, signal.SIGCONT)


def eventually(is_so: Callable[[], Any], *, every_s: float = 0.2) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while True:
        # a broker or a database that is not there yet is no answer
        with suppress(redis.RedisError, OSError):
            if is_so():
                return
        assert time.monotonic() < until_s, "it never came true"
        time.sleep(every_s)


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    # short, because the path of a unix socket may have 107 bytes
    folder = Path(tempfile.mkdtemp(prefix="tpo-"))
    patch = pytest.MonkeyPatch()
    # few die here: on a busy machine a shorter lease is lost by who is alive
    patch.setenv("TEST_LEASE_SECONDS", "4")
    try:
        with platform(folder / "var", seed=3, speed=0.0) as running:
            running.children[WORKERS[1]].kill()
            with metronome(running, BARS_A_SECOND):
                found = Scene(running)
                eventually(lambda: running.query("SELECT count(*) FROM trades_fill")[0][0])
                yield found
                running.admin("DELETE", "/fault")
            eventually(lambda: _verdict(running).is_clean)
            verdict = _verdict(running)
            assert verdict.orders and verdict.fills, "a platform that does not trade proves nothing"
            assert (verdict.doubled, verdict.lost_fills, verdict.unknown_orders) == (0, 0, 0)
    finally:
        patch.undo()
        shutil.rmtree(folder)


def _verdict(running: Platform) -> Any:
    return judge(read_books(running.query), running.admin("GET", "/ledger"))


def test_junk_in_the_queue_of_trading_is_refused_and_the_worker_lives(scene: Scene) -> None:
    """F-028, SEC-37: a pickle, a word that is no JSON, a task that nobody knows."""
    scene.trades_on()
    pid = scene.worker.pid
    app = scene.celery()
    trap = scene.running.folder / "unpickled"
    with app.connection_for_write() as connection, closing(connection.Producer()) as producer:
        for body, kind, encoding in (
            (pickle.dumps(_Trap(str(trap))), "application/x-python-serialize", "binary"),
            (b"[[1, 2", "application/json", "utf-8"),
        ):
            producer.publish(
                body,
                routing_key="trading",
                exchange="trading",
                content_type=kind,
                content_encoding=encoding,
                headers={"task": KNOCK, "id": uuid.uuid4().hex, "lang": "py"},
            )
    app.send_task("trades.tasks.no_such_task", queue="trading")
    # the queue is taken from in order: what came before it was taken as well
    eventually(lambda: not scene.waits(b"no_such_task"))
    scene.trades_on()
    assert scene.worker.is_alive and scene.worker.pid == pid
    assert not trap.exists(), "nothing of a pickle is carried out"


class _Trap:
    """Pickled, it writes a file where it is unpickled."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (self._path,))


def test_a_thousand_old_knocks_are_dropped_unheard(scene: Scene) -> None:
    """F-029, I-1: what piled up while nobody took it has expired, and trading goes on at once."""
    scene.trades_on()
    before = scene.knocks_heard()
    with scene.paused_worker(), closing(scene.redis()) as client:
        long_ago = datetime.now(UTC) - timedelta(minutes=5)
        mark = long_ago.isoformat().encode()
        scene.celery().send_task(KNOCK, queue="trading", expires=long_ago)
        (message,) = [m for m in client.lrange(QUEUE, 0, -1) if mark in m]
        ids = _ids(orjson.loads(message))
        with client.pipeline(transaction=False) as pipe:
            for _ in range(OLD_KNOCKS - 1):
                copy = message
                for one in ids:
                    copy = copy.replace(one, str(uuid.uuid4()).encode())
                pipe.lpush(QUEUE, copy)
            pipe.execute()
        assert client.llen(QUEUE) >= OLD_KNOCKS
    eventually(lambda: not scene.waits(mark), every_s=2.0)
    scene.trades_on()
    assert scene.knocks_heard() - before < OLD_KNOCKS / 10


def _ids(message: dict[str, Any]) -> list[bytes]:
    properties = message["properties"]
    found = (message["headers"]["id"], properties["delivery_tag"])
    return [one.encode() for one in found]


def test_a_full_broker_stops_knocks_and_no_event_and_space_brings_them_back(scene: Scene) -> None:
    """F-030: nothing is evicted, what is written fails, and nobody ends for it."""
    scene.trades_on()
    knocked = ("redis", WORKERS[0], "beat")
    pids = [scene.running.children[name].pid for name in knocked]
    with closing(scene.redis()) as client:
        client.set("kept", b"x")
        client.config_set("maxmemory", "1")
        try:
            with pytest.raises(redis.ResponseError, match="OOM"):
                client.lpush(QUEUE, b"x")
            # so long that many knocks and frames were refused
            time.sleep(3)
        finally:
            client.config_set("maxmemory", "0")
        assert client.delete("kept") == 1, "nothing was evicted"
    scene.trades_on()
    assert all(scene.running.children[name].is_alive for name in knocked)
    assert [scene.running.children[name].pid for name in knocked] == pids


def test_a_broker_that_died_and_came_back_empty_is_traded_on_by_the_same_processes(
    scene: Scene,
) -> None:
    """F-021, F-022, I-9, F-103: meanwhile a halt works, and nobody has to start anything."""
    scene.trades_on()
    broker, pid = scene.running.children["redis"], scene.worker.pid
    broker.kill()
    assert scene.running.person_does("halt")["done"]
    assert scene.running.person_does("resume")["done"]
    broker.start()
    eventually(lambda: scene.redis().ping())
    scene.trades_on()
    assert scene.worker.is_alive and scene.worker.pid == pid


def test_a_pool_process_killed_within_a_tick_is_told_and_traded_on_without(scene: Scene) -> None:
    """F-009: Celery makes another one; the line is what the watchdog makes its alert of."""
    scene.trades_on()
    pid, told = scene.worker.pid, scene.running.folder / "run" / ENDS_FILE
    told.parent.mkdir(exist_ok=True)
    told.unlink(missing_ok=True)

    def killed() -> bool:
        for child in scene.worker.pool_children():
            # one that is between two knocks loses nothing, and nobody is told
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(1)
        return told.exists()

    eventually(killed)
    assert "trading1 pool" in told.read_text() and "SIGKILL" in told.read_text()
    scene.trades_on()
    assert scene.worker.is_alive and scene.worker.pid == pid


def test_a_worker_that_is_told_to_end_within_a_tick_leaves_no_order_half_sent(
    scene: Scene,
) -> None:
    """F-008, I-23: told between an order's claim and its send, it finishes what it began."""
    scene.trades_on()
    arming.forget(scene.running.folder)
    arming.wish(scene.running.folder, "oms.before_send=sleep:1@1")
    sending = "SELECT count(*) FROM trades_order WHERE status = 'SENDING'"
    eventually(lambda: arming.taker(scene.running.folder))
    eventually(lambda: scene.running.query(sending)[0][0])
    process = scene.worker.process
    assert process is not None
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait() == 0
    assert scene.running.query(sending)[0][0] == 0
    scene.worker.start()
    scene.trades_on()


def test_any_order_of_start_comes_to_trade(scene: Scene) -> None:
    """F-096, I-19: all of it killed, and started with what others need last."""
    scene.trades_on()
    order = ("beat", WORKERS[0], "exchange", "redis")
    for name in order:
        scene.running.children[name].kill()
    for name in order:
        scene.running.children[name].start()
        time.sleep(1)
    eventually(scene.running._exchange_answers)
    scene.trades_on()
    assert all(scene.running.children[name].is_alive for name in order)
