"""Every number the ten phases use, with its default and what it means."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from math import isfinite


class Readiness(StrEnum):
    """Is the market known well enough to enter? (D-14)"""

    NOT_READY = "NOT_READY"
    FORMING = "FORMING"
    READY = "READY"

    @property
    def rank(self) -> int:
        return _RANK[self]


_RANK = {Readiness.NOT_READY: 0, Readiness.FORMING: 1, Readiness.READY: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineConfig:
    """Settings of the ten phases; grouped by phase, fractions as fractions.

    Raises:
        ValueError: a value is outside what is allowed; the sentence names it.
    """

    # 3 microstructure: depth is counted this far from the middle; impact is for this notional.
    # An order never costs more than split_impact_bps beyond half the spread: it is cut instead
    depth_band_bps: float = 10.0
    reference_notional_quote: float = 1_000.0
    book_max_age_s: float = 10.0
    split_impact_bps: float = 8.0
    max_slices: int = 20
    limit_spread_bps: float = 6.0
    wait_liquidity_score: float = 0.10
    wait_spread_bps: float = 50.0

    # 4 source selection
    max_sources: int = 8
    minimum_performance: float = 0.40
    minimum_score: float = 0.25
    latency_budget_us: float = 2_000.0
    # all learned sources of a bar together: over it fewer are asked, shadows go first (ORC-74)
    panel_budget_us: float = 200_000.0
    # an opinion closer to 0.5 than this is none
    opinion_margin: float = 0.005

    # 5 cross validation: in probability; the limit is in robust standard deviations
    outlier_floor: float = 0.05
    outlier_limit: float = 3.0
    reliable_at: float = 0.40
    weak_at: float = 0.20
    weak_size_factor: float = 1.0
    unreliable_size_factor: float = 0.5

    # 6 ensemble: stops in standard deviations of the move over the horizon
    entry_probability: float = 0.525
    ensemble_trades: bool = True
    exit_probability: float = 0.50
    min_confluence: int = 2
    stop_sigmas: float = 1.5
    target_sigmas: float = 2.25
    min_stop_fraction: float = 0.003

    # 7 risk and sizing
    required_readiness: Readiness = Readiness.READY
    readiness_dwell_bars: int = 3
    readiness_bars_after_gap: int = 30
    multiplier_min: float = 0.1
    multiplier_max: float = 2.0
    degraded_factor: float = 0.5
    # an entry's target must pay its round-trip fees this many times over
    target_pays_fees: float = 1.5
    # an entry is denied where the ensemble gives its side less than this
    veto_probability: float = 0.49
    base_share_of_cap: float = 0.5

    # 8 final decision
    validity_bars: int = 1
    max_holding_bars: int = 720

    # 9 learning: an opinion is settled this many bars later. Opinions of neighbouring bars share
    # most of their outcome, so only every few bars' are settled; decisions with an order always
    horizon_bars: int = 12
    learn_every_bars: int = 6

    # 10 evolution
    decline_brier: float = 0.01
    decline_min_settled: int = 100
    schedule_ms: int = 86_400_000
    new_data_settled: int = 1_000
    evolution_cooldown_ms: int = 21_600_000
    # errors of neighbouring opinions share part of their horizon: drift is looked for in blocks
    drift_block_settled: int = 4
    drift_delta: float = 0.002
    drift_trust: float = 0.5
    drift_insight_bars: int = 240

    # from the bar's arrival to its decisions; wall time of the passed monotonic clock
    total_deadline_s: float = 2.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float | int) and not (isfinite(value) and value >= 0):
                raise ValueError(f"{field.name} must be finite and not negative, was {value}")
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, was {getattr(self, name)}")
        for name in _FRACTIONS:
            if getattr(self, name) > 1.0:
                raise ValueError(f"{name} must be in [0, 1], was {getattr(self, name)}")
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, was {getattr(self, name)}")
        if not 0.0 < self.multiplier_min <= 1.0 <= self.multiplier_max <= 2.0:
            raise ValueError(
                f"multiplier range must lie in (0, 2] around 1, was "
                f"{self.multiplier_min}..{self.multiplier_max}"
            )
        if self.entry_probability <= self.exit_probability:
            raise ValueError(
                f"entry_probability must be above exit_probability {self.exit_probability}, "
                f"was {self.entry_probability}"
            )


_AT_LEAST_ONE = (
    "max_slices",
    "max_sources",
    "min_confluence",
    "readiness_dwell_bars",
    "readiness_bars_after_gap",
    "validity_bars",
    "max_holding_bars",
    "horizon_bars",
    "learn_every_bars",
    "drift_block_settled",
    "drift_insight_bars",
)
_FRACTIONS = (
    "wait_liquidity_score",
    "minimum_performance",
    "reliable_at",
    "weak_at",
    "weak_size_factor",
    "unreliable_size_factor",
    "entry_probability",
    "exit_probability",
    "veto_probability",
    "degraded_factor",
    "base_share_of_cap",
    "drift_delta",
    "drift_trust",
)
_POSITIVE = (
    "depth_band_bps",
    "reference_notional_quote",
    "split_impact_bps",
    "latency_budget_us",
    "panel_budget_us",
    "drift_delta",
    "drift_trust",
    "outlier_floor",
    "outlier_limit",
    "stop_sigmas",
    "target_sigmas",
    "min_stop_fraction",
    "base_share_of_cap",
    "total_deadline_s",
)
