"""What a benchmark returns, and the machine it ran on."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured number.

    ``target`` with ``better`` (``higher`` or ``lower``) says when it counts as met; without a
    target the number is reported as found. ``ids`` are contract rows a met target proves.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    better: str = "lower"
    ids: tuple[str, ...] = ()
    detail: str = ""

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.better == "higher" else self.value <= self.target


@dataclass(frozen=True)
class Options:
    """``quick`` measures less and says so; ``folder`` is scratch space, gone afterwards; ``peers``
    are environments with other engines."""

    quick: bool
    folder: Path
    peers: tuple[Path, ...] = ()


Benchmark = Callable[[Options], Sequence[Figure]]


class BenchmarkFailed(Exception):
    """A benchmark could not be measured; the message says what stood in the way."""


def machine() -> dict[str, str | int]:
    """Describe where the numbers come from, without naming the host."""
    model = ""
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count() or 0,
        "cpu": model,
        "memory_gib": round(memory / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def percentile(values: Sequence[float], fraction: float) -> float:
    """Return the smallest value with at least ``fraction`` of all at or below it."""
    ordered = sorted(values)
    return ordered[max(math.ceil(fraction * len(ordered)) - 1, 0)]


def free_port() -> int:
    with contextlib.closing(socket.socket()) as candidate:
        candidate.bind(("127.0.0.1", 0))
        port: int = candidate.getsockname()[1]
        return port
