"""Silences: what somebody knows of already is not told for a while, unless it is critical or tells
of money without protection."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.services import audit_record
from monitoring.errors import SilenceRefused
from monitoring.models import Alert, AlertSilence, Severity
from trades.alerts import WITHOUT_PROTECTION

SHORTEST, LONGEST = timedelta(minutes=5), timedelta(days=7)


def silences_holding(at: datetime) -> list[AlertSilence]:
    """Return the silences that hold at a moment, newest first."""
    return list(AlertSilence.objects.filter(_holds(at)))


def silence_list() -> QuerySet[AlertSilence]:
    return AlertSilence.objects.all()


def silence_of(alert: Alert, silences: Iterable[AlertSilence]) -> AlertSilence | None:
    """Return what silences an alert; None for a critical one and for one of a code that is never
    silenced, whatever anybody asked for."""
    if alert.severity == Severity.CRITICAL or not may_silence(alert):
        return None
    return silence_made(alert, silences)


def silence_made(alert: Alert, silences: Iterable[AlertSilence]) -> AlertSilence | None:
    """Return the silence somebody made that an alert falls under, told in spite of it or not."""
    for silence in silences:
        if silence.code == alert.code and silence.dedupe_key in ("", alert.dedupe_key):
            return silence
    return None


def may_silence(alert: Alert) -> bool:
    """Return whether an alert's code may be silenced: the next position without its stop would be
    kept back as well, be it by that position's own silence from before."""
    return alert.code not in WITHOUT_PROTECTION


def silence_words(silence: AlertSilence) -> str:
    """Return in words why something was not told."""
    until = f"{silence.expires_at:%Y-%m-%d %H:%M} UTC"
    return f"silenced until {until} by {silence.created_by}: {silence.reason}"


def alert_silence(
    *,
    alert_id: int,
    minutes: int,
    reason: str,
    actor: str,
    whole_code: bool = False,
    at: datetime | None = None,
) -> AlertSilence:
    """Silence one alert, or every alert of its code, for so many minutes; audited.

    An alert that is critical may be named: what its silence covers is the milder ones. It stays
    shown and told itself.

    Raises:
        SilenceRefused: no reason, a span outside of five minutes to seven days, or a code that is
            never silenced.
        Alert.DoesNotExist: no such alert.
    """
    at, reason = at or timezone.now(), reason.strip()
    span = timedelta(minutes=minutes)
    if not reason:
        raise SilenceRefused("the reason was empty, a silence needs one")
    if len(reason) > 500:
        raise SilenceRefused(f"the reason had {len(reason)} characters, allowed: at most 500")
    if not SHORTEST <= span <= LONGEST:
        raise SilenceRefused(f"a silence was {minutes} minutes, allowed: 5 to 10080")
    with transaction.atomic():
        alert = Alert.objects.get(pk=alert_id)
        if not may_silence(alert):
            raise SilenceRefused(
                f"the code was {alert.code}, allowed: any that does not tell of money without"
                " protection, as this one does"
            )
        silence = AlertSilence.objects.create(
            code=alert.code,
            dedupe_key="" if whole_code else alert.dedupe_key,
            reason=reason,
            created_by=actor,
            created_at=at,
            expires_at=at + span,
        )
        audit_record(
            actor=actor,
            action="alert.silence",
            object_type="alert_silence",
            object_id=str(silence.pk),
            reason=reason,
            after={
                "code": silence.code,
                "dedupe_key": silence.dedupe_key,
                "expires_at": silence.expires_at,
            },
            at=at,
        )
    return silence


def silence_end(*, silence_id: int, actor: str, reason: str, at: datetime | None = None) -> bool:
    """End a silence before its time; False where it had ended already. Audited.

    Raises:
        SilenceRefused: no reason.
    """
    at = at or timezone.now()
    if not reason.strip():
        raise SilenceRefused("the reason was empty, ending a silence needs one")
    with transaction.atomic():
        changed = AlertSilence.objects.filter(_holds(at), pk=silence_id).update(
            ended_at=at, ended_by=actor
        )
        if changed:
            audit_record(
                actor=actor,
                action="alert.silence_end",
                object_type="alert_silence",
                object_id=str(silence_id),
                reason=reason.strip(),
                at=at,
            )
    return bool(changed)


def _holds(at: datetime) -> Q:
    return Q(created_at__lte=at, expires_at__gt=at, ended_at__isnull=True)
