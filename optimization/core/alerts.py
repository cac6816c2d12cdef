"""Which alerts follow from where the strategies stand; each fires and clears by itself (OPT-65)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.ports import StrategyStatus

MANY_DEGRADED = 2
LARGEST_SHARE = 0.60
CODES = ("LAYER_NO_ACTIVE", "LAYER_SUSPENDED", "LAYER_MANY_DEGRADED", "LAYER_CONCENTRATION")


@dataclass(frozen=True, slots=True)
class LayerAlert:
    """``severity`` is ``warning`` or ``critical``; ``text`` has the numbers."""

    code: str
    severity: str
    text: str

    @property
    def line(self) -> str:
        return f"{self.severity}: {self.text}"


def normalised(weights: Mapping[str, float]) -> dict[str, float]:
    """Return shares that sum to 1 (OPT-64); empty where there is nothing to share."""
    total = sum(weights.values())
    return {code: weight / total for code, weight in weights.items()} if total > 0.0 else {}


def standing_alerts(
    statuses: Mapping[str, StrategyStatus], shares: Mapping[str, float]
) -> tuple[LayerAlert, ...]:
    """Return what a person should know; empty without strategies.

    ``shares`` are those of tradable strategies. None active is critical; any suspended, more than
    two degraded, or a share above 60 % where two or more could have it, is a warning.
    """
    if not statuses:
        return ()
    found: list[LayerAlert] = []
    of = {s: sorted(c for c, is_ in statuses.items() if is_ is s) for s in StrategyStatus}
    if not of[StrategyStatus.ACTIVE]:
        text = f"no strategy is ACTIVE, {len(statuses)} are configured"
        found.append(LayerAlert("LAYER_NO_ACTIVE", "critical", text))
    if suspended := of[StrategyStatus.SUSPENDED]:
        text = f"suspended: {', '.join(suspended)}"
        found.append(LayerAlert("LAYER_SUSPENDED", "warning", text))
    if len(degraded := of[StrategyStatus.DEGRADED]) > MANY_DEGRADED:
        text = f"{len(degraded)} strategies degraded, allowed {MANY_DEGRADED}: " + ", ".join(
            degraded
        )
        found.append(LayerAlert("LAYER_MANY_DEGRADED", "warning", text))
    if len(shares) >= 2:
        code, share = max(shares.items(), key=lambda item: (item[1], item[0]))
        if share > LARGEST_SHARE:
            text = f"{code} has {share:.3f} of the allocation, allowed {LARGEST_SHARE:g}"
            found.append(LayerAlert("LAYER_CONCENTRATION", "warning", text))
    return tuple(found)


def verdict(alerts: tuple[LayerAlert, ...], statuses: Mapping[str, StrategyStatus]) -> str:
    """Return ``critical``, ``degraded`` or ``healthy`` (OPT-67); an empty house is healthy."""
    if any(alert.severity == "critical" for alert in alerts):
        return "critical"
    if alerts or StrategyStatus.DEGRADED in statuses.values():
        return "degraded"
    return "healthy"
