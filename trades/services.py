"""Writes of this room that people and breakers ask for: the kill switch and runs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.services import audit_record
from engine.ports import TradingState
from market.models import Instrument
from strategies.models import Strategy
from trades.errors import ControlRefused, LooseningRefused
from trades.models import ControlEvent, ControlState, TradingRun

GLOBAL_SCOPE = "global"
RELEASED = "released"


def control_set(
    *,
    scope: str,
    state: TradingState | str,
    actor: str,
    reason: str,
    reason_code: str = "manual",
    releases_at: datetime | None = None,
    is_breaker: bool = False,
    may_loosen: bool = True,
    at: datetime | None = None,
) -> ControlState:
    """Set the trading state of one scope; latched in the database until somebody changes it.

    A breaker may only raise the severity; a person may do both. Works with the broker down,
    because workers read this row before each send (F-103).

    Args:
        scope: ``global``, ``strategy:CODE`` or ``symbol:SYMBOL``.
        releases_at: venue time at which the state falls back to ACTIVE by itself.
        may_loosen: whether the caller may choose a milder state than the present one.

    Raises:
        LooseningRefused: a milder state, and ``may_loosen`` is False.
        ControlRefused: unknown scope or state, or an empty reason.
    """
    target = _checked(scope, state, reason)
    with transaction.atomic():
        row, _ = ControlState.objects.select_for_update().get_or_create(
            scope=scope, defaults={"actor": actor, "changed_at": timezone.now()}
        )
        before = TradingState(row.state)
        if is_breaker and target.severity <= before.severity:
            return row
        if not may_loosen and target.severity < before.severity:
            raise LooseningRefused(f"{scope} was {before}, {target} would loosen it")
        row.state, row.epoch = target.value, row.epoch + 1
        row.reason_code, row.reason, row.actor = reason_code, reason, actor
        row.changed_at, row.releases_at = at or timezone.now(), releases_at
        row.full_clean()
        row.save()
        _record_change(row, before, actor, reason)
    return row


def control_release_due(now: datetime) -> int:
    """End states whose time has come (day-loss stops at the next UTC day); returns how many."""
    due = ControlState.objects.filter(releases_at__lte=now).exclude(state=TradingState.ACTIVE)
    released = 0
    for row in due:
        control_set(
            scope=row.scope,
            state=TradingState.ACTIVE,
            actor="breaker",
            reason=f"{row.reason_code} ended at {now:%Y-%m-%d %H:%M} UTC as announced",
            reason_code=RELEASED,
            at=now,
        )
        released += 1
    return released


def run_start(
    *,
    mode: str,
    venue: str,
    account: str,
    symbols: list[str],
    timeframe_ms: int,
    quote: str,
    starting_cash_quote: Decimal,
    config: dict[str, Any],
    config_digest: str,
    code_version: str,
    actor: str,
    opening_balances: Mapping[str, Decimal] = MappingProxyType({}),
) -> TradingRun:
    """Open a run, ending an open one of the same venue and account first.

    ``opening_balances`` is what the account holds of each asset now: what was there before the
    run is no difference between its books and the venue (I-5).
    """
    with transaction.atomic():
        now = timezone.now()
        TradingRun.objects.filter(venue=venue, account=account, ended_at__isnull=True).update(
            ended_at=now
        )
        run = TradingRun.objects.create(
            code=uuid.uuid4(),
            mode=mode,
            venue=venue,
            account=account,
            symbols=symbols,
            timeframe_ms=timeframe_ms,
            quote=quote,
            starting_cash_quote=starting_cash_quote,
            opening_balances={a: str(held) for a, held in sorted(opening_balances.items())},
            config=config,
            config_digest=config_digest,
            code_version=code_version,
            started_at=now,
        )
        audit_record(
            actor=actor,
            action="run.start",
            object_type="run",
            object_id=str(run.code),
            after={"mode": mode, "venue": venue, "config_digest": config_digest},
        )
    return run


def run_end(*, run: TradingRun, actor: str, reason: str) -> None:
    """Close a run; its positions stay as they are."""
    with transaction.atomic():
        changed = TradingRun.objects.filter(pk=run.pk, ended_at__isnull=True).update(
            ended_at=timezone.now()
        )
        if changed:
            audit_record(
                actor=actor,
                action="run.end",
                object_type="run",
                object_id=str(run.code),
                reason=reason,
            )


def _checked(scope: str, state: TradingState | str, reason: str) -> TradingState:
    kind, _, name = scope.partition(":")
    if scope != GLOBAL_SCOPE and not (kind in ("strategy", "symbol") and name):
        raise ControlRefused(
            f"scope was {scope!r}, allowed: global, strategy:CODE or symbol:SYMBOL"
        )
    if not reason.strip():
        raise ControlRefused("reason was empty, a change of the control state needs one")
    known = _known_scopes(kind)
    if scope != GLOBAL_SCOPE and name not in known:
        raise ControlRefused(
            f"scope was {scope!r}, allowed: global, or {kind}: with one of {', '.join(known)}"
        )
    try:
        return TradingState(state)
    except ValueError:
        allowed = ", ".join(TradingState)
        raise ControlRefused(f"state was {state!r}, allowed: {allowed}") from None


def _known_scopes(kind: str) -> list[str]:
    """Return the strategies or symbols there are: a switch on a misspelt name switches nothing."""
    if kind == "strategy":
        return sorted(Strategy.objects.values_list("code", flat=True))
    if kind == "symbol":
        runs = TradingRun.objects.filter(ended_at__isnull=True).values_list("symbols", flat=True)
        listed = Instrument.objects.values_list("symbol", flat=True)
        return sorted({*listed, *(symbol for symbols in runs for symbol in symbols)})
    return []


def _record_change(row: ControlState, before: TradingState, actor: str, reason: str) -> None:
    ControlEvent.objects.create(
        scope=row.scope,
        from_state=before.value,
        to_state=row.state,
        epoch=row.epoch,
        reason_code=row.reason_code,
        reason=reason,
        actor=actor,
        at=row.changed_at,
    )
    audit_record(
        actor=actor,
        action="control.set",
        object_type="control",
        object_id=row.scope,
        reason=reason,
        before={"state": before.value},
        after={"state": row.state, "epoch": row.epoch},
    )
