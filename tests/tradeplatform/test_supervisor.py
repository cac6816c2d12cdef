"""The supervisor with real processes: small stand-ins, real signals, nothing mocked."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

SUPERVISOR = Path(__file__).resolve().parents[2] / "tradeplatform" / "supervisor.py"
SLEEPER = "import os,time; open(os.environ['TRADEPLATFORM_READY_FILE'],'w'); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER
WITH_GRANDCHILD = (
    "import subprocess,sys; subprocess.Popen([sys.executable,'-c','import time; time.sleep(600)']);"
    + SLEEPER
)


def child(name: str, code: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "argv": [sys.executable, "-c", code],
        "ready": {"kind": "file"},
        "stop_timeout_s": 1.0,
        **more,
    }


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a zombie that nobody has collected yet is dead."""
    left = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                left.append(process)
    return left


class Running:
    """A supervisor under test and what it wrote."""

    def __init__(self, folder: Path, children: list[dict[str, Any]], **plan: Any) -> None:
        self.run_dir, self.log_dir = folder / "run", folder / "log"
        self.out = folder / "out.txt"
        document = {
            "children": children,
            "run_dir": str(self.run_dir),
            "log_dir": str(self.log_dir),
            "ready_lines": ["READY"],
            **plan,
        }
        environment = os.environ | {"TRADEPLATFORM_PLAN": json.dumps(document)}
        environment |= plan.get("environment", {})
        with self.out.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(SUPERVISOR)], stdout=out, stderr=out, env=environment
            )

    def text(self) -> str:
        return self.out.read_text()

    def pids(self) -> dict[str, int]:
        known: dict[str, int] = json.loads((self.run_dir / "children.json").read_text())
        return known

    def wait_ready(self) -> Running:
        eventually(lambda: "READY" in self.text(), self.text)
        return self

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def eventually(check: Callable[[], bool], what: Callable[[], str], timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def begin(*children: dict[str, Any], **plan: Any) -> Running:
        started.append(Running(tmp_path, list(children), **plan))
        return started[-1]

    yield begin
    for running in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in running.descendants():
                process.kill()
        running.process.kill()
        running.process.wait()


def test_a_killed_child_is_started_again_and_the_others_are_left_alone(start: Any) -> None:
    """F-096, F-009"""
    running = start(child("web", SLEEPER), child("beat", SLEEPER)).wait_ready()
    before = running.pids()
    os.kill(before["web"], signal.SIGKILL)
    eventually(lambda: running.pids()["web"] not in (None, before["web"]), running.text)
    assert running.pids()["beat"] == before["beat"]
    assert "web  | was killed by SIGKILL; starting it again in 0.5 s" in running.text()


def test_each_end_is_written_down_for_the_watchdog(start: Any) -> None:
    """F-096"""
    running = start(child("web", SLEEPER)).wait_ready()
    os.kill(running.pids()["web"], signal.SIGKILL)
    eventually((running.run_dir / "ended.jsonl").exists, running.text)
    noted = json.loads((running.run_dir / "ended.jsonl").read_text())
    assert (noted["name"], noted["how"]) == ("web", "was killed by SIGKILL")


def test_wrong_use_after_a_good_start_is_an_end_like_another(start: Any) -> None:
    """F-040: a database that is away while a worker restarts must not stop everything."""
    once_good = (
        "import os,sys,pathlib; seen=pathlib.Path(os.environ['TRADEPLATFORM_READY_FILE']+'.seen');"
        "seen.exists() and sys.exit(2); seen.touch(); "
    )
    running = start(child("web", once_good + SLEEPER), child("beat", SLEEPER)).wait_ready()
    os.kill(running.pids()["web"], signal.SIGKILL)
    eventually(lambda: "ended with 2; starting it again" in running.text(), running.text)
    assert running.process.poll() is None


def test_delays_between_restarts_double(start: Any) -> None:
    running = start(child("web", "raise SystemExit(1)"))
    eventually(lambda: "again in 2 s" in running.text(), running.text)
    delays = [line for line in running.text().splitlines() if "ended with 1" in line]
    assert [line.split(" again in ")[1] for line in delays[:3]] == ["0.5 s", "1 s", "2 s"]


def test_a_term_signal_stops_everything_in_tiers_and_leaves_nothing(start: Any) -> None:
    """OPT-40, F-008"""
    order = "import signal,sys,os; signal.signal(signal.SIGTERM, lambda *a: (print('bye {0}', "
    order += "flush=True), sys.exit(0))); "
    running = start(
        child("redis", order.format("redis") + SLEEPER, stop_tier=2),
        child("worker", order.format("worker") + SLEEPER, stop_tier=1),
        child("beat", order.format("beat") + SLEEPER, stop_tier=0),
    ).wait_ready()
    family = running.descendants()
    began = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(10) == 0
    assert time.monotonic() - began < 10
    eventually(lambda: not alive(family), lambda: str(family), timeout_s=2)
    said = [line.split("bye ")[1] for line in running.text().splitlines() if "bye" in line]
    assert said == ["beat", "worker", "redis"]


def test_a_child_that_ignores_the_signal_and_its_children_are_killed_in_time(start: Any) -> None:
    running = start(child("web", STUBBORN), child("worker", WITH_GRANDCHILD)).wait_ready()
    family = running.descendants()
    assert len(family) == 3
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(10) == 0
    eventually(lambda: not alive(family), lambda: str(family), timeout_s=2)


def test_a_second_signal_kills_at_once(start: Any) -> None:
    running = start(child("web", STUBBORN, stop_timeout_s=60.0)).wait_ready()
    family = running.descendants()
    running.process.send_signal(signal.SIGINT)
    eventually(lambda: "stopping" in running.text(), running.text)
    began = time.monotonic()
    running.process.send_signal(signal.SIGINT)
    running.process.wait(10)
    assert time.monotonic() - began < 5
    eventually(lambda: not alive(family), lambda: str(family), timeout_s=2)


def test_children_do_not_outlive_a_killed_supervisor(start: Any) -> None:
    """F-096"""
    running = start(child("web", SLEEPER), child("beat", SLEEPER)).wait_ready()
    family = running.descendants()
    running.process.kill()
    running.process.wait()
    eventually(lambda: not alive(family), lambda: str(family))


def test_a_child_waits_for_those_it_depends_on(start: Any) -> None:
    run_once = child("ensure", "print('ensured')", once=True, after=["redis"])
    running = start(
        child("worker", "print('worked', flush=True); " + SLEEPER, after=["ensure"]),
        run_once,
        child("redis", "import time; time.sleep(0.3); print('served', flush=True); " + SLEEPER),
    ).wait_ready()
    words = [word for word in running.text().split() if word in ("served", "ensured", "worked")]
    assert words == ["served", "ensured", "worked"]


def test_a_child_that_refuses_its_input_stops_the_start_with_its_line(start: Any) -> None:
    """F-087"""
    refuses = "import sys; print('config.yaml: risk was 5'); sys.exit(2)"
    running = start(child("web", refuses), child("beat", SLEEPER))
    assert running.process.wait(10) == 2
    last = running.text().splitlines()[-1]
    assert last.endswith("| web did not start: config.yaml: risk was 5")
    assert "stopping" not in running.text()


def test_only_the_children_that_need_secrets_get_them(start: Any) -> None:
    """SEC-31"""
    show = "import os; print('key', os.environ.get('A_KEY', 'absent'), flush=True); " + SLEEPER
    running = start(
        child("trading", show, private=["A_KEY"]),
        child("web", show),
        private=["A_KEY"],
        environment={"A_KEY": "present"},
    ).wait_ready()
    eventually(lambda: running.text().count("| key") == 2, running.text)
    lines = running.text().splitlines()
    shown = {line.split()[0]: line.split()[-1] for line in lines if "| key" in line}
    assert shown == {"trading": "present", "web": "absent"}


def test_info_lines_go_to_the_file_and_warnings_to_the_screen_too(start: Any) -> None:
    speak = (
        "print('2026-01-01 00:00:00,000 INFO trades quiet'); "
        "print('2026-01-01 00:00:00,000 WARNING trades loud'); "
        "print('2026-01-01 00:00:00,000 INFO optimization [OPTIMIZATION] shown', flush=True); "
    )
    running = start(child("web", speak + SLEEPER)).wait_ready()
    eventually(lambda: "shown" in running.text(), running.text)
    assert "loud" in running.text()
    assert "quiet" not in running.text()
    assert "trades quiet" in (running.log_dir / "web.log").read_text()
