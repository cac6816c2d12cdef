"""The layer's numbers: defaults, units, and one line for what makes no sense."""

from __future__ import annotations

from dataclasses import fields
from math import inf, nextafter
from sys import float_info
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


# every range as it is documented: what lies outside is refused, both ends are allowed
RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "": {"update_interval_seconds": (1, 604_800), "quality_threshold": (0, 1)},
    "quality": {
        "confidence_share": (0, 1),
        "confluence_share": (0, 1),
        "alignment_share": (0, 1),
        "history_share": (0, 1),
        "history_trades": (5, 10_000),
        "history_half_life_hours": (1, 1_000_000),
        "prior_trades": (0.1, 10_000),
        "r_scale": (0.01, 10),
        "learned_min_outcomes": (20, 1_000_000),
        "learned_rate": (0.0001, 1),
        "promotion_alpha": (0.000001, 0.5),
    },
    "health": {
        "window_trades": (5, 10_000),
        "min_trades": (2, 10_000),
        "expectancy_r_min": (-10, 10),
        "profit_factor_min": (0, 10),
        "drawdown_r_max": (0.1, 10_000),
        "losing_streak_max": (1, 10_000),
        "evidence_errors": (0, 5),
        "recovery_expectancy_r": (-0.1, 10),
        "recovery_profit_factor": (0.8, 10),
        "degraded_dwell_hours": (0, 10_000),
        "degraded_min_trades": (1, 10_000),
        "active_dwell_hours": (0, 10_000),
        "recovery_min_trades": (1, 10_000),
        "recovery_window_hours": (0, 10_000),
        "recovery_improvement": (0, 10),
        "suspended_limit_hours": (48, 100_000),
        "silent_limit_hours": (0, 100_000),
        "reference_r": (-10, 10),
        "win_cap_r": (0.5, 1_000),
        "loss_cap_r": (0.5, 1_000),
        "false_alarm_trades": (10, 1_000_000_000),
    },
    "weighting": {
        "window_trades": (5, 10_000),
        "max_step_fraction": (0.001, 0.15),
        "max_day_fraction": (0.001, 0.30),
        "min_new_trades": (1, 10_000),
        "min_regime_trades": (1, 10_000),
        "min_weight": (0.1, 1),
        "max_weight": (1, 2),
    },
    "sizing": {
        "quality_slope": (0, 1),
        "alignment_slope": (0, 1),
        "multiplier_min": (0.1, 1),
        "multiplier_max": (1, 2),
    },
}
# an end of one range is allowed only where its neighbours leave it room
BESIDE: dict[str, dict[str, float]] = {
    "window_trades": {"min_trades": 5},
    "min_trades": {"window_trades": 10_000},
    "expectancy_r_min": {"recovery_expectancy_r": 10},
    "profit_factor_min": {"recovery_profit_factor": 10},
    "recovery_window_hours": {"suspended_limit_hours": 100_000},
    "confidence_share": {"confluence_share": 0, "alignment_share": 0},
    "confluence_share": {"confidence_share": 0, "alignment_share": 0},
    "alignment_share": {"confidence_share": 0, "confluence_share": 0},
    "history_share": {"confluence_share": 0, "alignment_share": 0},
}
EACH = [(section, name) for section, names in RANGES.items() for name in names]


def _given(section: str, values: dict[str, Any]) -> dict[str, Any]:
    return {section: values} if section else values


@pytest.mark.parametrize(("section", "name"), EACH)
def test_both_ends_of_a_range_are_allowed_and_nothing_beyond_them(section: str, name: str) -> None:
    """OPT-41, OPT-81, F-087: a limit that is not where it is documented is no limit."""
    low, high = RANGES[section][name]
    whole = isinstance(getattr(section_of(LayerSettings(), section), name), int)
    beside = BESIDE.get(name, {}) if section != "weighting" else {}
    for end in (low, high):
        with_end = {**beside, name: end}
        if name.endswith("_share"):
            rest = "confidence_share" if name == "history_share" else "history_share"
            with_end[rest] = 1 - end
        settings = LayerSettings.from_values(_given(section, with_end))
        assert getattr(section_of(settings, section), name) == end
    beyond = (low - 1, high + 1) if whole else (nextafter(low, -inf), nextafter(high, inf))
    for value in beyond:
        with pytest.raises(SettingsError) as refused:
            LayerSettings.from_values(_given(section, {name: value}))
        assert f"{name} was " in str(refused.value)
        assert f"allowed: {low:g} to {high:g}" in str(refused.value)


