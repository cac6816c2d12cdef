"""The processes of this installation, each with its children; nobody else's (I-28)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from resources.core.readings import Reading

# A search for children looks at every process of the machine; pools seldom change.
LOOK_AGAIN_S = 60.0


def installation_pids(run_dir: Path) -> dict[str, int]:
    """Return the processes the supervisor wrote down, and itself; only this one without it.

    An id counts only where its parent is our own parent: a number in a file may have been reused.
    """
    try:
        known = json.loads((run_dir / "children.json").read_text())
    except (OSError, ValueError):
        return {"sampler": os.getpid()}
    found = {"up": os.getppid()}
    for name, pid in sorted(known.items()):
        try:
            if isinstance(pid, int) and psutil.Process(pid).ppid() == os.getppid():
                found[name] = pid
        except psutil.Error:
            continue
    return found


class ProcessSampler:
    """Reads processor share, memory, threads and open files of each named process."""

    def __init__(
        self,
        pids: Callable[[], dict[str, int]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pids = pids
        self._monotonic = monotonic
        self._trees: dict[str, list[psutil.Process]] = {}
        self._looked: tuple[float, dict[str, int]] | None = None
        self._cpu: dict[str, tuple[float, float]] = {}

    def read(self, at_ms: int) -> list[Reading]:
        self._look()
        found = []
        for name, tree in self._trees.items():
            subject, alone = f"process:{name}", name != "up"
            totals = [t for p in tree if (t := _of(p)) is not None]
            cpu_s, rss, threads, files = (
                (sum(column) for column in zip(*totals, strict=True))
                if (totals)
                else (None, None, None, None)
            )
            found += [
                Reading(subject, "cpu", self._share(name, cpu_s), at_ms),
                Reading(subject, "rss", rss, at_ms),
                Reading(subject, "threads", threads, at_ms),
                Reading(subject, "open_files", files, at_ms),
            ]
            if not totals and alone:
                self._looked = None
        return found

    def _look(self) -> None:
        """Search for children anew now and then, and whenever a process came or went."""
        pids, now_s = self._pids(), self._monotonic()
        if self._looked and self._looked[1] == pids and now_s - self._looked[0] < LOOK_AGAIN_S:
            return
        self._looked = (now_s, pids)
        self._trees = {name: _tree(pid, with_children=name != "up") for name, pid in pids.items()}
        self._cpu = {name: was for name, was in self._cpu.items() if name in pids}

    def _share(self, name: str, cpu_s: float | None) -> float | None:
        if cpu_s is None:
            self._cpu.pop(name, None)
            return None
        now_s = self._monotonic()
        before, self._cpu[name] = self._cpu.get(name), (now_s, cpu_s)
        if before is None or now_s <= before[0] or cpu_s < before[1]:
            return None
        return (cpu_s - before[1]) / (now_s - before[0])


def _tree(pid: int, *, with_children: bool) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)] if with_children else [root]
    except psutil.Error:
        return []


def _of(process: psutil.Process) -> tuple[float, float, float, float] | None:
    try:
        with process.oneshot():
            cpu = process.cpu_times()
            return (
                cpu.user + cpu.system,
                float(process.memory_info().rss),
                float(process.num_threads()),
                float(process.num_fds()),
            )
    except psutil.Error:
        return None
