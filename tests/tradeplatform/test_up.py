"""`manage.py up` for real: every process, killed and stopped as an operator or a host would."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tradeplatform.preparation import free_port

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "manage.py", "up"]
# Starting nine processes while other work shares the cores takes its time.
PATIENCE_S = 300.0
ALL = {"redis", "exchange", "web", "trading", "general", "beat", "watchdog"}


def environment(var_dir: Path, **more: str) -> dict[str, str]:
    """Return a development environment whose files are all in one test folder."""
    kept = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    return kept | {
        "TRADEPLATFORM_VAR": str(var_dir),
        "TRADEPLATFORM_ENV": "development",
        "DJANGO_SETTINGS_MODULE": "tradeplatform.settings",
        **more,
    }


def refused(tmp_path: Path, *arguments: str, **more: str) -> str:
    """Run ``up`` where it must refuse; return its one line."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment(tmp_path, **more),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    return lines[0]


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    left = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                left.append(process)
    return left


class Up:
    """One running platform."""

    def __init__(self, folder: Path) -> None:
        self.var_dir = folder
        self.port = free_port()
        self.out = folder / "out.txt"
        with self.out.open("w") as out:
            self.process = subprocess.Popen(
                [*COMMAND, "--port", str(self.port), "--speed", "5"],
                cwd=ROOT,
                env=environment(folder),
                stdout=out,
                stderr=out,
            )

    def text(self) -> str:
        return self.out.read_text()

    def until(self, check: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not check():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.1)

    def pids(self) -> dict[str, int | None]:
        known: dict[str, int | None] = json.loads((self.var_dir / "run/children.json").read_text())
        return known

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def get(self, path: str) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            status: int = answer.status
            return status

    def answers(self, path: str) -> bool:
        """True once the page is served; a web process that is being started refuses."""
        try:
            return self.get(path) == 200
        except OSError:
            return False

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """Read our database as an onlooker would."""
        database = f"file:{self.var_dir / 'tradeplatform.sqlite3'}?mode=ro"
        with contextlib.closing(sqlite3.connect(database, uri=True, timeout=30)) as onlooker:
            return onlooker.execute(query).fetchall()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = Up(tmp_path_factory.mktemp("up"))
    try:
        running.until(lambda: "READY" in running.text())
        yield running
    finally:
        family = running.family() if running.process.poll() is None else []
        running.process.kill()
        running.process.wait()
        for process in alive(family):
            process.kill()


pytestmark = pytest.mark.slow


def test_one_command_starts_everything_and_prints_where_it_is(up: Up) -> None:
    """OPT-56, ORC-87"""
    assert set(up.pids()) == ALL | {"run"}
    assert all(up.pids()[name] for name in ALL)
    assert f"http://127.0.0.1:{up.port}/" in up.text()
    assert up.get("/api/v1/health") == 200
    assert up.get("/login/") == 200
    assert f"Logs: {up.var_dir}/log" in up.text()
    assert (up.var_dir / "log" / "up.log").is_file()


def test_the_administrator_link_opens_without_a_password_to_know(up: Up) -> None:
    """SEC-24"""
    link = re.search(r"one use: http://[^/]+(/login/link/\S+)", up.text())
    assert link is not None
    assert up.get(link[1]) == 200


def test_the_trading_loop_advances_through_beat_broker_worker_and_exchange(up: Up) -> None:
    """ORC-02, F-025: decisions appear and both workers' heartbeats arrive."""
    up.until(lambda: up.rows("select count(*) from trades_decision") != [(0,)])
    components = "select component from monitoring_heartbeat order by component"
    up.until(lambda: {("general",), ("trading",), ("watchdog",)} <= set(up.rows(components)))


def test_secrets_are_generated_for_the_owner_only(up: Up) -> None:
    """D-39, SEC-46: the database, the keys and the broker's socket."""
    for name in ("secret_key", "practice_api_key", "practice_api_secret"):
        assert (up.var_dir / name).stat().st_mode & 0o777 == 0o600
    assert (up.var_dir / "redis.sock").stat().st_mode & 0o777 == 0o700


