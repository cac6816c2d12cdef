"""How much work was done, how long it took, how often it failed: counted where it happens.

Each process counts into a small file of its own that it has mapped into memory: counting is a
memory write, asks nobody, and survives the process. The sampler reads the files of all processes;
what a dead one counted is taken over before its file goes.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings

from resources.core.windows import bucket_of

KINDS = ("decision", "http", "task", "venue", "query", "tick")
UPPER_MS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000)
_HEAD = 3  # count, failures, sum of ms
_WIDTH = _HEAD + len(UPPER_MS) + 1
_BYTES = 8 * _WIDTH * len(KINDS)
_SUFFIX = ".counts"


@dataclass(frozen=True, slots=True)
class Count:
    """What one kind of work came to: of one process, of all, or between two looks."""

    done: float
    failed: float
    total_ms: float
    buckets: tuple[float, ...]

    def __add__(self, other: Count) -> Count:
        return Count(
            self.done + other.done,
            self.failed + other.failed,
            self.total_ms + other.total_ms,
            tuple(a + b for a, b in zip(self.buckets, other.buckets, strict=True)),
        )

    def __sub__(self, other: Count) -> Count:
        return Count(
            self.done - other.done,
            self.failed - other.failed,
            self.total_ms - other.total_ms,
            tuple(a - b for a, b in zip(self.buckets, other.buckets, strict=True)),
        )


NOTHING = Count(0.0, 0.0, 0.0, (0.0,) * (len(UPPER_MS) + 1))


class Counters:
    """This process's file. A folder that cannot be written to counts in memory only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._pid = 0
        self._cells = memoryview(bytearray(_BYTES)).cast("d")

    def add(self, kind: str, took_s: float, *, failed: bool = False) -> None:
        """Count one finished piece of work of one of KINDS."""
        if self._pid != os.getpid():
            self._open()
        start = KINDS.index(kind) * _WIDTH
        took_ms = took_s * 1000.0
        with self._lock:
            cells = self._cells
            cells[start] += 1.0
            cells[start + 1] += 1.0 if failed else 0.0
            cells[start + 2] += took_ms
            cells[start + _HEAD + bucket_of(UPPER_MS, took_ms)] += 1.0

    @contextmanager
    def timed(self, kind: str) -> Iterator[None]:
        """Count the block; an exception counts as failed and goes on."""
        began = time.monotonic()
        try:
            yield
        except BaseException:
            self.add(kind, time.monotonic() - began, failed=True)
            raise
        self.add(kind, time.monotonic() - began)

    def _open(self) -> None:
        # also after a fork: the parent goes on writing to its own file
        self._lock, self._pid = threading.Lock(), os.getpid()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / f"{self._pid}-{time.time_ns()}{_SUFFIX}"
            with open(path, "x+b") as file:
                file.truncate(_BYTES)
                self._cells = memoryview(mmap.mmap(file.fileno(), _BYTES)).cast("d")
        except OSError:
            self._cells = memoryview(bytearray(_BYTES)).cast("d")


@cache
def work() -> Counters:
    """Return this process's counters: one a process, as its file is."""
    return Counters(counters_dir())


def counters_dir() -> Path:
    folder: Path = settings.VAR_DIR / "run" / "counters"
    return folder


class CounterReader:
    """Sums the files of all processes; remembers what it has seen, so that each look tells what
    came since the last. The first look tells nothing: what was counted before has no interval."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, dict[str, Count]] = {}
        self._is_first = True

    def since_last(self) -> dict[str, Count]:
        total = dict.fromkeys(KINDS, NOTHING)
        found: dict[str, dict[str, Count]] = {}
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            counts = _read(path)
            if counts is None:
                continue
            found[path.name] = counts
            before: Mapping[str, Count] = self._seen.get(path.name, {})
            for kind, count in counts.items():
                if not self._is_first or path.name in self._seen:
                    total[kind] += count - before.get(kind, NOTHING)
            if not _is_alive(path):
                path.unlink(missing_ok=True)
        self._seen, self._is_first = found, False
        return total


def _read(path: Path) -> dict[str, Count] | None:
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    if len(raw) != _BYTES:
        return None
    cells = memoryview(raw).cast("d")
    return {
        kind: Count(
            cells[index * _WIDTH],
            cells[index * _WIDTH + 1],
            cells[index * _WIDTH + 2],
            tuple(cells[index * _WIDTH + _HEAD : (index + 1) * _WIDTH]),
        )
        for index, kind in enumerate(KINDS)
    }


def _is_alive(path: Path) -> bool:
    pid = path.name.partition("-")[0]
    return pid.isdecimal() and Path(f"/proc/{pid}").exists() if Path("/proc").exists() else True
