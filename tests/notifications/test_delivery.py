"""From a rule that holds to a message on somebody's phone, through the platform's own parts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from apprise.plugins.discord import NotifyDiscord
from django.utils import timezone

from accounts.models import AuditEvent
from monitoring.models import Alert
from monitoring.services import alert_acknowledge
from notifications.core.config import ChannelSettings, Notifications
from notifications.models import Message
from notifications.notifier import Notifier
from notifications.services import channels_sync
from notifications.transports import transports
from resources.core.config import OptimizerConfig
from resources.core.windows import RollingRounds
from resources.optimizer import Optimizer
from tests.notifications.fake_services import FakeService, fake_service
from tests.resources.fakes import FakeWorkers, add_rounds
from tradeplatform.resource_levers import PlatformLevers

pytestmark = pytest.mark.django_db
DISCORD = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
BUSY, CALM = {"host.cpu": 0.95}, {"host.cpu": 0.30}


class Person:
    """Somebody with one channel of their own, and the platform beside it on one virtual clock."""

    def __init__(self, folder: Path) -> None:
        self.now: datetime = timezone.now()
        self._rounds = RollingRounds(1_000)
        # without an action that could help, a rule that holds is a person's from the first round
        self._optimizer = Optimizer(
            levers=PlatformLevers(),
            rounds=self._rounds,
            var_dir=folder,
            workers=FakeWorkers(),
            actions={},
        )
        rules = Notifications(
            channels={"phone": ChannelSettings(url_env="NOTIFY_PHONE")},
            kinds={"daily_summary": False},
            dedupe_minutes=0,
        )
        usable, found = transports(rules, environment={"NOTIFY_PHONE": DISCORD})
        channels_sync(found, now=self.now)
        self._notifier = Notifier(rules, usable)
        self._notifier.look(self.now)

    def pass_time(self, values: dict[str, float], **time: float) -> int:
        """Let the host be like that for a while; return how many messages left at its end."""
        self.now += timedelta(**time)
        add_rounds(self._rounds, values, until=self.now, n=12)
        self._optimizer.round(self.now, OptimizerConfig())
        return self._notifier.look(self.now)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeService]:
    with fake_service(status=500) as found:
        monkeypatch.setattr(NotifyDiscord, "notify_url", f"{found.url}/api/webhooks")
        yield found


def test_a_rule_that_holds_is_one_message_however_often_it_holds_and_whatever_fails_on_the_way(
    tmp_path: Path, service: FakeService
) -> None:
    """ORC-78: severity, dedupe, delivery over the wire with a service that fails first,
    acknowledgement, and word when it is over."""
    person = Person(tmp_path)
    assert person.pass_time(CALM, minutes=1) == 0
    assert person.pass_time(BUSY, minutes=1) == 0, "the service fails"
    assert len(service.posts) == 1
    alert = Alert.objects.get()
    assert (alert.code, alert.severity, alert.count) == ("RESOURCES", "warning", 1)

    service.status, service.posts = 204, []
    assert person.pass_time(BUSY, minutes=10) == 1, "kept, and tried again"
    ((path, body),) = service.posts
    assert path.startswith("/api/webhooks/4174216298/")
    assert "[warning] Alert RESOURCES" in str(body)
    assert "the processors are busy: host.cpu was 0.95" in str(body)

    alert_acknowledge(alert_id=alert.pk, actor="ada", reason="a backup runs", at=person.now)
    for _ in range(5):
        assert person.pass_time(BUSY, minutes=10) == 0
    assert Alert.objects.count() == 1
    assert AuditEvent.objects.get(action="alert.acknowledge").actor == "ada"

    assert person.pass_time(CALM, minutes=10) == 1
    assert len(service.posts) == 2 and "Over: RESOURCES" in str(service.posts[1])
    assert Message.objects.count() == 2
    alert.refresh_from_db()
    assert alert.resolved_at is not None and alert.acknowledged_by == "ada"
