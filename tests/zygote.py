"""``python -m tests.zygote FD MODULE ...``: one interpreter that has imported all that, and forks.

A process of the platform spends its first seconds importing Django, numba and ccxt. Here that is
done once; every process a test kills is then a fork that becomes the program its command line
names, in a session of its own. From there on it is the real one: own connections, own threads, own
death. A tool of the tests only; ``up`` starts each program from nothing.

What does not come along is asserted before the first fork: no second thread, no connection.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.db import connections

from tradeplatform import kernel_cache

WARM_UP = "tradeplatform.warm_up"
ROOT = Path(__file__).resolve().parents[1]
MESSAGE_BYTES = 1 << 17
STREAMS = 3


class NotForkable(Exception):
    """Something is open that a fork must not share; the message names it."""


def serve(control: socket.socket) -> Callable[[], None] | None:
    """Answer requests until the other side is gone; in a fork, return the program to become."""
    living: set[int] = set()
    while True:
        message, streams, _, _ = socket.recv_fds(control, MESSAGE_BYTES, STREAMS)
        if not message:
            _end(living)
            return None
        request = json.loads(message)
        if "wait" in request:
            # nothing else is waited for: until it was asked about, a dead one keeps its number
            living.remove(request["wait"])
            code = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
            control.send(json.dumps({"code": code}).encode())
            continue
        pid = os.fork()
        if pid == 0:
            control.close()
            _become(streams, request["environment"])
            return lambda: _program(request["argv"])
        for stream in streams:
            os.close(stream)
        living.add(pid)
        control.send(json.dumps({"pid": pid}).encode())


def _end(living: set[int]) -> None:
    """Nobody is left who would end them."""
    for pid in living:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _become(streams: Sequence[int], environment: Mapping[str, str]) -> None:
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)


def _program(argv: Sequence[str]) -> None:
    """Run what the command line names, as Python itself would.

    Its exit is its own: ``SystemExit`` passes through, and so do its threads and exit handlers.
    """
    sys.argv = list(argv[1:])
    if argv[1] == "-m":
        sys.argv = list(argv[2:])
        runpy.run_module(argv[2], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(argv[1], run_name="__main__")


def preload(names: Sequence[str]) -> None:
    """Import these and keep what is there for good; with ``WARM_UP`` every kernel is compiled."""
    # before numba is loaded, which reads the folder's name once
    kernel_cache.choose_folder(settings.BASE_DIR, settings.VAR_DIR)
    django.setup()
    for name in names:
        import_module(name)
    if WARM_UP in names:
        warm_up = import_module(WARM_UP).warm_up
        if not kernel_cache.fill(settings.BASE_DIR, warm_up):
            warm_up()
    gc.collect()
    gc.freeze()


def assert_forkable(allowed: set[int]) -> None:
    """Refuse to fork what two processes must not share.

    Raises:
        NotForkable: a second thread, an open database connection, or a socket besides ours.
    """
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise NotForkable(f"{threads} threads were running, allowed: 1")
    opened = [c.alias for c in connections.all(initialized_only=True) if c.connection is not None]
    if opened:
        raise NotForkable(f"database connections were open: {opened}")
    if shared := sockets_besides(allowed):
        raise NotForkable(f"sockets were open: {shared}")


def sockets_besides(allowed: set[int]) -> list[int]:
    """Return the descriptors of this process that are sockets and not among ``allowed``."""
    entries = Path("/proc/self/fd").iterdir()
    sockets = [int(d.name) for d in entries if _target(d).startswith("socket:")]
    return sorted(set(sockets) - allowed)


def _target(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except FileNotFoundError:
        return ""  # the descriptor that listed the folder


def zygote_started(environment: Mapping[str, str], log: Path, preloaded: Sequence[str]) -> Zygote:
    """Start a zygote with these variables and modules and wait until it can fork.

    Raises:
        NotForkable: it ended instead; its log says why.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, log.open("ab") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.zygote", str(theirs.fileno()), *preloaded],
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=subprocess.STDOUT,
            pass_fds=(theirs.fileno(),),
            # what interrupts the test must not end the zygote before what it has forked
            start_new_session=True,
        )
    zygote = Zygote(ours, process)
    zygote.ready()
    return zygote


class Forked:
    """One forked process; looks like ``subprocess.Popen`` to whoever ends it."""

    def __init__(self, zygote: Zygote, pid: int) -> None:
        self._zygote = zygote
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        if self._code is None and self._zygote.is_gone(self.pid):
            self.wait()
        return self._code

    def wait(self, timeout_s: float | None = None) -> int:
        """Return the exit code; a limit is for a process that was asked to end.

        Raises:
            TimeoutError: it still runs.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while deadline is not None and self.poll() is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {self.pid} still ran after {timeout_s} s")
            time.sleep(0.01)
        if self._code is None:
            self._code = self._zygote.code(self.pid)
        return self._code

    def terminate(self) -> None:
        """SIGTERM; one that was gone already stays so."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL the whole group; one that was gone already stays so."""
        if self._code is None:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                return
            self.wait()


class Zygote:
    """The test's end: asks for processes, and for how they ended."""

    def __init__(self, control: socket.socket, process: subprocess.Popen[bytes]) -> None:
        self._control = control
        self._process = process

    def ready(self) -> None:
        self._answer()

    def start(
        self, argv: Sequence[str], environment: Mapping[str, str], streams: Sequence[int]
    ) -> Forked:
        """Fork a process that becomes ``argv``, on these descriptors as its 0, 1 and 2."""
        request = {"argv": list(argv), "environment": dict(environment)}
        socket.send_fds(self._control, [json.dumps(request).encode()], list(streams))
        return Forked(self, self._answer()["pid"])

    def code(self, pid: int) -> int:
        """Wait for a process and return its exit code; negative: the signal that ended it."""
        self._control.send(json.dumps({"wait": pid}).encode())
        return int(self._answer()["code"])

    def is_gone(self, pid: int) -> bool:
        """True once it has ended; the zygote keeps its number from being used again."""
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return status[0] in ("Z", "X")

    def close(self) -> None:
        """End the zygote, which ends whatever it has forked and that still runs."""
        self._control.close()
        self._process.wait()

    def _answer(self) -> Any:
        message = self._control.recv(MESSAGE_BYTES)
        if not message:
            raise NotForkable(f"the zygote ended with {self._process.wait()}; see its log")
        return json.loads(message)


def main() -> int:
    control = socket.socket(fileno=int(sys.argv[1]))
    preload(sys.argv[2:])
    assert_forkable({0, 1, 2, control.fileno()})
    control.send(json.dumps({"ready": True}).encode())
    program = serve(control)
    if program is not None:
        program()
    return 0


if __name__ == "__main__":
    sys.exit(main())
