"""Writes of this room: alerts, incidents, heartbeats."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts.services import audit_record
from engine.ports import Publisher, TradingState
from engine.types.decisions import JsonValue
from monitoring.models import Alert, Heartbeat, Incident, JobRun, Severity
from monitoring.publish import StreamPublisher
from trades.models import ControlState
from trades.services import control_set

# What happened once and is over: seen means done. The others tell of a state and end with it.
EVENT_CODES = frozenset(
    {
        "AUTH",
        "EXTERNAL_FILL",
        "EXTERNAL_ORDER",
        "FILLS_UNAVAILABLE",
        "FILL_WITHDRAWN",
        "FLATTEN_LEFT_OPEN",
        "LATE_FILL",
        "ORDER_VANISHED",
        "REJECTIONS",
        "TRANSFER",
    }
)
_NUMBERS = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f-]{27}|\d+", re.IGNORECASE)


def alert_raise(
    *,
    code: str,
    severity: str,
    text: str,
    dedupe_key: str,
    run_code: str = "",
    at: datetime | None = None,
    publisher: Publisher | None = None,
) -> Alert:
    """Open an alert, or count one more on the open one with the same key (ORC-78).

    A repeat takes the newer text and never lowers the severity; the screens hear of it on commit.

    Raises:
        ValueError: the severity is not one of ``Severity``.
    """
    if severity not in Severity.values:
        raise ValueError(f"severity was {severity!r}, allowed: {', '.join(Severity.values)}")
    at = at or timezone.now()
    with transaction.atomic():
        alert = _alert_count_up(dedupe_key, severity, text, at)
        if alert is None:
            alert = _alert_open(
                code=code,
                severity=severity,
                text=text,
                dedupe_key=dedupe_key,
                run_code=run_code,
                first_at=at,
                last_at=at,
            )
        _tell_screens(alert, publisher)
    return alert


def alert_resolve(
    *, dedupe_key: str, at: datetime | None = None, publisher: Publisher | None = None
) -> bool:
    """Close the open alert of a key; False where none was open."""
    with transaction.atomic():
        alert = Alert.objects.filter(dedupe_key=dedupe_key, resolved_at__isnull=True).first()
        if alert is None:
            return False
        alert.resolved_at = at or timezone.now()
        alert.save(update_fields=["resolved_at"])
        _tell_screens(alert, publisher)
    return True


def alert_acknowledge(
    *, alert_id: int, actor: str, reason: str = "", at: datetime | None = None
) -> Alert:
    """Note that a person has seen an alert; the first acknowledgement stays (SEC-33).

    An alert that tells of something that happened, not of a state that lasts, is closed by it;
    should it happen again, a new one is opened.

    Raises:
        Alert.DoesNotExist: no such alert.
    """
    at = at or timezone.now()
    with transaction.atomic():
        is_first = Alert.objects.filter(pk=alert_id, acknowledged_at__isnull=True).update(
            acknowledged_at=at, acknowledged_by=actor
        )
        alert = Alert.objects.get(pk=alert_id)
        if is_first and alert.code in EVENT_CODES and alert.resolved_at is None:
            alert.resolved_at = at
            alert.save(update_fields=["resolved_at"])
        if is_first:
            audit_record(
                actor=actor,
                action="alert.acknowledge",
                object_type="alert",
                object_id=str(alert_id),
                reason=reason,
                after={"code": alert.code, "text": alert.text},
                at=at,
            )
            _tell_screens(alert, None)
    return alert


def control_change(
    *,
    scope: str,
    state: str,
    actor: str,
    reason: str,
    may_loosen: bool = True,
    publisher: Publisher | None = None,
) -> bool:
    """Set the trading state for a person at a screen, and tell every screen on commit.

    A second press of the same button changes nothing (F-102): False.

    Raises:
        LooseningRefused: a milder state, and ``may_loosen`` is False.
        ControlRefused: unknown scope or state, or an empty reason.
    """
    with transaction.atomic():
        row = ControlState.objects.select_for_update().filter(scope=scope).first()
        current = row.state if row else TradingState.ACTIVE.value
        if current == state and reason.strip():
            return False
        row = control_set(
            scope=scope, state=state, actor=actor, reason=reason, may_loosen=may_loosen
        )
        data: dict[str, JsonValue] = {
            "scope": row.scope,
            "state": row.state,
            "reason": row.reason,
            "actor": row.actor,
            "epoch": row.epoch,
        }
        transaction.on_commit(
            lambda: (publisher or StreamPublisher.from_settings()).publish("control", data)
        )
    return True


def settings_tell(
    *, section: str, values: Mapping[str, Any], publisher: Publisher | None = None, **_: object
) -> None:
    """Tell every screen that a section of settings was changed, so that what the strip says of
    the layer is read anew; called on commit. ``state`` is that of the section's switch, if any."""
    data: dict[str, JsonValue] = {"scope": f"settings:{section}", "state": ""}
    if isinstance(values.get("enabled"), bool):
        data["state"] = "on" if values["enabled"] else "off"
    (publisher or StreamPublisher.from_settings()).publish("control", data)


