"""Every number the optimization layer uses, with its unit, default and what it means.

Fractions are fractions, R is profit over the initial stop risk, times are hours of venue time.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from math import isfinite
from typing import Any, Self, cast

from optimization.core.errors import SettingsError

# A whole number beyond it is no float, and asking whether it is finite would raise.
_LARGEST = sys.float_info.max
WEIGHT_POLICIES = ("composite", "exponentiated_gradient", "uniform")


class _Checked:
    """Base of the sections: built from a mapping, unknown keys and odd values refused."""

    __slots__ = ()

    @classmethod
    def from_values(cls, values: Mapping[str, Any], where: str = "optimization") -> Self:
        """Build from plain values; what is not named has its default.

        Raises:
            SettingsError: an unknown key, a wrong type or a value out of range, in one line.
        """
        known = {item.name: item for item in fields(cast(Any, cls))}
        given: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                allowed = ", ".join(known)
                raise SettingsError(f"{where}.{name} was unknown, allowed: {allowed}")
            default = getattr(cls(), name)
            given[name] = _value(f"{where}.{name}", value, default)
        return cls(**given)

    def as_json(self) -> dict[str, Any]:
        """Return plain values; ``from_values`` of them gives an equal object."""
        plain: dict[str, Any] = {}
        for item in fields(cast(Any, self)):
            value = getattr(self, item.name)
            plain[item.name] = value.as_json() if isinstance(value, _Checked) else value
        return plain


def _value(where: str, value: Any, default: Any) -> Any:
    if is_dataclass(default):
        if not isinstance(value, Mapping):
            raise SettingsError(f"{where} was {value!r}, allowed: a mapping")
        return cast(type[_Checked], type(default)).from_values(value, where)
    if isinstance(default, bool) or isinstance(value, bool):
        if isinstance(default, bool) and isinstance(value, bool):
            return value
        allowed = "true or false" if isinstance(default, bool) else "a number"
        raise SettingsError(f"{where} was {value!r}, allowed: {allowed}")
    if isinstance(default, str):
        if not isinstance(value, str):
            raise SettingsError(f"{where} was {value!r}, allowed: text")
        return value
    if not isinstance(value, int | float) or not -_LARGEST <= value <= _LARGEST:
        raise SettingsError(f"{where} was {repr(value)[:60]}, allowed: a finite number")
    if isinstance(default, int):
        if int(value) != value:
            raise SettingsError(f"{where} was {value!r}, allowed: a whole number")
        return int(value)
    return float(value)


def _within(section: str, name: str, value: float, low: float, high: float) -> None:
    if not (isfinite(value) and low <= value <= high):
        raise SettingsError(f"{section}.{name} was {value:g}, allowed: {low:g} to {high:g}")


def _check(section: str, settings: object, ranges: Mapping[str, tuple[float, float]]) -> None:
    for name, (low, high) in ranges.items():
        _within(section, name, getattr(settings, name), low, high)


@dataclass(frozen=True, slots=True, kw_only=True)
class QualitySettings(_Checked):
    """The score of a signal: four shares that sum to 1, and what history counts for.

    ``history_trades`` closed trades are remembered for each strategy and regime; what one counts
    halves every ``history_half_life_hours``, so that a strategy whose signals are all filtered
    is not judged by old trades for ever. ``prior_trades`` is how many trades the neutral opinion
    is worth; ``r_scale`` is the mean R at which the R part of history is about 0.73.
    ``learned_*``: the challenger, which scores from ``learned_min_outcomes`` outcomes on and
    takes over when a paired test with error ``promotion_alpha`` says it predicts better.
    """

    confidence_share: float = 0.30
    confluence_share: float = 0.20
    alignment_share: float = 0.25
    history_share: float = 0.25
    history_trades: int = 50
    history_half_life_hours: float = 720.0
    prior_trades: float = 10.0
    r_scale: float = 0.25
    learned_enabled: bool = True
    learned_min_outcomes: int = 100
    learned_rate: float = 0.05
    promotion_alpha: float = 0.05

    def __post_init__(self) -> None:
        _check(
            "optimization.quality",
            self,
            {
                "confidence_share": (0.0, 1.0),
                "confluence_share": (0.0, 1.0),
                "alignment_share": (0.0, 1.0),
                "history_share": (0.0, 1.0),
                "history_trades": (5, 10_000),
                "history_half_life_hours": (1.0, 1e6),
                "prior_trades": (0.1, 10_000.0),
                "r_scale": (0.01, 10.0),
                "learned_min_outcomes": (20, 1_000_000),
                "learned_rate": (1e-4, 1.0),
                "promotion_alpha": (1e-6, 0.5),
            },
        )
        total = (
            self.confidence_share + self.confluence_share + self.alignment_share
        ) + self.history_share
        if abs(total - 1.0) > 1e-9:
            raise SettingsError(f"optimization.quality shares summed to {total:g}, allowed: 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSettings(_Checked):
    """When a strategy degrades, is suspended, recovers, retires.

    A window is the last ``window_trades`` closed trades; nothing is judged on fewer than
    ``min_trades``. A violation needs ``expectancy_r_min``, ``profit_factor_min``,
    ``drawdown_r_max`` or ``losing_streak_max`` broken, or the sequential test's alarm; the first
    two count only where the expectancy is ``evidence_errors`` standard errors below
    ``reference_r``. Recovery needs the stricter ``recovery_*`` values (hysteresis).
    ``degraded_dwell_hours`` is how long a violation must last before suspension, and the least
    time before a way back, which also needs ``degraded_min_trades`` closed since;
    ``active_dwell_hours`` is the least time between a recovery and the next threshold edge. A
    shadow recovery is judged on at least ``recovery_min_trades`` virtual trades: those of the
    last ``recovery_window_hours``, or the last that many where those are fewer;
    ``recovery_improvement`` is a fraction of the absolute expectancy at suspension. Whoever has
    shown by so many that it did not recover retires after ``suspended_limit_hours``, whoever has
    shown less after ``silent_limit_hours``, where that is later.
    The sequential test's average run to a false alarm is at least
    ``false_alarm_trades`` trades while the expectancy of the trades, wins counted up to
    ``win_cap_r``, is not below ``reference_r``.
    """

    window_trades: int = 50
    min_trades: int = 20
    expectancy_r_min: float = -0.10
    profit_factor_min: float = 0.80
    drawdown_r_max: float = 15.0
    losing_streak_max: int = 10
    evidence_errors: float = 1.28
    recovery_expectancy_r: float = 0.0
    recovery_profit_factor: float = 1.0
    degraded_dwell_hours: float = 24.0
    degraded_min_trades: int = 5
    active_dwell_hours: float = 6.0
    recovery_min_trades: int = 10
    recovery_window_hours: float = 48.0
    recovery_improvement: float = 0.15
    suspended_limit_hours: float = 72.0
    silent_limit_hours: float = 2_160.0
    reference_r: float = 0.0
    win_cap_r: float = 5.0
    loss_cap_r: float = 3.0
    false_alarm_trades: float = 1_000.0

    def __post_init__(self) -> None:
        _check(
            "optimization.health",
            self,
            {
                "window_trades": (5, 10_000),
                "min_trades": (2, 10_000),
                "expectancy_r_min": (-10.0, 10.0),
                "profit_factor_min": (0.0, 10.0),
                "drawdown_r_max": (0.1, 10_000.0),
                "losing_streak_max": (1, 10_000),
                "evidence_errors": (0.0, 5.0),
                "recovery_expectancy_r": (self.expectancy_r_min, 10.0),
                "recovery_profit_factor": (self.profit_factor_min, 10.0),
                "degraded_dwell_hours": (0.0, 10_000.0),
                "degraded_min_trades": (1, 10_000),
                "active_dwell_hours": (0.0, 10_000.0),
                "recovery_min_trades": (1, 10_000),
                "recovery_window_hours": (0.0, 10_000.0),
                "recovery_improvement": (0.0, 10.0),
                "suspended_limit_hours": (self.recovery_window_hours, 100_000.0),
                "silent_limit_hours": (0.0, 100_000.0),
                "reference_r": (-10.0, 10.0),
                "win_cap_r": (0.5, 1_000.0),
                "loss_cap_r": (0.5, 1_000.0),
                "false_alarm_trades": (10.0, 1e9),
            },
        )
        if self.min_trades > self.window_trades:
            raise SettingsError(
                f"optimization.health.min_trades was {self.min_trades}, allowed: at most "
                f"window_trades, which is {self.window_trades}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightingSettings(_Checked):
    """How far weights move: ``policy`` proposes, the bounds decide (D-17, D-30).

    ``policy`` is ``composite``, ``exponentiated_gradient`` or ``uniform``, judged on the last
    ``window_trades`` closed trades. ``max_step_fraction`` limits one update,
    ``max_day_fraction`` all movement of any 24 h of venue time; ``min_new_trades`` must have
    closed since a weight last moved. A regime gets its own weight from ``min_regime_trades`` on.
    """

    policy: str = "composite"
    window_trades: int = 50
    max_step_fraction: float = 0.15
    max_day_fraction: float = 0.30
    min_new_trades: int = 5
    min_regime_trades: int = 20
    min_weight: float = 0.1
    max_weight: float = 2.0

    def __post_init__(self) -> None:
        if self.policy not in WEIGHT_POLICIES:
            raise SettingsError(
                f"optimization.weighting.policy was {self.policy!r}, allowed: "
                f"{', '.join(WEIGHT_POLICIES)}"
            )
        _check(
            "optimization.weighting",
            self,
            {
                "window_trades": (5, 10_000),
                "max_step_fraction": (0.001, 0.15),
                "max_day_fraction": (0.001, 0.30),
                "min_new_trades": (1, 10_000),
                "min_regime_trades": (1, 10_000),
                "min_weight": (0.1, 1.0),
                "max_weight": (1.0, 2.0),
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SizingSettings(_Checked):
    """The multiplier: weight times (1 + slope x distance) of quality and of alignment.

    At the quality threshold, with neutral alignment (0.5) and weight 1 it is exactly 1.
    """

    quality_slope: float = 1.0
    alignment_slope: float = 0.5
    multiplier_min: float = 0.1
    multiplier_max: float = 2.0

    def __post_init__(self) -> None:
        _check(
            "optimization.sizing",
            self,
            {
                "quality_slope": (0.0, 1.0),
                "alignment_slope": (0.0, 1.0),
                "multiplier_min": (0.1, 1.0),
                "multiplier_max": (1.0, 2.0),
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSettings(_Checked):
    """The ``optimization`` section of the configuration with everything below it (OPT-41)."""

    enabled: bool = False
    enable_quality_filtering: bool = True
    enable_adaptive_weighting: bool = True
    enable_retirement_management: bool = True
    update_interval_seconds: float = 3600.0
    quality_threshold: float = 0.60
    quality: QualitySettings = field(default_factory=QualitySettings)
    health: HealthSettings = field(default_factory=HealthSettings)
    weighting: WeightingSettings = field(default_factory=WeightingSettings)
    sizing: SizingSettings = field(default_factory=SizingSettings)

    def __post_init__(self) -> None:
        ranges = {"update_interval_seconds": (1.0, 604_800.0), "quality_threshold": (0.0, 1.0)}
        _check("optimization", self, ranges)

    @property
    def update_interval_ms(self) -> int:
        return round(self.update_interval_seconds * 1000)
