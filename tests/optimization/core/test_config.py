"""The layer's numbers: defaults, units, and one line for what makes no sense."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from optimization.core.config import LayerSettings
from optimization.core.errors import SettingsError
from optimization.core.update import weight_limits


def test_the_documented_keys_have_the_documented_defaults() -> None:
    """OPT-06, OPT-41, OPT-12: off, three toggles on, an hour, 0.60."""
    settings = LayerSettings()
    assert (settings.enabled, settings.update_interval_seconds) == (False, 3600.0)
    assert settings.enable_quality_filtering is True
    assert settings.enable_adaptive_weighting is True
    assert settings.enable_retirement_management is True
    assert settings.quality_threshold == 0.60
    assert settings.health.recovery_window_hours == 48.0
    assert settings.health.recovery_improvement == 0.15
    assert settings.update_interval_ms == 3_600_000


def test_values_go_out_and_come_back() -> None:
    """OPT-41: also nested, also where only one is named (OPT-42)."""
    given = {"enabled": True, "health": {"window_trades": 30}, "sizing": {"quality_slope": 0.5}}
    settings = LayerSettings.from_values(given)
    assert settings.health.window_trades == 30 and settings.health.min_trades == 20
    assert LayerSettings.from_values(settings.as_json()) == settings
    assert LayerSettings.from_values({}) == LayerSettings()


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"enable": True}, "optimization.enable was unknown, allowed: enabled,"),
        ({"enabled": "yes"}, "optimization.enabled was 'yes', allowed: true or false"),
        ({"enabled": 1}, "optimization.enabled was 1, allowed: true or false"),
        ({"quality_threshold": True}, "optimization.quality_threshold was True, allowed: a number"),
        ({"quality_threshold": 1.01}, "optimization.quality_threshold was 1.01, allowed: 0 to 1"),
        ({"quality_threshold": float("nan")}, "optimization.quality_threshold was nan, allowed: a"),
        ({"update_interval_seconds": 0.5}, "update_interval_seconds was 0.5, allowed: 1 to"),
        ({"health": 3}, "optimization.health was 3, allowed: a mapping"),
        ({"health": {"min_trades": 2.5}}, "health.min_trades was 2.5, allowed: a whole number"),
        ({"health": {"min_trades": 60}}, "min_trades was 60, allowed: at most window_trades"),
        ({"health": {"suspended_limit_hours": 47}}, "suspended_limit_hours was 47, allowed: 48 to"),
        ({"health": {"recovery_expectancy_r": -1}}, "recovery_expectancy_r was -1, allowed: -0.1"),
        ({"quality": {"history_share": 0.5}}, "optimization.quality shares summed to 1.25"),
        ({"weighting": {"policy": 5}}, "optimization.weighting.policy was 5, allowed: text"),
        ({"weighting": {"max_step_fraction": 0.2}}, "max_step_fraction was 0.2, allowed: 0.001 to"),
        ({"sizing": {"multiplier_max": 2.5}}, "sizing.multiplier_max was 2.5, allowed: 1 to 2"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(values: dict[str, Any], line: str) -> None:
    """OPT-32, OPT-41, OPT-81, F-087"""
    with pytest.raises(SettingsError) as refused:
        LayerSettings.from_values(values)
    assert line in str(refused.value) and "\n" not in str(refused.value)


def test_the_weights_limits_are_the_configured_ones() -> None:
    """OPT-74, OPT-75, D-17"""
    settings = LayerSettings.from_values({"weighting": {"max_step_fraction": 0.1}}).weighting
    limits = weight_limits(settings)
    assert (limits.max_step_fraction, limits.max_day_fraction) == (0.1, 0.30)
    assert {field.name for field in fields(limits)} <= {field.name for field in fields(settings)}