def test_exchange_keys_reach_the_trading_worker_and_not_the_web(up: Up) -> None:
    """SEC-31"""
    pids = up.pids()
    key = (up.var_dir / "practice_api_key").read_text()
    for name in ("web", "general", "beat", "watchdog"):
        assert key not in psutil.Process(pids[name]).environ().values(), name
    assert key in psutil.Process(pids["trading"]).environ().values()


@pytest.mark.parametrize("name", ["trading", "redis", "web", "exchange"])
def test_a_killed_process_comes_back_and_trading_goes_on(up: Up, name: str) -> None:
    """F-009, F-021, F-096"""
    before = up.pids()[name]
    assert before is not None
    os.kill(before, signal.SIGKILL)
    up.until(lambda: up.pids()[name] not in (None, before))
    seen = up.rows("select count(*) from trades_analysis")
    up.until(lambda: up.rows("select count(*) from trades_analysis") != seen)
    up.until(lambda: up.answers("/api/v1/health"))


def test_a_second_start_on_the_same_files_is_refused_with_one_line(up: Up) -> None:
    """F-012"""
    line = refused(up.var_dir, "--port", str(free_port()))
    assert f"pid {up.process.pid}" in line


def test_a_term_signal_ends_everything_in_ten_seconds_and_leaves_nothing(up: Up) -> None:
    """F-008, OPT-40; last, because nothing runs afterwards."""
    family = up.family()
    assert len(family) >= len(ALL)
    began = time.monotonic()
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(20) == 0
    assert time.monotonic() - began < 10
    deadline = time.monotonic() + 3
    while alive(family) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(family) == []
    assert "SIGTERM: stopping; once more to kill" in up.text()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--port", "70000"], "PORT (--port) was '70000', allowed: 1 to 65535"),
        (["--port", "0"], "PORT (--port) was '0', allowed: 1 to 65535"),
        (["--port", "http"], "PORT (--port) was 'http', allowed: 1 to 65535"),
        (["--workers", "0"], "WORKERS (--workers) was '0', allowed: 1 to 32"),
        (["--speed", "0"], "SPEED (--speed) was '0', allowed: 0.001 to 10000 bars a second"),
        (["--speed", "abc"], "SPEED (--speed) was 'abc', allowed: 0.001 to 10000"),
        (["--speed", "nan"], "SPEED (--speed) was 'nan', allowed: 0.001 to 10000"),
        (["--speed", ""], "SPEED (--speed) was '', allowed: 0.001 to 10000"),
        (["--seed", "-1"], "SEED (--seed) was '-1', allowed: 0 to 2**63 - 1"),
        (["--seed", "1.5"], "SEED (--seed) was '1.5', allowed: 0 to 2**63 - 1"),
        (["--data", "absent.parquet"], "DATA (--data) was 'absent.parquet', allowed: an existing"),
    ],
)
def test_a_wrong_option_is_refused_with_one_line(
    tmp_path: Path, arguments: list[str], line: str
) -> None:
    """F-087"""
    assert line in refused(tmp_path, *arguments)


def test_a_wrong_configuration_is_refused_with_one_line_before_anything_starts(
    tmp_path: Path,
) -> None:
    """F-087"""
    (tmp_path / "bad.yaml").write_text("risk: {risk_per_trade: 3}")
    line = refused(tmp_path, TRADEPLATFORM_CONFIG=str(tmp_path / "bad.yaml"))
    assert "risk.risk_per_trade was 3, allowed: a number above 0 and at most 0.05" in line
    assert not (tmp_path / "redis.sock").exists()


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("TRADEPLATFORM_ENV", "staging", "TRADEPLATFORM_ENV was 'staging', allowed: development"),
        ("REDIS_URL", "http://x", "REDIS_URL was http://x, allowed: redis://"),
        ("DATABASE_URL", "mysql://x/y", "allowed: sqlite and postgres"),
    ],
)
def test_a_wrong_environment_is_refused_with_one_line(
    tmp_path: Path, name: str, value: str, line: str
) -> None:
    """F-087, SEC-2"""
    assert line in refused(tmp_path, **{name: value})


def test_an_unreachable_redis_url_is_refused_with_one_line(tmp_path: Path) -> None:
    """F-021"""
    url = f"redis://127.0.0.1:{free_port()}/0"
    line = refused(tmp_path, "--port", str(free_port()), REDIS_URL=url)
    assert f"REDIS_URL ({url}) did not answer" in line
