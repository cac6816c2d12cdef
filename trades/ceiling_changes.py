"""Changing the hard ceilings, in two steps and never beyond the configuration file's.

Lowering counts from the next event. Raising again, up to the file's number, needs somebody who was
asked for the password just now, and counts after ``DELAY`` (CTL-22, SEC-45). One set of numbers
is stored for all accounts, so a change is shown and judged for each open run.
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
from trades.ceilings import SECTION, WIDE, Overrides, Standing, filed_limits, standing
from trades.errors import CeilingRaised, CeilingRefused, PreviewStale
from trades.models import Mode, TradingRun
from trades.requests import checked_reason

DELAY = timedelta(minutes=10)
GOOD_FOR_S = 120
_SALT = "trades.ceilings"


@dataclass(frozen=True, slots=True)
class Change:
    """One limit of one account in a preview, before and after; ``raises`` says that it lets more
    be risked. ``stored`` is the number that will be kept for all accounts, None where none is."""

    account: str
    name: str
    filed: Value | None
    before: Value | None
    after: Value | None
    raises: bool
    stored: Value | None


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
    stored = standing(now)
    rows = _changes(run, stored, changes)
    if not rows:
        raise CeilingRefused(
            "nothing would change, allowed: another number than the one that holds"
        )
    signed = {
        "changes": {row.name: _text(row.stored) for row in rows},
        "shown": _shown(rows),
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
    stored = standing(now)
    rows = _changes(run, stored, signed["changes"])
    if _shown(rows) != signed["shown"]:
        raise PreviewStale("the preview showed other runs or other files' numbers, look again")
    raising = dict.fromkeys(row.name for row in rows if row.raises)
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


def ceilings_keep(known: Overrides, *, actor: str, reason: str) -> None:
    """Make what is stored at least as strict as ``known``; a raise that waits is given up."""
    stored = standing(timezone.now())
    kept = dict(stored.overrides)
    for name, value in known.items():
        if is_stricter(name, value, kept.get(name)):
            kept[name] = value
    if kept or stored.version:
        settings_change(
            section=SECTION,
            values={"ceilings": _written(kept), "raise": None},
            actor=actor,
            reason=reason,
            source=SettingsSource.ADMIN,
        )


def _changes(run: TradingRun, stored: Standing, asked: Mapping[str, object]) -> list[Change]:
    """Return what changes for any open run; the file of ``run`` says what may be asked for."""
    own = filed_limits(run)
    wanted = {name: _number(name, given, own) for name, given in asked.items()}
    rows = []
    for name, number in wanted.items():
        ceiling = value_of(own, name)
        if number is not None and is_stricter(name, ceiling, number):
            raise CeilingRefused(
                f"{name} was {_text(number)}, the file's ceiling is {_text(ceiling)}: "
                "only the file can loosen it"
            )
    for one in _all_open(run):
        filed = filed_limits(one)
        holding = tightened(filed, stored.overrides)
        later = None if stored.raised is None else tightened(filed, stored.raised)
        for name, number in wanted.items():
            before, ceiling = value_of(holding, name), value_of(filed, name)
            after = number if is_stricter(name, number, ceiling) else ceiling
            is_pending = later is not None and value_of(later, name) != after
            if after != before or is_pending:
                raises = is_stricter(name, before, after)
                rows.append(Change(one.account, name, ceiling, before, after, raises, number))
    return rows


def _all_open(run: TradingRun) -> list[TradingRun]:
    others = TradingRun.objects.filter(ended_at__isnull=True).exclude(mode=Mode.REPLAY)
    return [run, *others.exclude(pk=run.pk).order_by("pk")]


def _shown(rows: Sequence[Change]) -> list[list[str | None]]:
    return [[row.account, row.name, _text(row.before), _text(row.after)] for row in rows]


def _number(name: str, given: object, filed: RiskLimits) -> Value | None:
    """Return a limit as its field has it; None asks for each file's own.

    Raises:
        CeilingRefused: there is no such limit, or the value is none.
    """
    try:
        ceiling = value_of(filed, name)
        if given is None:
            return None
        if isinstance(given, bool) or not isinstance(given, int | str | Decimal):
            raise CeilingRefused(f"{name} was {given!r}, allowed: a number")
        exact = Decimal(given)
        value: Value = exact
        if isinstance(ceiling, int):
            if not exact.is_finite() or exact != exact.to_integral_value():
                raise CeilingRefused(f"{name} was {given}, allowed: a whole number")
            value = int(exact)
        RiskLimits.parse({**WIDE, name: value})
    except InvalidOperation:
        raise CeilingRefused(f"{name} was {given!r}, allowed: a number") from None
    except LimitsError as error:
        said = f"{name} was {given}, allowed: {error.allowed}" if error.allowed else str(error)
        raise CeilingRefused(said) from error
    return value


def _document(stored: Standing, rows: Sequence[Change], now: datetime) -> dict[str, Any]:
    """Return the section as it is to be stored: what holds from now on, and what will.

    A number is kept also where it is that of a file: another account's file may allow more."""
    holds = dict(stored.overrides)
    later = dict(stored.overrides if stored.raised is None else stored.raised)
    raising = {row.name for row in rows if row.raises}
    for name, number in {row.name: row.stored for row in rows}.items():
        for kept in (later,) if name in raising else (holds, later):
            kept.pop(name, None)
            if number is not None:
                kept[name] = number
    at = now + DELAY if raising else stored.raises_at
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
