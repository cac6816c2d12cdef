"""A worker that builds for minutes is busy, not silent."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from django.utils.module_loading import import_string

from monitoring.models import Heartbeat
from tests.trades.rows import make_run
from trades import tasks, worker_beats
from trades.lease import Fence
from trades.models import TradingRun
from trades.runner import AdvanceSummary, Runner

pytestmark = pytest.mark.django_db(transaction=True)
LIMIT_S = 30.0


class Idle:
    def __init__(self, fence: Fence) -> None:
        self.fence = fence

    def advance(self) -> AdvanceSummary:
        return AdvanceSummary(self.fence.run_id, "advanced")

    def close(self) -> None: ...


def begun(run: TradingRun, monkeypatch: pytest.MonkeyPatch, factory: Any) -> str:
    """Begin a run as its worker does; return the outcome."""
    runner = Runner(factory, "1", address="trading@here")
    monkeypatch.setattr(tasks, "_runner", lambda address: runner)
    return str(tasks.begin.run(run.pk)["outcome"])


@pytest.mark.parametrize(
    ("config", "component"), [({}, "trading"), ({"accounts": ["main", "second"]}, "trading.second")]
)
def test_a_worker_that_builds_a_session_beats_all_the_while(
    config: dict[str, Any], component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-025: the heartbeats asked of its one process wait behind the build, which no watchdog
    may take for a silence; the beats end with it."""
    monkeypatch.setattr(worker_beats, "EVERY_S", 0.02)
    run = make_run(config=config, account="second" if config else "main")
    seen: set[datetime] = set()

    def slow(_: TradingRun, fence: Fence) -> Idle:
        until_s = time.monotonic() + LIMIT_S
        while len(seen) < 3 and time.monotonic() < until_s:
            seen.update(Heartbeat.objects.filter(component=component).values_list("at", flat=True))
            time.sleep(0.01)
        return Idle(fence)

    assert begun(run, monkeypatch, slow) == "advanced"
    assert len(seen) == 3
    assert Heartbeat.objects.get().component == component, "nobody else's is written"
    assert not [thread for thread in threading.enumerate() if thread.name == "beats"]


@pytest.mark.parametrize(
    ("task", "work"),
    [
        ("trades.tasks.thin_holds", "trades.tasks.retention_run"),
        ("tradeplatform.tasks.retention_due", "tradeplatform.tasks.retention_run"),
        ("resources.tasks.maintenance_due", "resources.tasks.run_what_is_due"),
    ],
)
def test_the_general_worker_beats_while_it_deletes_what_is_old(
    task: str, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-025: a backlog may take minutes."""
    monkeypatch.setattr(worker_beats, "EVERY_S", 0.02)
    seen: set[datetime] = set()

    def slow(*_: Any, **__: Any) -> dict[str, int]:
        until_s = time.monotonic() + LIMIT_S
        while len(seen) < 3 and time.monotonic() < until_s:
            seen.update(Heartbeat.objects.filter(component="general").values_list("at", flat=True))
            time.sleep(0.01)
        return {}

    monkeypatch.setattr(work, slow)
    import_string(task).run()
    assert len(seen) == 3
    assert not [thread for thread in threading.enumerate() if thread.name == "beats"]


def test_a_heartbeat_that_cannot_be_written_ends_no_build(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """F-025: it is said, and the next one is tried."""
    monkeypatch.setattr(worker_beats, "EVERY_S", 0.02)
    tried = threading.Semaphore(0)

    def locked(**_: Any) -> None:
        tried.release()
        raise OperationalError("database is locked")

    def slow(_: TradingRun, fence: Fence) -> Idle:
        assert all(tried.acquire(timeout=LIMIT_S) for _ in range(3))
        return Idle(fence)

    monkeypatch.setattr("tradeplatform.tasks.heartbeat", locked)
    assert begun(make_run(), monkeypatch, slow) == "advanced"
    assert "heartbeat of trading was not written: database is locked" in caplog.text


def test_a_build_that_fails_ends_its_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """F-025: what beats on for a worker that does nothing would hide its silence."""

    def failing(_: TradingRun, fence: Fence) -> Idle:
        raise RuntimeError("no venue")

    with pytest.raises(RuntimeError, match="no venue"):
        begun(make_run(), monkeypatch, failing)
    assert not [thread for thread in threading.enumerate() if thread.name == "beats"]


def test_a_run_that_has_ended_has_no_worker_to_beat_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """F-025"""
    run = make_run(ended_at=timezone.now())
    assert begun(run, monkeypatch, lambda _, fence: Idle(fence)) == "ended"
    assert not Heartbeat.objects.exists()
