"""Writes of this room that people and breakers ask for: the kill switch and runs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.services import audit_record
from engine.ports import TradingState
from engine.seats import Seated
from engine.types.decisions import EvolutionTrigger
from market.models import Instrument
from strategies.models import Strategy, TrainingJob
from strategies.training import MANUAL, check_trainable, training_request
from trades.errors import ControlRefused, EvolutionRefused, LooseningRefused
from trades.models import ControlEvent, ControlState, EvolutionEvent, Mode, TradingRun
from trades.queues import is_apart
from trades.scopes import GLOBAL_SCOPE as GLOBAL_SCOPE  # named beside what sets it
from trades.scopes import overlap, split

RELEASED = "released"
# Halts that only reduce what is being flattened: they would keep it from getting out.
_AFTER_A_FLATTEN = frozenset({"MAX_DRAWDOWN", "REJECTIONS_HALT"})


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

    A breaker may only raise the severity; a person may do both. A loss or a row of refusals that
    halts only reduces while what it would halt is being flattened; once that is over the next bar,
    or the next refusal, asks again.
    Works with the broker down, because workers read this row before each send (F-103).

    Args:
        scope: as in ``trades.scopes``.
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
        if is_breaker and _is_leaving(scope, reason_code):
            target = min(target, TradingState.REDUCING, key=lambda one: one.severity)
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


def control_release_due(now: datetime, run: TradingRun) -> int:
    """End states whose time has come (day-loss stops at the next UTC day); returns how many.

    ``now`` is the time of the run's venue, so it ends what this run's account announced and no
    other's: a practice clock may be years ahead. Unconfined ones are those of ``main``.
    """
    due = ControlState.objects.filter(releases_at__lte=now).exclude(state=TradingState.ACTIVE)
    whose = (run.account,) if is_apart(run.config) else ("", run.account)
    released = 0
    for row in due:
        if split(row.scope)[0] not in whose:
            continue
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
    balances_at: datetime | None = None,
) -> TradingRun:
    """Open a run, ending an open one of the same venue and account first.

    ``opening_balances`` is what the account holds of each asset now: what was there before the
    run is no difference between its books and the venue (I-5). ``balances_at`` is when that was
    read, by the venue's clock.
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
            balances_at=balances_at,
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


def seats_taken(
    *, run: TradingRun, before: Mapping[str, str], after: Sequence[Seated], at: datetime
) -> list[EvolutionEvent]:
    """Say in the run's journal which models sit from the first event after ``at`` on.

    ``before`` is the version of each name that sat until now.
    """
    rows = [
        EvolutionEvent(
            run=run,
            source=seated.name[:40],
            kind="seated",
            text=f"{seated.seat.value} is {seated.version or 'untrained'}, "
            f"was {before.get(seated.name, 'nobody') or 'untrained'}",
            value=0.0,
            limit=0.0,
            at=at,
        )
        for seated in after
        if before.get(seated.name) != seated.version
    ]
    with transaction.atomic():
        return EvolutionEvent.objects.bulk_create(rows)


def predictor_parameters(run: TradingRun, code: str) -> dict[str, float]:
    """Return a predictor's own parameters in a run's configuration; empty where none are set."""
    predictors = run.config.get("predictors", {})
    return dict(predictors.get(code, {}).get("parameters", {}))


