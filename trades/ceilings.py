"""Hard ceilings made lower by people: what holds is the stricter of the configuration file and of
what they stored, so that no stored value can loosen anything (CTL-22, SEC-45).

Who changes them is ``trades.ceiling_changes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils import timezone

from accounts.versioned_settings import settings_newest
from engine.ceilings import NAMES, Value, tightened, value_of
from engine.risk import LimitsError, RiskLimits
from trades.models import TradingRun

SECTION = "risk-ceilings"
Overrides = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is stored: the overrides that hold, and those that will from ``raises_at`` on."""

    overrides: Overrides = field(default_factory=dict)
    raised: Overrides | None = None
    raises_at: datetime | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class Ceiling:
    """One limit: the file's number, what holds now, and what will hold from ``at`` on."""

    name: str
    filed: Value | None
    holds: Value | None
    will_hold: Value | None = None
    at: datetime | None = None


def stored_ceilings(limits: RiskLimits) -> RiskLimits:
    """Implements ``engine.ceilings.Ceilings`` over the newest version of the section."""
    return tightened(limits, standing(timezone.now()).overrides)


def standing(now: datetime) -> Standing:
    """Return what holds at ``now``: a raise whose delay is over has become what holds.

    Raises:
        LimitsError: what is stored is no limit; the caller's event must not go on.
    """
    newest = settings_newest(SECTION)
    if newest is None:
        return Standing()
    overrides = _read(newest.values["ceilings"])
    later = newest.values.get("raise")
    if later is None:
        return Standing(overrides, version=newest.version)
    raised, at = _read(later["ceilings"]), datetime.fromisoformat(later["at"])
    if now >= at:
        return Standing(raised, version=newest.version)
    return Standing(overrides, raised, at, newest.version)


def filed_limits(run: TradingRun) -> RiskLimits:
    """Return the limits of the run's configuration file; what it lacks has the engine's default."""
    given: dict[str, Any] = dict(run.config.get("risk") or {})
    if "max_total_drawdown" in given:
        given["max_drawdown"] = given.pop("max_total_drawdown")
    known = (*NAMES, "correlated_groups")
    return RiskLimits.parse({n: v for n, v in given.items() if n in known})


def ceiling_list(run: TradingRun, now: datetime | None = None) -> list[Ceiling]:
    """Return every limit of decisions: the file's number, what holds, and what is to come."""
    filed, stored = filed_limits(run), standing(now or timezone.now())
    holding = tightened(filed, stored.overrides)
    later = None if stored.raised is None else tightened(filed, stored.raised)
    rows = []
    for name in NAMES:
        holds = value_of(holding, name)
        to_come = holds if later is None else value_of(later, name)
        is_changing = to_come != holds
        rows.append(
            Ceiling(
                name,
                value_of(filed, name),
                holds,
                to_come if is_changing else None,
                stored.raises_at if is_changing else None,
            )
        )
    return rows


def _read(values: Mapping[str, Any]) -> dict[str, Value]:
    defaults = RiskLimits()
    read: dict[str, Value] = {}
    for name, text in values.items():
        try:
            exact = Decimal(text)
        except InvalidOperation as error:
            raise LimitsError(f"the stored ceiling {name} was {text!r}, no number") from error
        read[name] = int(exact) if isinstance(value_of(defaults, name), int) else exact
    return read
