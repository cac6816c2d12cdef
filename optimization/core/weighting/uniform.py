"""Every strategy keeps its base weight: the reference that learns nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from optimization.core.evidence import StrategyEvidence


@dataclass(frozen=True, slots=True)
class UniformPolicy:
    """Targets the base weights, 1 where there is none."""

    base_weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def code(self) -> str:
        return "uniform"

    def propose(
        self, current: Mapping[str, float], evidence: Mapping[str, StrategyEvidence]
    ) -> dict[str, float]:
        return {code: self.base_weights.get(code, 1.0) for code in current}
