"""The watchdog: heartbeats in, alerts and fresh starts out."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitoring.models import Alert, Heartbeat
from monitoring.services import heartbeat
from tradeplatform.configuration import Monitoring
from tradeplatform.watchdog import Watchdog, end_child

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1)
LIMITS = Monitoring(heartbeat_grace_seconds=15.0, restart_silent_after_seconds=90.0)
pytestmark = pytest.mark.django_db


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.ended: list[str] = []

    def end(self, component: str, up_for_s: float) -> list[int]:
        assert up_for_s == LIMITS.restart_silent_after_seconds
        self.ended.append(component)
        return [4242]

    def look(self, watchdog: Watchdog, after_s: float) -> list[str]:
        self.seconds = after_s
        return watchdog.look(NOW + timedelta(seconds=after_s))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watchdog(clock: Clock) -> Watchdog:
    heartbeat(component="trading", expected_every_s=10, at=NOW)
    return watching(clock)


def watching(clock: Clock, started_at: datetime = LONG_AGO) -> Watchdog:
    return Watchdog(LIMITS, end=clock.end, monotonic=lambda: clock.seconds, started_at=started_at)


def open_alerts() -> list[Alert]:
    return list(Alert.objects.filter(resolved_at__isnull=True))


def test_a_component_on_time_raises_nothing(clock: Clock, watchdog: Watchdog) -> None:
    assert clock.look(watchdog, 25.0) == []
    assert open_alerts() == []


def test_a_late_heartbeat_is_one_critical_alert_with_its_age(
    clock: Clock, watchdog: Watchdog
) -> None:
    """F-025, F-026, CTL-21"""
    assert clock.look(watchdog, 25.1) == ["trading"]
    clock.look(watchdog, 30.0)
    (alert,) = open_alerts()
    assert (alert.severity, alert.code, alert.count) == ("critical", "HEARTBEAT_LATE", 1)
    assert "trading was silent for 25 s, expected every 10 s" in alert.text


def test_the_alert_is_resolved_when_the_component_speaks_again(
    clock: Clock, watchdog: Watchdog
) -> None:
    clock.look(watchdog, 30.0)
    heartbeat(component="trading", expected_every_s=10, at=NOW + timedelta(seconds=31))
    assert clock.look(watchdog, 35.0) == []
    assert open_alerts() == []


def test_a_worker_that_stays_silent_is_ended_once_in_each_period(
    clock: Clock, watchdog: Watchdog
) -> None:
    """F-025: silent for 90 s means a fresh start, not a restart at every look."""
    for after_s in (30.0, 89.9):
        clock.look(watchdog, after_s)
    assert clock.ended == []
    for after_s in (90.0, 95.0, 135.0, 175.0):
        clock.look(watchdog, after_s)
    assert clock.ended == ["trading"]
    clock.look(watchdog, 180.0)
    assert clock.ended == ["trading", "trading"]
    assert "ended pid 4242" in open_alerts()[0].text


def test_a_silent_component_that_no_restart_helps_is_only_reported(clock: Clock) -> None:
    heartbeat(component="run 1", expected_every_s=5, at=NOW)
    watchdog = watching(clock)
    assert clock.look(watchdog, 600.0) == ["run 1"]
    assert clock.ended == []


def test_heartbeats_of_an_earlier_start_are_no_silence_of_this_one(clock: Clock) -> None:
    """F-025: after a night off every heartbeat is old and nobody is late yet."""
    heartbeat(component="trading", expected_every_s=10, at=NOW - timedelta(hours=8))
    watchdog = watching(clock, NOW)
    for after_s in (0.0, 5.0, 30.0, 54.0):
        assert clock.look(watchdog, after_s) == []
    assert (open_alerts(), clock.ended) == ([], [])
    # but whoever stays silent from our start on is as silent as any other
    assert clock.look(watchdog, 56.0) == ["trading"]
    for after_s in (90.0, 119.0):
        clock.look(watchdog, after_s)
    assert clock.ended == []
    clock.look(watchdog, 121.0)
    assert clock.ended == ["trading"]


def test_a_machine_that_slept_wakes_to_no_alert_and_nobody_is_ended(clock: Clock) -> None:
    """F-025: after two hours of sleep everything is old; it counts from the waking, as at a
    start."""
    watchdog = watching(clock)
    for after_s in (0.0, 5.0):
        heartbeat(component="trading", expected_every_s=10, at=NOW + timedelta(seconds=after_s))
        clock.look(watchdog, after_s)
    woke_s = 7_200.0
    for after_s in (0.0, 5.0, 30.0, 54.0):
        assert clock.look(watchdog, woke_s + after_s) == []
    assert (open_alerts(), clock.ended) == ([], [])
    # whoever did not wake is late then
    assert clock.look(watchdog, woke_s + 56.0) == ["trading"]


def test_an_alert_of_an_earlier_start_stays_until_the_component_speaks(clock: Clock) -> None:
    clock.look(watching(clock), 0.0)
    heartbeat(component="trading", expected_every_s=10, at=NOW - timedelta(hours=8))
    clock.look(watching(clock), 1.0)
    watchdog = watching(clock, NOW)
    clock.look(watchdog, 2.0)
    assert len(open_alerts()) == 1
    heartbeat(component="trading", expected_every_s=10, at=NOW + timedelta(seconds=3))
    clock.look(watchdog, 4.0)
    assert open_alerts() == []


def test_the_watchdog_leaves_its_own_heartbeat_and_never_judges_itself(
    clock: Clock, watchdog: Watchdog
) -> None:
    clock.look(watchdog, 30.0)
    own = Heartbeat.objects.get(component="watchdog")
    assert own.at == NOW + timedelta(seconds=30)
    assert own.detail == {"late": ["trading"]}
    for after_s in (60.0, 90.0):
        assert clock.look(watchdog, after_s) == ["trading"]


def test_a_stranger_with_a_reused_process_id_is_left_alone(tmp_path: Path) -> None:
    """I-28: only children of our own supervisor are ended."""
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        (tmp_path / "children.json").write_text(json.dumps({"trading": stranger.pid}))
        assert end_child(tmp_path, "trading") == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_siblings_of_that_name_are_ended_and_no_others(tmp_path: Path) -> None:
    """F-025: run in a child, so that the sleepers are siblings of the one that looks; a worker
    that came up a moment ago is not ended for its predecessor's silence."""
    code = f"""
import json, os, subprocess, sys, time
sleepers = {{n: subprocess.Popen([sys.executable, "-c", "import time; time.sleep(900)"])
            for n in ("trading1", "trading2", "web")}}
pids = {{name: p.pid for name, p in sleepers.items()}} | {{"beat": None}}
open({str(tmp_path / "children.json")!r}, "w").write(json.dumps(pids))
look = "import django; django.setup(); from pathlib import Path\\n"
look += "from tradeplatform.watchdog import end_child\\n"
look += "young = end_child(Path({str(tmp_path)!r}), 'trading', 900.0)\\n"
look += "print(young, end_child(Path({str(tmp_path)!r}), 'trading'))"
said = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True).stdout
[sleepers[name].wait(60) for name in ("trading1", "trading2")]
alive = sorted(name for name, p in sleepers.items() if p.poll() is None)
[p.kill() for p in sleepers.values()]
print(json.dumps([said.strip() == f"[] {{[pids['trading1'], pids['trading2']]}}", alive]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [True, ["web"]]


def test_without_a_supervisor_there_is_nobody_to_end(tmp_path: Path) -> None:
    assert end_child(tmp_path, "trading") == []
