"""Writes of this room: strategy rows and their status, each change with its cause."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.services import audit_record
from strategies.errors import StrategyRefused, StrategyUnknown
from strategies.models import HealthChange, Status, Strategy, WeightUpdate

_ACTIVE, _DEGRADED, _SUSPENDED, _RETIRED = (
    Status.ACTIVE,
    Status.DEGRADED,
    Status.SUSPENDED,
    Status.RETIRED,
)
# From RETIRED only a person leads back, through reinstate (D-06).
ALLOWED: dict[Status, frozenset[Status]] = {
    _ACTIVE: frozenset({_DEGRADED, _SUSPENDED, _RETIRED}),
    _DEGRADED: frozenset({_ACTIVE, _SUSPENDED, _RETIRED}),
    _SUSPENDED: frozenset({_DEGRADED, _RETIRED}),
    _RETIRED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class StrategyDefinition:
    """What the registry says of one strategy; ``base_weight`` is in [0.1, 2]."""

    code: str
    name: str
    description: str = ""
    base_weight: float = 1.0
    parameters: Mapping[str, Any] = field(default_factory=dict)


def strategies_ensure(rows: Iterable[StrategyDefinition]) -> list[str]:
    """Make the strategies that have no row yet; return their codes.

    Rows that exist keep what people and the layer changed since: status and weights.
    """
    now, made = timezone.now(), []
    for row in rows:
        with transaction.atomic():
            strategy, is_new = Strategy.objects.get_or_create(
                code=row.code,
                defaults={
                    "name": row.name,
                    "description": row.description,
                    "base_weight": row.base_weight,
                    "weight": row.base_weight,
                    "parameters": dict(row.parameters),
                    "status_changed_at": now,
                    "created_at": now,
                },
            )
            if is_new:
                made.append(strategy.code)
                audit_record(
                    actor="system",
                    action="strategy.create",
                    object_type="strategy",
                    object_id=strategy.code,
                    after={"base_weight": row.base_weight, "parameters": dict(row.parameters)},
                )
    return made


def strategy_set_status(
    *,
    code: str,
    to_status: str,
    actor: str,
    reason: str,
    metrics: Mapping[str, Any] | None = None,
    override_until: datetime | None = None,
) -> HealthChange:
    """Move a strategy along one allowed edge; the change and its audit commit together.

    ``metrics`` is the evidence as JSON. ``override_until`` is venue time up to which a person's
    decision holds against the evidence (D-46); without one an earlier override ends.

    Raises:
        StrategyUnknown: there is no such strategy.
        StrategyRefused: no reason, an edge that is not allowed, or somebody else was faster.
    """
    return _move(
        code, _status(to_status), actor, reason, metrics or {}, override_until, allowed=ALLOWED
    )


def strategy_suspend(*, code: str, actor: str, reason: str) -> HealthChange:
    """Stop entries of a strategy; its exits go on."""
    return strategy_set_status(code=code, to_status=_SUSPENDED, actor=actor, reason=reason)


def strategy_unsuspend(
    *, code: str, actor: str, reason: str, override_until: datetime | None = None
) -> HealthChange:
    """Let a suspended strategy trade again, degraded until the evidence says more (D-46)."""
    only_suspended = {_SUSPENDED: frozenset({_DEGRADED})}
    return _move(code, _DEGRADED, actor, reason, {}, override_until, allowed=only_suspended)


def strategy_activate(
    *, code: str, actor: str, reason: str, override_until: datetime | None = None
) -> HealthChange:
    """Give a degraded strategy its full standing back; callers see to it that a person asks.

    Without the optimization layer no evidence leads out of DEGRADED: this is the way (D-46).
    """
    only_degraded = {_DEGRADED: frozenset({_ACTIVE})}
    return _move(code, _ACTIVE, actor, reason, {}, override_until, allowed=only_degraded)


def strategy_retire(*, code: str, actor: str, reason: str) -> HealthChange:
    """End a strategy for good: only a person can bring it back."""
    return strategy_set_status(code=code, to_status=_RETIRED, actor=actor, reason=reason)


def strategy_reinstate(
    *, code: str, actor: str, reason: str, override_until: datetime | None = None
) -> HealthChange:
    """Bring a retired strategy back, degraded (D-06); callers see to it that a person asks."""
    only_retired = {_RETIRED: frozenset({_DEGRADED})}
    return _move(code, _DEGRADED, actor, reason, {}, override_until, allowed=only_retired)


def strategy_machine_edge(
    *,
    code: str,
    from_status: str,
    to_status: str,
    actor: str,
    reason: str,
    metrics: Mapping[str, Any],
    venue_now: datetime,
) -> HealthChange | None:
    """Move a strategy on evidence; None where a person's word stands against it.

    Nothing happens where the status is no longer the one that was judged, where an override holds
    at ``venue_now`` (D-46), or where the strategy is RETIRED: only a person leads out of that.

    Raises:
        StrategyUnknown: there is no such strategy.
        StrategyRefused: no reason, or an edge that nobody may take.
    """
    with transaction.atomic():
        strategy = Strategy.objects.select_for_update().filter(code=code).first()
        if strategy is None:
            raise StrategyUnknown(f"strategy was {code!r}, there is none of that code")
        until = strategy.override_until_at
        if strategy.status != from_status or strategy.status == _RETIRED:
            return None
        if until is not None and until > venue_now:
            return None
        return strategy_set_status(
            code=code, to_status=to_status, actor=actor, reason=reason, metrics=metrics
        )


def weight_change(
    *,
    code: str,
    old_weight: float,
    new_weight: float,
    period_key: str,
    actor: str,
    reason: str,
    evidence: Mapping[str, Any],
    regime: str = "",
    at: datetime | None = None,
) -> WeightUpdate | None:
    """Write one strategy's new weight with its cause; None where this period wrote it before.

    ``regime`` empty means the weight that sizes now; one of a regime is kept for its return
    (D-30). The database holds both within [0.1, 2].

    Raises:
        StrategyUnknown: there is no such strategy.
        IntegrityError: the weight was outside its bounds.
    """
    with transaction.atomic():
        strategy = Strategy.objects.select_for_update().filter(code=code).first()
        if strategy is None:
            raise StrategyUnknown(f"strategy was {code!r}, there is none of that code")
        key = {"strategy": strategy, "regime": regime, "period_key": period_key}
        if WeightUpdate.objects.filter(**key).exists():
            return None
        update = WeightUpdate.objects.create(
            **key,
            at=at or timezone.now(),
            old_weight=old_weight,
            new_weight=new_weight,
            reason=reason,
            actor=actor[:120],
            evidence=dict(evidence),
        )
        if not regime:
            Strategy.objects.filter(pk=strategy.pk).update(weight=new_weight)
        audit_record(
            actor=actor,
            action="strategy.weight",
            object_type="strategy",
            object_id=code,
            reason=reason,
            before={"weight": old_weight, "regime": regime},
            after={"weight": new_weight, "period": period_key},
        )
    return update


def _status(value: str) -> Status:
    if value not in Status.values:
        raise StrategyRefused(
            f"status was {value!r}, allowed: {', '.join(Status.values)}",
            reason_code="status_unknown",
        )
    return Status(value)


def _move(
    code: str,
    target: Status,
    actor: str,
    reason: str,
    metrics: Mapping[str, Any],
    override_until: datetime | None,
    *,
    allowed: Mapping[Status, frozenset[Status]],
) -> HealthChange:
    if not reason.strip():
        raise StrategyRefused("reason was empty, a change of status needs one")
    with transaction.atomic():
        strategy = Strategy.objects.filter(code=code).first()
        if strategy is None:
            raise StrategyUnknown(f"strategy was {code!r}, there is none of that code")
        before = Status(strategy.status)
        if target not in allowed.get(before, frozenset()):
            raise StrategyRefused(
                f"{code} may not become {target}, its status was {before}",
                reason_code="transition_not_allowed",
            )
        change = HealthChange(
            strategy=strategy,
            at=timezone.now(),
            from_status=before,
            to_status=target,
            reason=reason.strip(),
            actor=actor[:120],
            metrics=dict(metrics),
        )
        _claim(strategy, change, override_until)
        change.save(force_insert=True)
        audit_record(
            actor=actor,
            action="strategy.set_status",
            object_type="strategy",
            object_id=code,
            reason=change.reason,
            before={"status": before},
            after={"status": target, "override_until": override_until},
            at=change.at,
        )
    return change


def _claim(strategy: Strategy, change: HealthChange, override_until: datetime | None) -> None:
    # one row or nobody: a parallel change has already moved the status we looked at
    changed = Strategy.objects.filter(pk=strategy.pk, status=change.from_status).update(
        status=change.to_status,
        status_changed_at=change.at,
        status_reason=change.reason,
        override_until_at=override_until,
    )
    if changed != 1:
        raise StrategyRefused(
            f"{strategy.code} was changed by somebody else, its status was {change.from_status}",
            reason_code="changed_meanwhile",
        )
