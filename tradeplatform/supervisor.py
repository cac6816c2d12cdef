"""Runs the processes of one installation in the foreground: starts, watches, restarts, stops.

Standard library only, and started as a file of its own, so that the process that outlives all
others stays small and shares no code with what may fail. The plan comes from ``manage.py up``.

Promises: a child that dies is started again after 0.5 s, doubling up to 30 s; a signal stops
everything in order within 10 s; a second signal kills at once; whatever happens to this
process, no child outlives it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType
from typing import Any

PLAN_VARIABLE = "TRADEPLATFORM_PLAN"
READY_FILE_VARIABLE = "TRADEPLATFORM_READY_FILE"
ENDS_FILE, PRACTICE_FILE = "ended.jsonl", "practice.json"
FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 30.0
STEADY_AFTER_S, STILL_WAITING_EVERY_S = 60.0, 30.0
WRONG_USE = 2
# Django's DEBUG and INFO, and all of redis-server's talk about its start and end
_QUIET_LINE = re.compile(r'^(\S+ \S+ (DEBUG|INFO)|\d+:\S+|\{"ready":|worker:) |^$')
_COLOURS = tuple(f"\033[{code}m" for code in (36, 32, 35, 33, 34, 31, 96, 92, 95, 93))
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class ChildSpec:
    """One process of the plan.

    ``ready`` is ``{"kind": "http", "url": …}``, ``{"kind": "file"}`` (the child writes the file
    named by ``TRADEPLATFORM_READY_FILE``), ``{"kind": "redis", "path": …}`` or
    ``{"kind": "started"}``. ``private`` names the secret variables this child, and only such a
    child, inherits. ``once`` children run to their end before what comes ``after`` them starts.
    """

    name: str
    argv: tuple[str, ...]
    about: str = ""
    after: tuple[str, ...] = ()
    ready: dict[str, str] = field(default_factory=lambda: {"kind": "started"})
    env: dict[str, str] = field(default_factory=dict)
    private: tuple[str, ...] = ()
    once: bool = False
    stop_tier: int = 0
    stop_timeout_s: float = 3.0


@dataclass(frozen=True)
class Plan:
    """Everything the supervisor needs to know, as ``manage.py up`` worked it out."""

    children: tuple[ChildSpec, ...]
    run_dir: Path
    log_dir: Path
    private: tuple[str, ...] = ()
    ready_lines: tuple[str, ...] = ()
    verbose: bool = False

    @classmethod
    def from_json(cls, text: str) -> Plan:
        given = json.loads(text)
        raw = {key: _frozen(given[key]) for key in cls.__dataclass_fields__ if key in given}
        raw["children"] = tuple(
            ChildSpec(**{key: _frozen(value) for key, value in child.items()})
            for child in raw["children"]
        )
        return cls(**raw | {name: Path(raw[name]) for name in ("run_dir", "log_dir")})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class Child:
    """One supervised process and what has become of it."""

    def __init__(self, spec: ChildSpec, plan: Plan, say: Callable[[str, str], None]) -> None:
        self.spec = spec
        self.is_ready = False
        self.is_done = False
        self.restart_at: float | None = None
        self.last_words = ""
        self._was_ever_ready = False
        self._plan = plan
        self._say = say
        self._delay_s = FIRST_DELAY_S
        self._started_at = 0.0
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._ready_file = plan.run_dir / f"{spec.name}.ready"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        self._ready_file.unlink(missing_ok=True)
        self.is_ready, self.restart_at = False, None
        self._started_at = time.monotonic()
        hidden = set(self._plan.private) - set(self.spec.private)
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        environment |= {"PYTHONUNBUFFERED": "1", READY_FILE_VARIABLE: str(self._ready_file)}
        try:
            self._process = subprocess.Popen(  # noqa: S603 (our own plan, no shell)
                self.spec.argv,
                env=environment | self.spec.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
                preexec_fn=die_with_parent(os.getpid()),
            )
        except OSError as error:
            self._schedule_restart(f"could not be started: {error}")
            return
        self._reader = threading.Thread(target=self._forward, args=(self._process,), daemon=True)
        self._reader.start()

    def _forward(self, process: subprocess.Popen[str]) -> None:
        with contextlib.suppress(ValueError, OSError):
            for line in process.stdout or ():
                self.last_words = line.strip() or self.last_words
                self._say(self.spec.name, line.rstrip("\n"))

    def look(self) -> int | None:
        """Notice an exit; return the exit code that makes going on senseless, else None."""
        if self._process is None:
            return None
        code = self._process.poll()
        if code is None:
            if not self.is_ready and self._answers():
                self.is_ready = self._was_ever_ready = True
            if time.monotonic() - self._started_at > STEADY_AFTER_S:
                self._delay_s = FIRST_DELAY_S
            return None
        _kill_group(self._process.pid)
        self._process, self.is_ready = None, False
        if self.spec.once and code == 0:
            self.is_ready = self.is_done = True
            return None
        if code == WRONG_USE and not self._was_ever_ready:
            self._hear_last_words()  # they are the cause
            return code
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        self._schedule_restart(how)
        return None

    def _schedule_restart(self, how: str) -> None:
        self._say(self.spec.name, f"{how}; starting it again in {self._delay_s:g} s")
        self.restart_at = time.monotonic() + self._delay_s
        self._delay_s = min(self._delay_s * 2, LONGEST_DELAY_S)
        # for the watchdog, which makes an alert of it; a full disk must not stop us (F-097)
        line = json.dumps({"name": self.spec.name, "how": how, "at": time.time()})
        with contextlib.suppress(OSError), (self._plan.run_dir / ENDS_FILE).open("a") as file:
            file.write(line + "\n")

    def _answers(self) -> bool:
        kind = self.spec.ready["kind"]
        if kind == "file":
            return self._ready_file.exists()
        if kind == "http":
            return _http_answers(self.spec.ready["url"])
        if kind == "redis":
            return redis_pid(self.spec.ready["path"]) == self.pid
        return not self.spec.once

    def signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def wait_until(self, deadline: float) -> None:
        """Wait for the end, then leave nothing of its group behind."""
        self.restart_at = None
        if self._process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(deadline - time.monotonic(), 0.01))
        _kill_group(self._process.pid)
        self._process.wait()
        self._hear_last_words()

    def _hear_last_words(self) -> None:
        if self._reader is not None:
            self._reader.join(0.5)


class Supervisor:
    """Keeps the plan's children running until it is told to stop."""

    def __init__(self, plan: Plan, say: Callable[[str, str], None]) -> None:
        self._plan = plan
        self._say = say
        self._children = [Child(spec, plan, say) for spec in plan.children]
        self._wake = threading.Event()
        self._stop_signals: list[str] = []
        self._exit_code = 0
        self._refusal = ""
        self._announced = False
        self._known_pids: dict[str, int | None] = {}

    def run(self) -> int:
        """Run until a signal arrives or a child refuses its configuration; return exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_stop_signal)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: self._wake.set())
        began = reminded = time.monotonic()
        while not self._stop_signals and not self._exit_code:
            self._step()
            if not self._announced and all(child.is_ready for child in self._children):
                self._announce(time.monotonic() - began)
            elif not self._announced and time.monotonic() - reminded > STILL_WAITING_EVERY_S:
                reminded = time.monotonic()
                waiting = [c.spec.name for c in self._children if not c.is_ready]
                self._say("up", f"still waiting for {', '.join(waiting)}")
            self._wake.wait(0.5 if self._announced else 0.1)
            self._wake.clear()
        self._stop()
        return self._exit_code

    def _step(self) -> None:
        now, by_name = time.monotonic(), {child.spec.name: child for child in self._children}
        for child in self._children:
            if code := child.look():
                self._exit_code = code
                self._refusal = f"{child.spec.name} did not start: {child.last_words}"
            if child.pid is not None or child.is_done or self._exit_code:
                continue
            if child.restart_at is None:
                may_start = all(by_name[name].is_ready for name in child.spec.after)
            else:
                may_start = child.restart_at <= now
            if may_start:
                child.start()
        pids = {child.spec.name: child.pid for child in self._children}
        if pids != self._known_pids:
            self._known_pids = pids
            write_atomically(self._plan.run_dir / "children.json", json.dumps(pids))

    def _announce(self, seconds: float) -> None:
        self._announced = True
        for child in self._children:
            if not child.spec.once:
                self._say("up", f"  {child.spec.name:<9} pid {child.pid:<8} {child.spec.about}")
        for line in self._plan.ready_lines:
            self._say("up", line.format(seconds=seconds))

    def _on_stop_signal(self, number: int, _frame: FrameType | None) -> None:
        self._stop_signals.append(signal.Signals(number).name)
        if len(self._stop_signals) > 1:
            for pid in filter(None, (child.pid for child in self._children)):
                _kill_group(pid)
        self._wake.set()

    def _stop(self) -> None:
        if not self._refusal:
            self._say("up", f"{self._stop_signals[0]}: stopping; once more to kill")
        for tier in sorted({child.spec.stop_tier for child in self._children}):
            children = [child for child in self._children if child.spec.stop_tier == tier]
            began = time.monotonic()
            for child in children:
                child.signal(signal.SIGTERM)
            for child in children:
                child.wait_until(began + child.spec.stop_timeout_s)
        for name in ("children.json", PRACTICE_FILE):
            (self._plan.run_dir / name).unlink(missing_ok=True)
        # the cause of a refused start stands last, where the eye is
        self._say("up", self._refusal or "stopped")


def redis_pid(path: str) -> int | None:
    """Return the process id of the Redis that answers on a unix socket, None where none does."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            connection.connect(path)
            connection.sendall(b"INFO server\r\n")
            for line in connection.makefile("rb"):
                if line.startswith(b"process_id:"):
                    return int(line.partition(b":")[2])
    except OSError:
        return None
    return None


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that a reader sees the old or the new text, never half of one."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    scratch.write_text(text)
    os.replace(scratch, path)