def predictor_evolve(*, code: str, actor: str, reason: str) -> list[TrainingJob]:
    """Ask by hand for a new model of one predictor, for every open run; return the jobs made.

    Raises:
        PredictorUnknown: there is no such predictor.
        StrategyRefused: it learns as it goes, or no reason was given.
        EvolutionRefused: no run is open, or each of them has a training of it already.
    """
    check_trainable(code)
    if not reason.strip():
        raise EvolutionRefused("reason was empty, to train a model by hand needs one")
    jobs: list[TrainingJob] = []
    with transaction.atomic():
        runs = list(TradingRun.objects.filter(ended_at__isnull=True, last_event_at__isnull=False))
        for run in runs:
            at = run.last_event_at or run.started_at
            at_ms = round(at.timestamp() * 1000)
            trigger = EvolutionTrigger(code, MANUAL, reason.strip(), 0.0, 0.0, at_ms)
            job = training_request(
                trigger=trigger,
                run_code=run.code,
                venue=run.venue,
                symbols=run.symbols,
                timeframe_ms=run.timeframe_ms,
                horizon_bars=int(run.config.get("trading", {}).get("horizon_bars", 12)),
                actor=actor,
                parameters=predictor_parameters(run, code),
            )
            if job is None:
                continue
            jobs.append(job)
            EvolutionEvent.objects.create(
                run=run, source=code, kind=MANUAL, text=trigger.text, value=0.0, limit=0.0, at=at
            )
        if not jobs:
            raise EvolutionRefused(
                f"no training of {code} was asked for: open runs with bars were {len(runs)}, "
                "or each has one that waits, runs, or was made at this very bar"
            )
    return jobs


def check_scope(scope: str) -> None:
    """Refuse a scope that switches nothing.

    Raises:
        ControlRefused: it is none, or names a strategy, symbol or account that there is not.
    """
    account, inner = split(scope)
    if account or scope.startswith("account:"):
        _check_known(scope, "account", account)
    kind, _, name = inner.partition(":")
    if inner == GLOBAL_SCOPE:
        return
    if not (kind in ("strategy", "symbol") and name):
        raise ControlRefused(
            f"scope was {scope!r}, allowed: global, strategy:CODE, symbol:SYMBOL or account:NAME"
        )
    _check_known(scope, kind, name)


def _check_known(scope: str, kind: str, name: str) -> None:
    known = _known_scopes(kind)
    if name not in known:
        raise ControlRefused(
            f"scope was {scope!r}, allowed: global, or {kind}: with one of {', '.join(known)}"
        )


def _checked(scope: str, state: TradingState | str, reason: str) -> TradingState:
    if not reason.strip():
        raise ControlRefused("reason was empty, a change of the control state needs one")
    check_scope(scope)
    try:
        return TradingState(state)
    except ValueError:
        allowed = ", ".join(TradingState)
        raise ControlRefused(f"state was {state!r}, allowed: {allowed}") from None


def _is_leaving(scope: str, reason_code: str) -> bool:
    """A loss that halts would keep a flatten from getting out, which ends in a halt (D-28): the
    flatten of this scope, of what stands over it, or of a part of it.

    So would its own refused exits, of which several positions have ten within seconds, right after
    the stops went: a flatten asks on after pauses that grow, and ends by itself.
    """
    if reason_code not in _AFTER_A_FLATTEN:
        return False
    flattening = ControlState.objects.filter(
        reason_code="FLATTENING", state=TradingState.REDUCING
    ).values_list("scope", flat=True)
    return any(overlap(scope, leaving) for leaving in flattening)


def _known_scopes(kind: str) -> list[str]:
    """Return the strategies, symbols or accounts there are: a switch on a misspelt name switches
    nothing."""
    if kind == "strategy":
        return sorted(Strategy.objects.values_list("code", flat=True))
    if kind == "symbol":
        runs = TradingRun.objects.filter(ended_at__isnull=True).values_list("symbols", flat=True)
        listed = Instrument.objects.values_list("symbol", flat=True)
        return sorted({*listed, *(symbol for symbols in runs for symbol in symbols)})
    accounts = TradingRun.objects.filter(ended_at__isnull=True).exclude(mode=Mode.REPLAY)
    # what was stopped and is gone since may be resumed all the same
    stopped = ControlState.objects.filter(scope__startswith="account:")
    gone = (split(scope)[0] for scope in stopped.values_list("scope", flat=True))
    return sorted({*accounts.values_list("account", flat=True), *gone})


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