def section_of(settings: LayerSettings, section: str) -> Any:
    return getattr(settings, section) if section else settings


def test_the_ranges_above_are_of_every_number_there_is() -> None:
    """OPT-41: a new setting without a documented range fails here."""
    for section, names in RANGES.items():
        found = section_of(LayerSettings(), section)
        numbers = {f.name for f in fields(found) if type(getattr(found, f.name)) in (int, float)}
        assert numbers == set(names)


def test_shares_that_sum_to_one_but_for_rounding_are_allowed() -> None:
    """OPT-41"""
    near = {"confidence_share": 0.3 + 5e-10}
    assert LayerSettings.from_values({"quality": near}).quality.confidence_share > 0.3
    for much in (2e-9, -2e-9):
        with pytest.raises(SettingsError, match="shares summed to 1, allowed: 1"):
            LayerSettings.from_values({"quality": {"confidence_share": 0.3 + much}})


# what docs/health-detectors.md, docs/allocation.md, decisions 0013 and 0018 promise, and what their
# figures were measured with
PROMISED: dict[str, dict[str, float | str]] = {
    "quality": {
        "confidence_share": 0.30,
        "confluence_share": 0.20,
        "alignment_share": 0.25,
        "history_share": 0.25,
        "history_trades": 50,
        "history_half_life_hours": 30 * 24,
        "prior_trades": 10,
        "r_scale": 0.25,
        "learned_enabled": True,
        "learned_min_outcomes": 100,
        "learned_rate": 0.05,
        "promotion_alpha": 0.05,
    },
    "health": {
        "window_trades": 50,
        "min_trades": 20,
        "expectancy_r_min": -0.10,
        "profit_factor_min": 0.80,
        "drawdown_r_max": 15,
        "losing_streak_max": 10,
        "evidence_errors": 1.28,
        "recovery_expectancy_r": 0,
        "recovery_profit_factor": 1,
        "degraded_dwell_hours": 24,
        "degraded_min_trades": 5,
        "active_dwell_hours": 6,
        "recovery_min_trades": 10,
        "recovery_window_hours": 48,
        "recovery_improvement": 0.15,
        "suspended_limit_hours": 72,
        "silent_limit_hours": 90 * 24,
        "reference_r": 0,
        "win_cap_r": 5,
        "loss_cap_r": 3,
        "false_alarm_trades": 1_000,
    },
    "weighting": {
        "policy": "composite",
        "window_trades": 50,
        "max_step_fraction": 0.15,
        "max_day_fraction": 0.30,
        "min_new_trades": 5,
        "min_regime_trades": 20,
        "min_weight": 0.1,
        "max_weight": 2,
    },
    "sizing": {
        "quality_slope": 1,
        "alignment_slope": 0.5,
        "multiplier_min": 0.1,
        "multiplier_max": 2,
    },
}


@pytest.mark.parametrize("section", PROMISED)
def test_what_nobody_configures_is_what_the_pages_promise(section: str) -> None:
    """OPT-33, OPT-41, OPT-81, D-17: a default that moves unseen makes every measured figure of
    the pages one of another program."""
    assert section_of(LayerSettings(), section).as_json() == PROMISED[section]


def test_the_largest_number_is_a_number_and_out_of_range_rather_than_infinite() -> None:
    """F-087: either end of what a float can say is refused by its range, in one line."""
    for value in (float_info.max, -float_info.max):
        with pytest.raises(SettingsError, match=r"quality_threshold was .* allowed: 0 to 1"):
            LayerSettings.from_values({"quality_threshold": value})
    with pytest.raises(SettingsError, match="allowed: a finite number"):
        LayerSettings.from_values({"quality_threshold": "0.6"})
