"""Changing the hard ceilings, in two steps and never beyond the configuration file's.

Lowering counts from the next event. Raising again, up to the file's number, needs somebody who was
asked for the password just now, and counts after ``DELAY`` (CTL-22, SEC-45).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core import signing
from django.utils import timezone

from accounts.errors import SettingsRefused
from accounts.models import SettingsSource, SettingsVersion
from accounts.versioned_settings import settings_change
from engine.ceilings import Value, is_stricter, tightened, value_of
from engine.digest import plain
from engine.risk import LimitsError, RiskLimits
from trades.ceilings import SECTION, Overrides, Standing, filed_limits, standing
from trades.errors import CeilingRaised, CeilingRefused, PreviewStale
from trades.models import TradingRun
from trades.requests import checked_reason

DELAY = timedelta(minutes=10)
GOOD_FOR_S = 120
_SALT = "trades.ceilings"
# so that each number is judged alone: the base risk follows the largest one anyhow
_WIDE = {"risk_per_trade": "0.000000001", "max_risk_per_trade": "1"}


@dataclass(frozen=True, slots=True)
class Change:
    """One limit of a preview, before and after; ``raises`` says that it lets more be risked."""

    name: str
    filed: Value | None
    before: Value | None
    after: Value | None
    raises: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change would do; ``token`` confirms it within two minutes."""

    changes: Sequence[Change]
    token: str
    good_for_s: int = GOOD_FOR_S

    @property
    def raises(self) -> bool:
        return any(change.raises for change in self.changes)


def ceiling_preview(*, run: TradingRun, changes: Mapping[str, object], actor: str) -> Preview:
    """Return what the changes would do, with the token that confirms them.

    Raises:
        CeilingRefused: an unknown limit, a value that is none, one beyond the file's, or no change.
    """
    now = timezone.now()
    filed, stored = filed_limits(run), standing(now)
    rows = _changes(filed, stored, changes)
    if not rows:
        raise CeilingRefused(
            "nothing would change, allowed: another number than the one that holds"
        )
    signed = {
        "changes": {row.name: _text(row.after) for row in rows},
        "actor": actor,
        "run": str(run.code),
        "version": stored.version,
    }
    return Preview(rows, signing.dumps(signed, salt=_SALT, compress=True))


def ceiling_confirm(
    *,
    run: TradingRun,
    token: str,
    actor: str,
    reason: str,
    may_raise: bool,
    source: str = SettingsSource.API,
) -> SettingsVersion:
    """Make a previewed change: what is stricter counts from the next event, what is looser after
    ``DELAY``.

    Raises:
        PreviewStale: the token is too old, not this caller's, or somebody was faster.
        CeilingRaised: it lets more be risked, and ``may_raise`` is False.
        CeilingRefused: the file's ceiling has become lower meanwhile.
        RequestRefused: no reason was given.
    """
    reason = checked_reason(reason)
    signed = _checked_token(token, actor, run)
    now = timezone.now()
    filed, stored = filed_limits(run), standing(now)
    rows = _changes(filed, stored, signed["changes"])
    raising = [row.name for row in rows if row.raises]
    if raising and not may_raise:
        raise CeilingRaised(f"{', '.join(raising)} would let more be risked than now")
    try:
        return settings_change(
            section=SECTION,
            values=_document(stored, rows, now),
            actor=actor,
            reason=reason,
            source=source,
            expected_version=signed["version"],
        )
    except SettingsRefused as error:
        raise PreviewStale(str(error)) from error


def _changes(filed: RiskLimits, stored: Standing, asked: Mapping[str, object]) -> list[Change]:
    holding = tightened(filed, stored.overrides)
    later = None if stored.raised is None else tightened(filed, stored.raised)
    rows = []
    for name, given in asked.items():
        after = _number(name, given, filed)
        before, ceiling = value_of(holding, name), value_of(filed, name)
        if is_stricter(name, ceiling, after):
            raise CeilingRefused(
                f"{name} was {_text(after) or 'none'}, the file's ceiling is {_text(ceiling)}: "
                "only the file can loosen it"
            )
        is_pending = later is not None and value_of(later, name) != after
        if after != before or is_pending:
            rows.append(Change(name, ceiling, before, after, is_stricter(name, before, after)))
    return rows


def _number(name: str, given: object, filed: RiskLimits) -> Value | None:
    """Return a limit as its field has it; None asks for the file's own.

    Raises:
        CeilingRefused: there is no such limit, or the value is none.
    """
    try:
        ceiling = value_of(filed, name)
        if given is None:
            return ceiling
        if isinstance(given, bool) or not isinstance(given, int | str | Decimal):
            raise CeilingRefused(f"{name} was {given!r}, allowed: a number")
        exact = Decimal(given)
        value: Value = exact
        if isinstance(ceiling, int):
            if not exact.is_finite() or exact != exact.to_integral_value():
                raise CeilingRefused(f"{name} was {given}, allowed: a whole number")
            value = int(exact)
        RiskLimits.parse({**_WIDE, name: value})
    except InvalidOperation:
        raise CeilingRefused(f"{name} was {given!r}, allowed: a number") from None
    except LimitsError as error:
        raise CeilingRefused(str(error)) from error
    return value


def _document(stored: Standing, rows: Sequence[Change], now: datetime) -> dict[str, Any]:
    """Return the section as it is to be stored: what holds from now on, and what will."""
    holds = dict(stored.overrides)
    later = dict(stored.overrides if stored.raised is None else stored.raised)
    for row in rows:
        for kept in (later,) if row.raises else (holds, later):
            kept.pop(row.name, None)
            if row.after is not None and row.after != row.filed:
                kept[row.name] = row.after
    at = now + DELAY if any(row.raises for row in rows) else stored.raises_at
    document: dict[str, Any] = {"ceilings": _written(holds), "raise": None}
    if later != holds and at is not None:
        document["raise"] = {"ceilings": _written(later), "at": at.isoformat()}
    return document


def _checked_token(token: str, actor: str, run: TradingRun) -> dict[str, Any]:
    try:
        signed: dict[str, Any] = signing.loads(token, salt=_SALT, max_age=GOOD_FOR_S)
    except signing.SignatureExpired:
        raise PreviewStale(f"the preview was older than {GOOD_FOR_S} s, look again") from None
    except signing.BadSignature:
        raise PreviewStale("the token was none of a preview, ask for one first") from None
    if (signed["actor"], signed["run"]) != (actor, str(run.code)):
        raise PreviewStale("the preview was of another run or another person")
    return signed


def _written(overrides: Overrides) -> dict[str, str]:
    return {name: str(_text(value)) for name, value in sorted(overrides.items())}


def _text(value: Value | None) -> str | None:
    return None if value is None else plain(Decimal(value))
