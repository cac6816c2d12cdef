"""Measures in words and in units a person reads: what the system page and its charts say."""

from __future__ import annotations

from resources.core.readings import METRICS, Unit, metric_of

NOTHING = "\N{EN DASH}"
_STEP = 1024.0
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
_SUBJECTS = {"host": "Machine", "database": "Database"}
_NAMES = {"http": "HTTP", "io": "I/O"}
_METRICS = {
    "p50": "median",
    "cpu": "processor",
    "load_per_core": "load per core",
    "rss": "memory",
    "net_received": "network in",
    "net_sent": "network out",
    "errors": "failed share",
    "age": "oldest waits",
    "depth": "waiting",
    "gpu": "in use",
    "gpu_memory": "memory in use",
    "memory_used": "memory in use",
    "memory_available": "memory available",
    "swap_used": "swap in use",
    "disk_used": "disk in use",
    "disk_free": "disk free",
}


def measure_words(key: str) -> str:
    """Return a filed key in words: ``volume:data.disk_used`` is ``Data volume, disk in use``."""
    subject, _, metric = key.rpartition(".")
    words = _METRICS.get(metric, metric.replace("_", " "))
    return f"{subject_words(subject)}, {words}" if subject else words


def subject_words(subject: str) -> str:
    """Return what is measured, the proper name first: ``queue:io`` is ``I/O queue``."""
    kind, _, name = subject.partition(":")
    if not name:
        return _SUBJECTS.get(kind, kind.capitalize())
    if kind == "gpu":
        return f"GPU {name}"
    proper = _NAMES.get(name, name.capitalize())
    return proper if kind == "work" else f"{proper} {kind}"


def size_words(amount: float | None, digits: int = 1) -> str:
    """Return bytes in steps of 1,024, as the charts do: 20946427904 is ``19.5 GiB``."""
    if amount is None:
        return NOTHING
    value = float(amount)
    for unit in _SIZES[:-1]:
        if abs(value) < _STEP:
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.{digits}f} {unit}"
        value /= _STEP
    return f"{value:,.{digits}f} {_SIZES[-1]}"


def percent_words(fraction: float | None, digits: int = 1) -> str:
    """Return a fraction as percent: 0.25 is ``25.0 %``."""
    return NOTHING if fraction is None else f"{100 * fraction:,.{digits}f} %"


def figure_words(key: str, value: float | None) -> str:
    """Return a value in the unit of its key; a dash where there is none, or no such measure."""
    if value is None:
        return NOTHING
    unit = metric_of(key).unit if key.rpartition(".")[2] in METRICS else Unit.COUNT
    if unit is Unit.FRACTION:
        return percent_words(value)
    if unit is Unit.BYTES:
        return size_words(value)
    if unit is Unit.BYTES_PER_S:
        return f"{size_words(value)}/s"
    if unit is Unit.COUNT:
        return f"{value:,.0f}"
    if unit is Unit.PER_S:
        return f"{value:,.2f} a second"
    return f"{value:,.1f} {unit.value}"
