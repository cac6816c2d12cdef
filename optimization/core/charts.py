"""Series of the layer's page: allocation over time, and quality of executed against filtered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.ports import StrategyStatus
from optimization.core.alerts import normalized

QUALITY_BINS = 20
DEGRADED_FACTOR = 0.5


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one strategy at ``ts_ms``: of its weight or of its status, and why."""

    ts_ms: int
    strategy: str
    reason: str
    weight: float | None = None
    status: StrategyStatus | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """Where every strategy stood after a change: by code, the stored weight, the weight that sizes
    now (halved while degraded, 0 while it may not enter), and its share of those (OPT-64, D-15)."""

    ts_ms: int
    strategy: str
    reason: str
    raw: Mapping[str, float]
    effective: Mapping[str, float]
    share: Mapping[str, float]


def effective_weight(weight: float, status: StrategyStatus) -> float:
    """Return the weight that sizes: 0 where entries are blocked, half while degraded."""
    if not status.may_enter:
        return 0.0
    return weight * DEGRADED_FACTOR if status is StrategyStatus.DEGRADED else weight


def allocation_timeline(
    weights: Mapping[str, float],
    statuses: Mapping[str, StrategyStatus],
    changes: Iterable[Change],
) -> list[Point]:
    """Replay the changes in order of time over where everything began; one point a change.

    A change of a strategy that is not in ``weights`` is left out; one without a status is ACTIVE.
    """
    now_weights = dict(weights)
    now_statuses = {code: statuses.get(code, StrategyStatus.ACTIVE) for code in weights}
    points: list[Point] = []
    for change in sorted(changes, key=lambda one: one.ts_ms):
        if change.strategy not in now_weights:
            continue
        if change.weight is not None:
            now_weights[change.strategy] = change.weight
        if change.status is not None:
            now_statuses[change.strategy] = change.status
        points.append(_point(change, now_weights, now_statuses))
    return points


def _point(
    change: Change, weights: Mapping[str, float], statuses: Mapping[str, StrategyStatus]
) -> Point:
    effective = {code: effective_weight(w, statuses[code]) for code, w in weights.items()}
    shares = normalized(effective, statuses)
    return Point(
        ts_ms=change.ts_ms,
        strategy=change.strategy,
        reason=change.reason,
        raw=dict(weights),
        effective=effective,
        share={code: shares.get(code, 0.0) for code in weights},
    )


def quality_histogram(
    executed: Sequence[float], filtered: Sequence[float], bins: int = QUALITY_BINS
) -> dict[str, list[float]]:
    """Count qualities in [0, 1] in ``bins`` equal bins; the last one includes 1.

    Returns ``edges`` (bins + 1), ``executed`` and ``filtered`` (bins each).
    """
    return {
        "edges": [i / bins for i in range(bins + 1)],
        "executed": _counts(executed, bins),
        "filtered": _counts(filtered, bins),
    }


def _counts(values: Sequence[float], bins: int) -> list[float]:
    counts = [0.0] * bins
    for value in values:
        counts[min(int(value * bins), bins - 1)] += 1.0
    return counts