def _http_answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1.0):  # noqa: S310 (loopback, from our plan)
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def _kill_group(pid: int) -> None:
    """Kill what is left of a child's session: pool processes outlive a killed worker."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def die_with_parent(parent: int) -> Callable[[], None]:
    def prepare() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

    return prepare


class Output:
    """Prints the children's lines under their names and keeps all of them in files.

    Quiet by default: DEBUG and INFO lines go to the files only, except those of the
    optimization layer, which people are told to watch.
    """

    def __init__(self, names: list[str], log_dir: Path, *, verbose: bool) -> None:
        log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        # a full disk must not stop trading (F-097)
        logging.raiseExceptions = False
        self._verbose = verbose
        # printing has its own thread: a paused terminal may lose lines, never stop a child
        self._lines: queue.Queue[str] = queue.Queue(maxsize=5000)
        threading.Thread(target=self._print, daemon=True).start()
        names = [*names, "up"]
        self._width = max(map(len, names))
        has_colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._colours = dict(zip(names, cycle(_COLOURS if has_colour else ("",)), strict=False))
        self._files = {
            name: RotatingFileHandler(log_dir / f"{name}.log", maxBytes=5_000_000, backupCount=3)
            for name in names
        }

    def say(self, name: str, line: str) -> None:
        self._files[name].handle(logging.makeLogRecord({"msg": line}))
        if not self._verbose and _QUIET_LINE.match(line) and "[OPTIMIZATION]" not in line:
            return
        colour = self._colours[name]
        reset = "\033[0m" if colour else ""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(f"{colour}{name:<{self._width}}{reset} | {line}\n")

    def _print(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                sys.stdout.write(self._lines.get())
                sys.stdout.flush()
            self._lines.task_done()

    def flush(self, timeout_s: float = 1.0) -> None:
        deadline = time.monotonic() + timeout_s
        while self._lines.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.01)


def main() -> int:
    plan = Plan.from_json(os.environ.pop(PLAN_VARIABLE))
    plan.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    output = Output([spec.name for spec in plan.children], plan.log_dir, verbose=plan.verbose)
    code = Supervisor(plan, output.say).run()
    output.flush()
    return code


if __name__ == "__main__":
    sys.exit(main())
