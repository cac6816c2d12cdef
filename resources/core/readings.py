"""What is measured: every metric's name, unit and direction stands here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    FRACTION = "fraction"
    BYTES = "bytes"
    BYTES_PER_S = "bytes/s"
    PER_S = "1/s"
    MS = "ms"
    S = "s"
    COUNT = "count"


class Worse(StrEnum):
    """Which way is bad; NEITHER is a number that says nothing by itself."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    unit: Unit
    worse: Worse
    about: str


def _metric(name: str, unit: Unit, worse: Worse, about: str) -> Metric:
    return Metric(name, unit, worse, about)


_H, _L, _N = Worse.HIGHER, Worse.LOWER, Worse.NEITHER

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        _metric("cpu", Unit.FRACTION, _H, "share of all cores (host) or of one core (process)"),
        _metric("load_per_core", Unit.FRACTION, _H, "one-minute load average over cores"),
        _metric("memory_used", Unit.FRACTION, _H, "1 - available / total"),
        _metric("memory_available", Unit.BYTES, _L, "what can be had without swapping"),
        _metric("swap_used", Unit.FRACTION, _H, "of the swap space; 0 without any"),
        _metric("disk_used", Unit.FRACTION, _H, "of the volume, as a plain user sees it"),
        _metric("disk_free", Unit.BYTES, _L, "of the volume, for a plain user"),
        _metric("net_received", Unit.BYTES_PER_S, _N, "rate from counter differences"),
        _metric("net_sent", Unit.BYTES_PER_S, _N, "rate from counter differences"),
        _metric("gpu", Unit.FRACTION, _H, "utilisation of one GPU"),
        _metric("gpu_memory", Unit.FRACTION, _H, "memory in use of one GPU"),
        _metric("rss", Unit.BYTES, _H, "resident memory of a process and its children"),
        _metric("threads", Unit.COUNT, _H, "threads of a process and its children"),
        _metric("open_files", Unit.COUNT, _H, "open descriptors of a process and its children"),
        _metric("p50", Unit.MS, _H, "median time of one unit of work in the last interval"),
        _metric("p95", Unit.MS, _H, "95th percentile of the last interval"),
        _metric("p99", Unit.MS, _H, "99th percentile of the last interval"),
        _metric("throughput", Unit.PER_S, _L, "completed units of work a second; idle is 0"),
        _metric("errors", Unit.FRACTION, _H, "failed of all; None where nothing was done"),
        _metric("failures", Unit.PER_S, _H, "failed units of work a second"),
        _metric("depth", Unit.COUNT, _H, "messages that wait in a queue"),
        _metric("age", Unit.S, _H, "how long the oldest message has waited; 0 when none does"),
        _metric("size", Unit.BYTES, _H, "of the database, with its write-ahead log"),
        _metric("connections", Unit.COUNT, _H, "database connections of this installation"),
    )
}
HOST = "host"


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one subject: ``host``, ``volume:data``, ``process:trading``, ``work:decision``,
    ``queue:io``, ``database``, ``gpu:0``. None means it was asked and could not be told."""

    subject: str
    name: str
    value: float | None
    at_ms: int

    def __post_init__(self) -> None:
        if self.name not in METRICS:
            raise ValueError(f"metric was {self.name!r}, allowed: {', '.join(METRICS)}")

    @property
    def unit(self) -> Unit:
        return METRICS[self.name].unit

    @property
    def key(self) -> str:
        return key_of(self.subject, self.name)


def key_of(subject: str, name: str) -> str:
    """Return how a subject's metric is filed: ``process:trading.rss``."""
    return f"{subject}.{name}"


def metric_of(key: str) -> Metric:
    """Return the metric of a filed key.

    Raises:
        KeyError: the key names no metric.
    """
    return METRICS[key.rpartition(".")[2]]


class MetricVector:
    """Everything read in one round."""

    def __init__(self, at_ms: int, readings: Iterable[Reading] = ()) -> None:
        self.at_ms = at_ms
        self._values = {reading.key: reading.value for reading in readings}

    @classmethod
    def of(cls, at_ms: int, values: Mapping[str, float | None]) -> MetricVector:
        """Return the vector of a stored round."""
        vector = cls(at_ms)
        vector._values = dict(values)
        return vector

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def get(self, key: str) -> float | None:
        """Return a value; None where it was not read or could not be told."""
        return self._values.get(key)

    def values(self) -> dict[str, float | None]:
        return dict(self._values)
