"""The optimization layer switched off: a policy that changes nothing."""

from __future__ import annotations

from collections.abc import Mapping

from engine.ports import Assessment
from engine.types.ledger import Trade
from engine.types.opinions import MarketView, Missing, Proposal, Regime

_ACCEPTED = Assessment(
    accepted=True,
    quality=None,
    reason_code="UNFILTERED",
    reason="quality filter off, every signal is accepted",
)


class BasePolicy:
    """Implements ``OptimizationPolicy`` as a null object: base weights, accepts all, m = 1."""

    def __init__(self, base_weights: Mapping[str, float] | None = None) -> None:
        self._base_weights = dict(base_weights or {})

    def weights(self, regime: Regime) -> Mapping[str, float]:
        return self._base_weights

    def assess(
        self, proposal: Proposal, market: MarketView | Missing, confluence: int
    ) -> Assessment:
        return _ACCEPTED

    def size_multiplier(
        self, proposal: Proposal, assessment: Assessment, market: MarketView | Missing
    ) -> float:
        return 1.0

    def record_outcome(self, trade: Trade) -> None:
        return None

    def refresh(self, now_ms: int) -> None:
        return None
