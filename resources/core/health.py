"""Is it well: healthy, warning or critical is the worst of all checks (ORC-31)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from resources.core.readings import MetricVector, Worse, metric_of


class Health(StrEnum):
    HEALTHY = "healthy"
    UNKNOWN = "unknown"
    WARNING = "warning"
    CRITICAL = "critical"


_RANK = {level: rank for rank, level in enumerate(Health)}


@dataclass(frozen=True, slots=True)
class Check:
    """Beyond ``warning`` it is a warning, beyond ``critical`` critical; at a limit it is not.

    ``is_required`` False leaves out what this machine may not have, such as a GPU.
    """

    key: str
    warning: float
    critical: float
    is_required: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    key: str
    level: Health
    value: float | None
    warning: float
    critical: float


@dataclass(frozen=True, slots=True)
class Assessment:
    level: Health
    findings: tuple[Finding, ...]


def beyond(key: str, value: float, limit: float) -> bool:
    """Return whether a value is strictly on the bad side of a limit."""
    return value < limit if metric_of(key).worse is Worse.LOWER else value > limit


def assess(vector: MetricVector | None, checks: Sequence[Check]) -> Assessment:
    """Return the worst of all checks; unknown without samples.

    A required check that could not be told ranks above healthy and below a warning: what is not
    seen is not well.
    """
    findings = []
    for check in checks:
        value = None if vector is None else vector.get(check.key)
        if value is None and not check.is_required:
            continue
        findings.append(
            Finding(check.key, _level(check, value), value, check.warning, check.critical)
        )
    worst = max((f.level for f in findings), key=_RANK.__getitem__, default=Health.UNKNOWN)
    return Assessment(worst, tuple(findings))


def _level(check: Check, value: float | None) -> Health:
    if value is None:
        return Health.UNKNOWN
    if beyond(check.key, value, check.critical):
        return Health.CRITICAL
    return Health.WARNING if beyond(check.key, value, check.warning) else Health.HEALTHY
