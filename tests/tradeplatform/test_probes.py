"""What the watchdog asks and is told: answers become heartbeats, ends become alerts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from monitoring.components import component_list
from monitoring.models import Alert, Heartbeat, Incident
from monitoring.services import heartbeat
from tradeplatform import probes
from tradeplatform.preparation import free_port

NOW = datetime(2026, 1, 1, tzinfo=UTC)
pytestmark = pytest.mark.django_db


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(500 if "broken" in self.path else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture
def server() -> Iterator[str]:
    listening = HTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    listening.server_close()


def note(run_dir: Path, *lines: str) -> None:
    (run_dir / "ended.jsonl").write_text("".join(f"{line}\n" for line in lines))


def ended(name: str, after_s: float = 0.0) -> str:
    at = NOW.timestamp() + after_s
    return json.dumps({"name": name, "how": "was killed by SIGKILL", "at": at})


def test_an_answer_is_a_heartbeat_and_silence_is_none() -> None:
    """F-025, F-026"""
    silent = probes.ask({"web": lambda: True, "redis": lambda: False}, NOW)
    assert silent == ["redis"]
    assert [(row.component, row.at) for row in Heartbeat.objects.all()] == [("web", NOW)]


def test_a_component_that_stops_answering_grows_late() -> None:
    """F-026"""
    probes.ask({"web": lambda: True}, NOW)
    probes.ask({"web": lambda: False}, NOW + timedelta(seconds=40))
    (state,) = component_list(NOW + timedelta(seconds=40))
    assert state.is_late
    assert state.age_s == 40.0


def test_a_server_that_fails_or_is_not_there_does_not_answer(server: str) -> None:
    assert probes.answers_http(f"{server}/api/v1/health")
    assert not probes.answers_http(f"{server}/broken")
    assert not probes.answers_http(f"http://127.0.0.1:{free_port()}/")
    assert not probes.answers_redis(f"redis://127.0.0.1:{free_port()}/0")


def test_only_what_runs_here_is_asked_and_the_rest_is_forgotten() -> None:
    """A practice exchange of an earlier start must not be late for ever."""
    heartbeat(component="exchange", expected_every_s=10, at=NOW)
    heartbeat(component="trading", expected_every_s=10, at=NOW)
    asked = probes.probes({"TRADEPLATFORM_PORT": "8000"})
    assert set(asked) == {"web", "redis"}
    probes.forget_the_unasked(asked)
    assert list(Heartbeat.objects.values_list("component", flat=True)) == ["trading"]


def test_a_restarted_process_leaves_an_alert_and_an_incident(tmp_path: Path) -> None:
    """F-096"""
    note(tmp_path, ended("web"), ended("web", 60), '{"name": "half')
    assert probes.tell_of_ends(tmp_path, NOW) == 2
    alert = Alert.objects.get()
    assert (alert.code, alert.count) == ("PROCESS_RESTARTED", 2)
    assert "web was killed by SIGKILL, started again (2026-01-01 00:01:00 UTC)" in alert.text
    assert Incident.objects.get().count == 2
    assert probes.tell_of_ends(tmp_path, NOW) == 0
    assert Alert.objects.get().count == 2


def test_what_was_moved_aside_before_the_database_failed_is_told_later(tmp_path: Path) -> None:
    """F-096"""
    note(tmp_path, ended("web"))
    (tmp_path / "ended.jsonl").rename(tmp_path / "ended.jsonl.reading")
    note(tmp_path, ended("beat"))
    assert [probes.tell_of_ends(tmp_path, NOW) for _ in range(3)] == [1, 1, 0]
    assert Alert.objects.count() == 2


def test_the_alert_closes_when_the_process_has_stayed_up(tmp_path: Path) -> None:
    note(tmp_path, ended("web"))
    probes.tell_of_ends(tmp_path, NOW)
    assert probes.resolve_steady(NOW + timedelta(minutes=9)) == 0
    assert probes.resolve_steady(NOW + timedelta(minutes=10)) == 1
