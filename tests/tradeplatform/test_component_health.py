"""Every component of the platform has a probe, and one that stops is seen to have stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from django_celery_beat.schedulers import DatabaseScheduler

from engine.announce import SilentAnnouncer
from monitoring.components import LATE_AFTER_PERIODS, component_list
from monitoring.models import Heartbeat
from notifications.core.config import Notifications
from notifications.notifier import Notifier
from tests.accounts.callers import anonymous, by_token
from tests.trades.order_factory import make_run
from tradeplatform import probes, tasks
from tradeplatform.configuration import Monitoring
from tradeplatform.scheduler import BeatScheduler
from tradeplatform.watch import RunWatch
from tradeplatform.watchdog import Watchdog
from trades.runner import AdvanceSummary

ROOT = Path(__file__).resolve().parent.parent.parent
START = datetime(2026, 1, 1, tzinfo=UTC)
pytestmark = pytest.mark.django_db


class Now:
    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Now:
    moment = Now()
    monkeypatch.setattr("django.utils.timezone.now", moment)
    return moment


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    listening = HTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=listening.serve_forever, daemon=True).start()
    yield listening
    listening.shutdown()
    listening.server_close()


@pytest.fixture
def components(monkeypatch: pytest.MonkeyPatch, now: Now) -> dict[str, Callable[[], object]]:
    """What each of them does at the end of useful work, by name."""
    monkeypatch.setattr(DatabaseScheduler, "tick", lambda self: 1.0)
    monkeypatch.setattr(DatabaseScheduler, "schedule", {})
    run = RunWatch(make_run(), SilentPublisher())

    def tick() -> None:
        scheduler = BeatScheduler.__new__(BeatScheduler)
        scheduler._told_at = float("-inf")
        scheduler.tick()

    def look() -> None:
        Watchdog(Monitoring(), end=lambda *_: [], monotonic=lambda: 0.0, started_at=now()).look(
            now()
        )

    def asked(name: str) -> Callable[[], object]:
        return lambda: probes.ask({name: lambda: True}, now())

    return {
        **{name: asked(name) for name in probes.PROBED},
        "trading": tasks.heartbeat_trading,
        "general": tasks.heartbeat_general,
        "beat": tick,
        "watchdog": look,
        "notifier": lambda: Notifier(Notifications(), {}).look(now()),
        "loop": lambda: run.advanced(AdvanceSummary(1, "advanced")),
    }


class SilentPublisher(SilentAnnouncer):
    def publish(self, topic: str, data: object) -> None:
        return None


def late(now: Now) -> set[str]:
    return {state.component for state in component_list(now()) if state.is_late}


def test_every_process_and_what_it_rests_on_has_a_probe(
    components: dict[str, Callable[[], object]],
) -> None:
    """ORC-21: those of the Procfile, the broker, the practice exchange and the loop itself."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    processes = {line.split(":")[0] for line in lines if line and not line.startswith("#")}
    assert processes | {"redis", "exchange", "loop"} == set(components)
    states = {row.component: row.state.value for row in component_list(START)}
    assert states == {"loop": "new"}, "nobody is well who never said so"
    for act in components.values():
        act()
    assert set(Heartbeat.objects.values_list("component", flat=True)) == set(components)


def test_whoever_stops_is_late_and_nobody_else_is(
    components: dict[str, Callable[[], object]], now: Now
) -> None:
    """ORC-21, F-025: one after the other is silent for its own interval while the others work."""
    for stopped in components:
        now.at += timedelta(hours=1)
        for act in components.values():
            act()
        assert late(now) == set()
        every_s = Heartbeat.objects.get(component=stopped).expected_every_s
        now.at += timedelta(seconds=LATE_AFTER_PERIODS * every_s)
        for name, act in components.items():
            if name != stopped:
                act()
        assert late(now) == set(), f"{stopped} has until then"
        now.at += timedelta(seconds=0.1)
        assert late(now) == {stopped}
        assert anonymous().get("/api/v1/health").json() == {"status": "degraded"}
        rows = by_token("viewer").get("/api/v1/monitoring/components").json()["results"]
        assert {row["component"] for row in rows if row["is_late"]} == {stopped}
        components[stopped]()
        assert late(now) == set()


def test_a_server_that_is_shut_down_turns_late_by_itself(server: HTTPServer, now: Now) -> None:
    """ORC-21: a real server, asked by a real request; nothing of its state is a constant."""
    url = f"http://127.0.0.1:{server.server_port}/"
    asked = {"web": lambda: probes.answers_http(url)}
    assert probes.ask(asked, now()) == [] and late(now) == set()
    server.shutdown()
    server.server_close()
    interval = timedelta(seconds=LATE_AFTER_PERIODS * probes.EXPECTED_EVERY_S)
    now.at += interval / 2
    assert probes.ask(asked, now()) == ["web"] and late(now) == set()
    now.at += interval
    assert probes.ask(asked, now()) == ["web"] and late(now) == {"web"}
