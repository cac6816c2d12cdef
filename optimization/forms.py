"""Texts of the settings form as values; what they may be is decided in ``switches``."""

from __future__ import annotations

from collections.abc import Mapping

from optimization.errors import OptimizationRefused
from optimization.switches import KEYS

_FLAGS = {"true": True, "false": False}


def parsed_settings(posted: Mapping[str, str]) -> dict[str, bool | float]:
    """Return the settings a form named, as values.

    Raises:
        OptimizationRefused: a text that is neither true, false nor a number, or no setting at all.
    """
    changes = {key.name: _value(key.name, posted[key.name]) for key in KEYS if key.name in posted}
    if not changes:
        raise OptimizationRefused("no setting was named, allowed: one or more of the six")
    return changes


def _value(name: str, text: str) -> bool | float:
    if text in _FLAGS:
        return _FLAGS[text]
    try:
        return float(text)
    except ValueError:
        raise OptimizationRefused(
            f"optimization.{name} was {text[:60]!r}, allowed: true, false or a number",
            reason_code="settings_refused",
        ) from None
