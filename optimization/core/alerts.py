"""What an operator should know of the strategies as a whole; each alert fires and clears."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.ports import StrategyStatus

LARGEST_SHARE = 0.60
MOST_DEGRADED = 2


@dataclass(frozen=True, slots=True)
class Alert:
    """``severity`` is ``warning``, ``alert`` or ``critical``."""

    code: str
    severity: str
    text: str


def normalized(
    weights: Mapping[str, float], statuses: Mapping[str, StrategyStatus]
) -> dict[str, float]:
    """Return the shares of the strategies that may enter; they sum to 1, empty without one."""
    tradable = {code: w for code, w in weights.items() if statuses[code].may_enter}
    total = sum(tradable.values())
    return {code: w / total for code, w in tradable.items()} if total > 0.0 else {}


def alerts(
    statuses: Mapping[str, StrategyStatus], weights: Mapping[str, float]
) -> tuple[Alert, ...]:
    """Return what is true now (OPT-65): no entry possible, suspended, degraded, one-sided.

    Raises:
        KeyError: a weight of a strategy without a status.
    """
    found: list[Alert] = []
    by_status = {s: sorted(c for c, is_s in statuses.items() if is_s is s) for s in StrategyStatus}
    if statuses and not by_status[StrategyStatus.ACTIVE]:
        found.append(Alert("NO_ACTIVE", "critical", "no strategy is active"))
    suspended, degraded = by_status[StrategyStatus.SUSPENDED], by_status[StrategyStatus.DEGRADED]
    if suspended:
        found.append(Alert("SUSPENDED", "warning", f"suspended: {', '.join(suspended)}"))
    if len(degraded) > MOST_DEGRADED:
        found.append(Alert("DEGRADED", "alert", f"degraded: {', '.join(degraded)}"))
    shares = normalized(weights, statuses)
    if len(shares) >= 2:
        code = max(sorted(shares), key=lambda one: shares[one])
        if shares[code] > LARGEST_SHARE:
            text = f"share of {code} was {shares[code]:.3f}, largest allowed was {LARGEST_SHARE:g}"
            found.append(Alert("IMBALANCE", "alert", text))
    return tuple(found)
