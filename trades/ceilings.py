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
# so that each number is judged alone: the base risk follows the largest one anyhow
WIDE = {"risk_per_trade": "0.000000001", "max_risk_per_trade": "1"}
Overrides = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is stored: the overrides that hold, and those that will from ``raises_at`` on.

    ``fault`` names what is stored and is no limit of this code; empty where all of it is one."""

    overrides: Overrides = field(default_factory=dict)
    raised: Overrides | None = None
    raises_at: datetime | None = None
    version: int = 0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """One limit: the file's number, what holds now, and what will hold from ``at`` on."""

    name: str
    filed: Value | None
    holds: Value | None
    will_hold: Value | None = None
    at: datetime | None = None


def stored_ceilings(limits: RiskLimits) -> RiskLimits:
    """Implements ``engine.ceilings.Ceilings`` over the newest version of the section.

    Where a stored number is no limit the file's holds, so that exits go on; entries are held
    meanwhile (``ceiling_fault``)."""
    return tightened(limits, standing(timezone.now()).overrides)


def ceiling_fault() -> str:
    """Return why entries wait: a stored ceiling that this code cannot read; else empty.

    The next change that a person makes leaves it out."""
    return fault_words(standing(timezone.now()))


def fault_words(stored: Standing) -> str:
    """Return what is wrong with what is stored, as a person is told; empty where nothing is."""
    fault = stored.fault
    return fault and f"a stored ceiling cannot be read, the file's holds: {fault}"


def standing(now: datetime) -> Standing:
    """Return what holds at ``now``: a raise whose delay is over has become what holds."""
    newest = settings_newest(SECTION)
    if newest is None:
        return Standing()
    overrides, fault = _read(newest.values["ceilings"])
    later = newest.values.get("raise")
    if later is None:
        return Standing(overrides, version=newest.version, fault=fault)
    raised, later_fault = _read(later["ceilings"])
    at = datetime.fromisoformat(later["at"])
    if now >= at:
        return Standing(raised, version=newest.version, fault=later_fault)
    return Standing(overrides, raised, at, newest.version, fault or later_fault)


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


def _read(values: Mapping[str, Any]) -> tuple[dict[str, Value], str]:
    """Return what is a limit, and what is wrong with the first that is none."""
    read: dict[str, Value] = {}
    fault = ""
    for name, text in values.items():
        try:
            read[name] = _limit(name, text)
        except LimitsError as error:
            fault = fault or str(error)
    return read, fault


def _limit(name: str, text: Any) -> Value:
    is_count = isinstance(value_of(RiskLimits(), name), int)
    try:
        exact = Decimal(text)
        value: Value = int(exact) if is_count else exact
    except (InvalidOperation, ValueError, TypeError) as error:
        raise LimitsError(f"the stored ceiling {name} was {text!r}, no number") from error
    RiskLimits.parse({**WIDE, name: value})
    return value