def incident_record(*, where: str, error: BaseException, at: datetime | None = None) -> Incident:
    """Count a survived failure. Failures that differ only in numbers or ids are one incident."""
    at = at or timezone.now()
    message = str(error)
    error_type = type(error).__name__
    same = f"{where}|{error_type}|{_NUMBERS.sub('#', message)}"
    signature = hashlib.sha256(same.encode()).hexdigest()
    repeat = {"message": message, "last_at": at, "count": F("count") + 1}
    with transaction.atomic():
        if not Incident.objects.filter(signature=signature).update(**repeat):
            try:
                with transaction.atomic():
                    Incident.objects.create(
                        where=where[:120],
                        error_type=error_type,
                        message=message,
                        signature=signature,
                        first_at=at,
                        last_at=at,
                    )
            except IntegrityError:
                Incident.objects.filter(signature=signature).update(**repeat)
        return Incident.objects.get(signature=signature)


def heartbeat(
    *,
    component: str,
    expected_every_s: float,
    detail: Mapping[str, JsonValue] | None = None,
    code_version: str = "",
    at: datetime | None = None,
) -> None:
    """Note that a component finished useful work. Call it at the END of the work (F-025)."""
    Heartbeat.objects.update_or_create(
        component=component,
        defaults={
            "at": at or timezone.now(),
            "expected_every_s": expected_every_s,
            "detail": dict(detail or {}),
            "code_version": code_version,
        },
    )


def heartbeat_forget(components: Iterable[str]) -> None:
    """Forget components that are gone for good: their silence is none, and no alert stays open."""
    for component in components:
        Heartbeat.objects.filter(component=component).delete()
        alert_resolve(dedupe_key=f"heartbeat:{component}")


def job_ended(*, task: str, error: str = "", code_version: str = "", at: datetime) -> None:
    """Note how a job of the schedule ended; without an error it succeeded."""
    ended = {"failed_at": at, "error": error[:300]} if error else {"succeeded_at": at}
    fields = ended | {"code_version": code_version}
    JobRun.objects.update_or_create(
        task=task, defaults=fields, create_defaults=fields | {"known_at": at}
    )


def jobs_know(*, tasks: Iterable[str], at: datetime) -> None:
    """Remember since when each job is on the schedule; one that is known stays as it is."""
    known = set(JobRun.objects.values_list("task", flat=True))
    JobRun.objects.bulk_create(
        [JobRun(task=task, known_at=at) for task in sorted(set(tasks) - known)],
        ignore_conflicts=True,
    )


def _alert_count_up(dedupe_key: str, severity: str, text: str, at: datetime) -> Alert | None:
    alert = (
        Alert.objects.select_for_update()
        .filter(dedupe_key=dedupe_key, resolved_at__isnull=True)
        .first()
    )
    if alert is None:
        return None
    order = list(Severity.values)
    Alert.objects.filter(pk=alert.pk).update(
        count=F("count") + 1,
        text=text,
        severity=max(alert.severity, severity, key=order.index),
        last_at=at,
    )
    alert.refresh_from_db()
    return alert


def _alert_open(**fields: object) -> Alert:
    try:
        with transaction.atomic():
            return Alert.objects.create(**fields)
    except IntegrityError:
        # another process opened the same alert between our look and our write
        alert = _alert_count_up(
            str(fields["dedupe_key"]),
            str(fields["severity"]),
            str(fields["text"]),
            fields["last_at"],  # type: ignore[arg-type]
        )
        if alert is None:
            raise
        return alert


def _tell_screens(alert: Alert, publisher: Publisher | None) -> None:
    data: dict[str, JsonValue] = {
        "id": alert.pk,
        "code": alert.code,
        "severity": alert.severity,
        "text": alert.text,
        "count": alert.count,
        "last_at_ms": int(alert.last_at.timestamp() * 1000),
        "is_acknowledged": alert.acknowledged_at is not None,
        "is_resolved": alert.resolved_at is not None,
    }
    transaction.on_commit(
        lambda: (publisher or StreamPublisher.from_settings()).publish("alerts", data)
    )
