"""The optimizer's settings: limits, windows and cool-downs, each with its range (ORC-46)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig:
    """``observe_only`` plans and records but carries nothing out. Fractions are 0 to 1.

    ``disabled_rules`` and ``disabled_actions`` are codes; each can be switched off by itself.
    """

    enabled: bool = True
    observe_only: bool = False
    sample_every_s: float = 5.0
    decide_every_s: float = 10.0
    cpu_limit: float = 0.80
    memory_limit: float = 0.85
    available_bytes_limit: float = float(GIB)
    disk_limit: float = 0.90
    load_per_core_limit: float = 2.0
    worker_rss_limit_bytes: float = 900.0 * MIB
    queue_age_limit_s: float = 120.0
    error_limit: float = 0.05
    least_calls: int = 20
    repeats_limit: int = 10
    slower_by: float = 0.50
    # faster than this nobody waits, however much slower than usual it is
    slow_decision_ms: float = 50.0
    slow_http_ms: float = 250.0
    slower_windows: int = 3
    baseline_windows: int = 10
    window_s: float = 30.0
    clear_margin: float = 0.05
    cool_down_s: float = 300.0
    tries_without_effect: int = 2
    temp_age_s: float = 86_400.0
    disk_cache_bytes: float = 512.0 * MIB
    # what one act may delete at most; the rest is the next act's, so a mistake has an end
    deleted_bytes: float = 4.0 * GIB
    stream_frames: int = 1_000
    slow_query_ms: float = 200.0
    disabled_rules: tuple[str, ...] = ()
    disabled_actions: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, object]) -> OptimizerConfig:
        """Return the settings with what was given; the defaults where it is silent.

        Raises:
            ValueError: an unknown name or a value outside its range, in one line.
        """
        known = {field.name for field in fields(cls)}
        for name in given:
            if name not in known:
                raise ValueError(f"{name} was unknown, allowed: {', '.join(sorted(known))}")
        return cls(**{name: _checked(name, value) for name, value in given.items()})  # type: ignore[arg-type]

    def values(self) -> dict[str, object]:
        """Return plain values, as stored and shown."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}


_SWITCHES = frozenset({"enabled", "observe_only"})
_LISTS = frozenset({"disabled_rules", "disabled_actions"})
_WHOLE = {
    "least_calls": (1, 100_000),
    "repeats_limit": (1, 100_000),
    "slower_windows": (1, 20),
    "baseline_windows": (3, 100),
    "tries_without_effect": (1, 10),
    "stream_frames": (100, 2_000),
}
_RANGES = {
    "sample_every_s": (1.0, 5.0),
    "decide_every_s": (5.0, 300.0),
    "cpu_limit": (0.05, 1.0),
    "memory_limit": (0.05, 1.0),
    "available_bytes_limit": (0.0, 1e15),
    "disk_limit": (0.05, 1.0),
    "load_per_core_limit": (0.1, 1_000.0),
    "worker_rss_limit_bytes": (64.0 * MIB, 1e15),
    "queue_age_limit_s": (1.0, 1e6),
    "error_limit": (0.0, 1.0),
    "slower_by": (0.01, 100.0),
    "window_s": (5.0, 3_600.0),
    "clear_margin": (0.0, 0.5),
    "cool_down_s": (10.0, 86_400.0),
    "temp_age_s": (60.0, 1e9),
    "disk_cache_bytes": (0.0, 1e15),
    "deleted_bytes": (0.0, 1e15),
    "slow_decision_ms": (0.0, 600_000.0),
    "slow_http_ms": (0.0, 600_000.0),
    "slow_query_ms": (1.0, 600_000.0),
}


def allowed_of(name: str) -> str:
    """Return in words what a setting may be."""
    if name in _SWITCHES:
        return "true or false"
    if name in _LISTS:
        return "codes, with commas between them; empty for none"
    low, high = _WHOLE.get(name) or _RANGES[name]
    kind = "a whole number" if name in _WHOLE else "a number"
    return f"{kind} from {low:g} to {high:g}"


def _checked(name: str, value: object) -> object:
    if name in _SWITCHES:
        if not isinstance(value, bool):
            raise ValueError(f"{name} was {value!r}, allowed: true or false")
        return value
    if name in _LISTS:
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            raise ValueError(f"{name} was {value!r}, allowed: a list of codes")
        return tuple(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} was {value!r}, allowed: a finite number")
    low, high = _WHOLE.get(name) or _RANGES[name]
    if not low <= value <= high or (name in _WHOLE and value != int(value)):
        kind = "whole numbers " if name in _WHOLE else ""
        raise ValueError(f"{name} was {value:g}, allowed: {kind}{low:g} to {high:g}")
    return int(value) if name in _WHOLE else float(value)
