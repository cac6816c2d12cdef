"""What the optimizer's room cannot reach itself: the supervisor, alerts and the screens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from engine.types.decisions import JsonValue
from monitoring.models import Incident
from monitoring.publish import StreamPublisher
from monitoring.services import alert_raise, alert_resolve, heartbeat, incident_record
from tradeplatform.watchdog import RESTARTABLE, end_child

_RECENT = timedelta(hours=1)


class PlatformLevers:
    """Implements ``resources.levers.Levers``; the settings name this class."""

    def __init__(self) -> None:
        self._publisher = StreamPublisher.from_settings()

    def restart(self, worker: str) -> Sequence[int]:
        if worker not in RESTARTABLE:
            return ()
        return end_child(settings.VAR_DIR / "run", worker)

    def alert(self, *, code: str, severity: str, text: str, key: str) -> None:
        alert_raise(code=code, severity=severity, text=text, dedupe_key=key)

    def resolve(self, key: str) -> None:
        alert_resolve(dedupe_key=key)

    def incident(self, where: str, error: BaseException) -> None:
        incident_record(where=where, error=error)

    def heartbeat(self, component: str, expected_every_s: float) -> None:
        heartbeat(
            component=component,
            expected_every_s=expected_every_s,
            code_version=settings.CODE_VERSION,
        )

    def publish(self, data: Mapping[str, JsonValue]) -> None:
        self._publisher.publish("resources", data)

    def repeats(self) -> Mapping[str, tuple[str, int]]:
        rows = Incident.objects.filter(last_at__gte=timezone.now() - _RECENT)
        return {row.signature: (row.where, row.count) for row in rows}
