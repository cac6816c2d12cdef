"""A real practice exchange for tests: its own process, free ports, a stepped clock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from market.ccxt_client import build_client
from tests.zygote import Forked, Zygote

ROOT = Path(__file__).resolve().parent.parent
KEY, SECRET = "practice-key", "practice-secret"
STOP_S = 10.0


class AdminError(Exception):
    """The admin port refused; the message is its one line."""


@dataclass
class PracticeProcess:
    """One practice exchange. ``kill`` and ``start`` act as a crash and a restart on one ledger."""

    state: Path
    arguments: Sequence[str] = ()
    port: int = 0
    admin_port: int = 0
    zygote: Zygote | None = field(default=None, repr=False)
    _process: subprocess.Popen[bytes] | Forked | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> PracticeProcess:
        """Start (again) on the same ports and wait until both are served."""
        command = [sys.executable, "-m", "market.practice", "--state", str(self.state)]
        command += ["--port", str(self.port), "--admin-port", str(self.admin_port)]
        command += ["--speed", "0", *self.arguments]
        env = {**os.environ, "PRACTICE_API_KEY": KEY, "PRACTICE_API_SECRET": SECRET}
        told, written = os.pipe()
        with Path(os.devnull).open("rb") as nothing, os.fdopen(told) as ready_line:
            if self.zygote is None:
                self._process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=written)
            else:
                streams = (nothing.fileno(), written, 2)
                self._process = self.zygote.start(command, env, streams)
            os.close(written)
            line = ready_line.readline()
        if not line:
            raise RuntimeError(f"practice exchange ended with {self._process.wait()}")
        ready = json.loads(line)
        self.port, self.admin_port = ready["port"], ready["admin_port"]
        return self

    def stop(self) -> int:
        """End it in an orderly way and return its exit code."""
        return self._end(kill=False)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        self._end(kill=True)

    def _end(self, *, kill: bool) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.kill() if kill else process.terminate()
        return process.wait(STOP_S)

    def client(self, flavour: str = "sync", **options: Any) -> Any:
        """Return an unmodified ccxt client of this exchange."""
        arguments = {"key": KEY, "secret": SECRET, "timeout_s": 5.0, **options}
        return build_client("binance", practice_url=self.url, flavour=flavour, **arguments)

    def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Call the admin port and return its JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.admin_port}{path}", data=data, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise AdminError(json.load(error)["error"]) from error

    def step(self, bars: int = 1) -> Any:
        return self.admin("POST", "/clock/step", {"bars": bars})

    def fault(self, op: str, verb: str, **spec: Any) -> int:
        """Arm a fault; nth, prob, times go by name, everything else is an argument."""
        body: dict[str, Any] = {"op": op, "verb": verb, "args": {}}
        for name, value in spec.items():
            target = body if name in ("nth", "prob", "times") else body["args"]
            target[name] = value
        return int(self.admin("POST", "/fault", body)["id"])

    def clear_faults(self) -> None:
        self.admin("DELETE", "/fault")

    def ledger(self) -> Any:
        return self.admin("GET", "/ledger")

    def status(self) -> Any:
        return self.admin("GET", "/status")


@contextmanager
def practice_process(
    state: Path, *arguments: str, zygote: Zygote | None = None
) -> Iterator[PracticeProcess]:
    """Run a practice exchange on free ports with ``--speed 0`` and end it afterwards.

    A zygote forks it, which saves its imports.
    """
    process = PracticeProcess(state, arguments, zygote=zygote).start()
    try:
        yield process
    finally:
        process.stop()
