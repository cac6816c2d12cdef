"""Settings of the ten phases are refused where they make no sense."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from engine.phases.config import PipelineConfig, Readiness


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("stop_sigmas", nan, "finite"),
        ("total_deadline_s", inf, "finite"),
        ("schedule_ms", -1, "not negative"),
        ("horizon_bars", 0, "at least 1"),
        ("max_sources", 0, "at least 1"),
        ("reliable_at", 1.1, r"in \[0, 1\]"),
        ("degraded_factor", 1.5, r"in \[0, 1\]"),
        ("latency_budget_us", 0.0, "positive"),
        ("total_deadline_s", 0.0, "positive"),
        ("multiplier_min", 0.0, "0.0..2.0"),
        ("multiplier_max", 2.1, "0.1..2.1"),
        ("entry_probability", 0.5, "above exit_probability"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(name: str, value: Any, message: str) -> None:
    """OPT-18: the multiplier's range cannot be configured wider."""
    with pytest.raises(ValueError, match=message):
        PipelineConfig(**{name: value})


def test_readiness_levels_are_ordered() -> None:
    """D-14"""
    levels = [Readiness.NOT_READY, Readiness.FORMING, Readiness.READY]
    assert sorted(levels, key=lambda level: level.rank) == levels
