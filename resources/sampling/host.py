"""The machine: processors, memory, disks, network (ORC-22 to ORC-25)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from resources.core.readings import HOST, Reading


class HostSampler:
    """Reads the host; rates are differences to the round before, so the first has none."""

    def __init__(
        self,
        volumes: Mapping[str, Path],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``volumes`` names folders whose disks matter: data, logs."""
        self._volumes = dict(volumes)
        self._monotonic = monotonic
        self._network: tuple[float, int, int] | None = None
        self._cpu: tuple[float, float] | None = None

    def read(self, at_ms: int) -> list[Reading]:
        return [*self._processors(at_ms), *_memory(at_ms), *self._disks(at_ms), *self._rates(at_ms)]

    def _processors(self, at_ms: int) -> list[Reading]:
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        before, self._cpu = self._cpu, (total, idle)
        busy = None
        if before is not None and total > before[0]:
            busy = 1.0 - max(idle - before[1], 0.0) / (total - before[0])
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
        return [Reading(HOST, "cpu", busy, at_ms), Reading(HOST, "load_per_core", load, at_ms)]

    def _disks(self, at_ms: int) -> list[Reading]:
        found = []
        for name, folder in self._volumes.items():
            used: float | None = None
            free: float | None = None
            try:
                usage = psutil.disk_usage(str(folder))
                # what is kept for root is nobody's to fill; psutil's percent is rounded
                used, free = usage.used / (usage.used + usage.free), float(usage.free)
            except OSError:
                # said as "could not be told", which is never healthy
                pass
            found.append(Reading(f"volume:{name}", "disk_used", used, at_ms))
            found.append(Reading(f"volume:{name}", "disk_free", free, at_ms))
        return found

    def _rates(self, at_ms: int) -> list[Reading]:
        counters, now_s = psutil.net_io_counters(), self._monotonic()
        received = sent = None
        if counters is not None:
            totals = (now_s, counters.bytes_recv, counters.bytes_sent)
            before, self._network = self._network, totals
            if before is not None and now_s > before[0]:
                # a counter that started anew has no rate, it is not a negative one
                received = max(totals[1] - before[1], 0) / (now_s - before[0])
                sent = max(totals[2] - before[2], 0) / (now_s - before[0])
        return [
            Reading(HOST, "net_received", received, at_ms),
            Reading(HOST, "net_sent", sent, at_ms),
        ]


def _memory(at_ms: int) -> list[Reading]:
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return [
        Reading(HOST, "memory_used", 1.0 - memory.available / memory.total, at_ms),
        Reading(HOST, "memory_available", float(memory.available), at_ms),
        Reading(HOST, "swap_used", swap.used / swap.total if swap.total else 0.0, at_ms),
    ]
