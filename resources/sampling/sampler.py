"""One round of everything that is measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from django.conf import settings

from engine.failsafe import fall_back
from resources.core.readings import MetricVector, Reading
from resources.counters import CounterReader, counters_dir
from resources.sampling.flow import DatabaseSampler, QueueSampler, WorkSampler
from resources.sampling.gpu import GpuSampler
from resources.sampling.host import HostSampler
from resources.sampling.processes import ProcessSampler, installation_pids

Report = Callable[[str, BaseException], None]


class Part(Protocol):
    def read(self, at_ms: int) -> list[Reading]: ...


class Sampler:
    """Asks each part; one that fails leaves its readings out and is reported, the others go on."""

    def __init__(self, parts: Sequence[Part], report: Report) -> None:
        self._parts = tuple(parts)
        self._report = report

    def read(self, at_ms: int) -> MetricVector:
        readings: list[Reading] = []
        for part in self._parts:
            where = f"sampler {type(part).__name__}"
            nothing: list[Reading] = []
            readings += fall_back(
                lambda p=part: p.read(at_ms),  # type: ignore[misc]
                nothing,
                where=where,
                report=self._report,
            )
        return MetricVector(at_ms, readings)


def volumes() -> dict[str, Path]:
    """Return the folders whose disks matter: where data is, and where logs go."""
    var: Path = settings.VAR_DIR
    return {"data": var, "logs": var / "log" if (var / "log").is_dir() else var}


def build_sampler(report: Report, gpu: GpuSampler | None = None) -> Sampler:
    run_dir: Path = settings.VAR_DIR / "run"
    return Sampler(
        [
            HostSampler(volumes()),
            ProcessSampler(lambda: installation_pids(run_dir)),
            WorkSampler(CounterReader(counters_dir())),
            QueueSampler(),
            DatabaseSampler(),
            gpu or GpuSampler(),
        ],
        report,
    )


def host_name() -> str:
    """Return what tells samples of several hosts apart."""
    return os.uname().nodename[:64]
