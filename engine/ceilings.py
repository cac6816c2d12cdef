"""Limits that people made stricter than the configuration file: never looser, whatever is stored.

Pure. The file's numbers are the ceilings; an override counts only where it is the stricter one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from decimal import Decimal

from engine.risk import LimitsError, RiskLimits

Value = Decimal | int
Ceilings = Callable[[RiskLimits], RiskLimits]
"""Makes the configured limits as strict as they are to be now."""

# What must not fall below a number; everything else must not rise above it.
_FLOORS = frozenset({"cash_reserve", "min_equity_quote", "jump_pause_minutes"})
NAMES = tuple(f.name for f in dataclasses.fields(RiskLimits) if f.name != "correlated_groups")


def as_filed(limits: RiskLimits) -> RiskLimits:
    """Leave the configured limits as they are: replay, and wherever nobody overrides."""
    return limits


def is_stricter(name: str, value: Value | None, than: Value | None) -> bool:
    """True where ``value`` lets less be risked than ``than``; None is no limit at all."""
    if value is None or than is None:
        return value is not None and than is None
    return value > than if name in _FLOORS else value < than


def tightened(limits: RiskLimits, overrides: Mapping[str, Value]) -> RiskLimits:
    """Return ``limits`` with every override that is stricter; what is looser counts for nothing.

    The base risk never exceeds the largest one: it falls with it.

    Raises:
        LimitsError: an unknown name, or a value that is no limit.
    """
    chosen = {n: v for n, v in overrides.items() if is_stricter(n, v, value_of(limits, n))}
    if not chosen:
        return limits
    most = chosen.get("max_risk_per_trade", limits.max_risk_per_trade)
    base = chosen.get("risk_per_trade", limits.risk_per_trade)
    return dataclasses.replace(limits, **{**chosen, "risk_per_trade": min(base, most)})  # type: ignore[arg-type]


def value_of(limits: RiskLimits, name: str) -> Value | None:
    """Return one limit by its name.

    Raises:
        LimitsError: there is no such limit.
    """
    if name not in NAMES:
        raise LimitsError(f"limit was {name!r}, allowed: {', '.join(NAMES)}")
    value: Value | None = getattr(limits, name)
    return value
