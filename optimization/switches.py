"""The layer's settings: six keys, their defaults, and what they may be (OPT-41, OPT-42).

The configuration file has the same section; what a page, the admin or the API changes is checked
here, because this room does not see the file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts.errors import SettingsRefused
from accounts.models import SettingsVersion
from accounts.versioned_settings import settings_change, settings_newest
from optimization.errors import OptimizationRefused

SECTION = "optimization"
# Who switches off must not be refused because somebody else was a moment faster.
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Key:
    """One setting. A range means a number in [least, most], no range means true or false."""

    name: str
    default: bool | float
    title: str
    help: str
    least: float | None = None
    most: float | None = None

    @property
    def allowed(self) -> str:
        if self.least is None or self.most is None:
            return "true or false"
        return f"a number from {self.least:g} to {self.most:g}"

    def holds(self, value: object) -> bool:
        if self.least is None or self.most is None:
            return isinstance(value, bool)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        # compared first: a whole number of four hundred digits is no float to ask isfinite of
        return self.least <= value <= self.most and math.isfinite(value)


KEYS: tuple[Key, ...] = (
    Key("enabled", False, "Optimization layer", "Off: base weights, every signal, multiplier 1."),
    Key(
        "enable_quality_filtering",
        True,
        "Quality filtering",
        "Entries whose quality is below the threshold are skipped.",
    ),
    Key(
        "enable_adaptive_weighting",
        True,
        "Adaptive weighting",
        "Weights follow closed trades, at most 15 % an update.",
    ),
    Key(
        "enable_retirement_management",
        True,
        "Retirement management",
        "Strategies are degraded, suspended and retired on evidence.",
    ),
    Key(
        "update_interval_seconds",
        3600.0,
        "Update interval, seconds",
        "Venue time between two updates of weights and health.",
        1.0,
        604_800.0,
    ),
    Key(
        "quality_threshold",
        0.60,
        "Quality threshold",
        "An entry needs at least this quality.",
        0.0,
        1.0,
    ),
)
BY_NAME: dict[str, Key] = {key.name: key for key in KEYS}
DEFAULTS: dict[str, bool | float] = {key.name: key.default for key in KEYS}
TOGGLES = (
    "enable_quality_filtering",
    "enable_adaptive_weighting",
    "enable_retirement_management",
)


@dataclass(frozen=True, slots=True)
class Effective:
    """The settings that hold: their values, since when, and who said so.

    ``source`` is ``default`` where neither the file nor a person has set them yet; ``version`` is
    then 0.
    """

    values: Mapping[str, Any]
    version: int
    source: str
    actor: str
    reason: str
    since: datetime | None

    @property
    def is_enabled(self) -> bool:
        return bool(self.values["enabled"])

    @property
    def interval_s(self) -> float:
        return float(self.values["update_interval_seconds"])


def checked(given: Mapping[str, Any]) -> dict[str, bool | float]:
    """Return the given keys; a key that is not there keeps what holds.

    Raises:
        OptimizationRefused: one line that names the key, its value and what is allowed.
    """
    for name, value in given.items():
        key = BY_NAME.get(name)
        if key is None:
            raise OptimizationRefused(
                f"{SECTION}.{str(name)[:60]} was {str(value)[:60]} but is not a known key,"
                f" allowed: {', '.join(BY_NAME)}",
                reason_code="settings_refused",
            )
        if not key.holds(value):
            raise OptimizationRefused(
                f"{SECTION}.{name} was {str(value)[:60]}, allowed: {key.allowed}",
                reason_code="settings_refused",
            )
    return {name: _plain(value) for name, value in given.items()}


def effective() -> Effective:
    """Return the settings that hold now: the newest version over the defaults."""
    row = settings_newest(SECTION)
    if row is None:
        return Effective(DEFAULTS, 0, "default", "", "", None)
    return _effective(row)


def layer_is_on() -> bool:
    """Return whether the layer is on: one indexed row, cheap enough to ask once an event."""
    row = settings_newest(SECTION)
    return bool(DEFAULTS["enabled"] if row is None else row.values.get("enabled", False))


def optimization_settings_change(
    *,
    changes: Mapping[str, Any],
    actor: str,
    reason: str,
    source: str,
    expected_version: int | None = None,
) -> Effective:
    """Change some keys of the layer, audited; effective at each run's next event (OPT-55).

    Keys that are not named keep what holds at the moment of writing: a change that was made
    meanwhile is never undone by one of another key. Without ``expected_version`` such a change is
    taken up and the write tried again.

    Raises:
        OptimizationRefused: an unknown key or a bad value.
        SettingsRefused: no reason, or somebody else changed the settings meanwhile.
    """
    good = checked(changes)
    for tries_left in reversed(range(_TRIES)):
        now = effective()
        try:
            row = settings_change(
                section=SECTION,
                values={**DEFAULTS, **now.values, **good},
                actor=actor,
                reason=reason,
                source=source,
                expected_version=now.version if expected_version is None else expected_version,
            )
        except SettingsRefused as refused:
            is_race = refused.reason_code == "changed_meanwhile" and expected_version is None
            if is_race and tries_left:
                continue
            raise
        return _effective(row)
    raise AssertionError("the last try returns or raises")


def _effective(row: SettingsVersion) -> Effective:
    # a key that came after the version was written has its default
    return Effective(
        {**DEFAULTS, **row.values}, row.version, row.source, row.actor, row.reason, row.changed_at
    )


def _plain(value: Any) -> bool | float:
    return value if isinstance(value, bool) else float(value)
