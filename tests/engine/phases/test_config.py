"""Every setting has its range; what is outside is refused with its name."""

from __future__ import annotations

import math

import pytest

from engine.phases.config import PipelineConfig


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("horizon_bars", 0),
        ("max_sources", 0),
        ("learn_every_bars", 0),
        ("outlier_floor", math.nan),
        ("stop_sigmas", math.inf),
        ("weak_size_factor", 1.5),
        ("unreliable_size_factor", -0.1),
        ("multiplier_min", 0.0),
        ("multiplier_max", 2.5),
        ("total_deadline_s", 0.0),
    ],
)
def test_a_setting_outside_its_range_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=r"(?s).*was.*"):
        PipelineConfig(**{name: value})  # type: ignore[arg-type]


def test_the_ensemble_must_enter_above_where_it_leaves() -> None:
    with pytest.raises(ValueError, match="entry_probability must be above exit_probability"):
        PipelineConfig(entry_probability=0.4, exit_probability=0.5)
