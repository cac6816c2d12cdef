"""The port of a weighting policy: current weights and evidence in, wished weights out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from optimization.core.evidence import StrategyEvidence


class WeightPolicy(Protocol):
    """Says where weights should go; ``bounds`` decides how far they get.

    A policy is pure: the same weights and evidence give the same answer.
    """

    @property
    def code(self) -> str: ...

    def propose(
        self, current: Mapping[str, float], evidence: Mapping[str, StrategyEvidence]
    ) -> dict[str, float]:
        """Return a finite target > 0 for every strategy of ``current``.

        A strategy without evidence, or with too little, keeps its current weight.
        """
