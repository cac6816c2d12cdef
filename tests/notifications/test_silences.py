"""What a silence keeps from the channels, and what it never does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from monitoring.models import AlertSilence
from monitoring.services import alert_raise, alert_resolve
from monitoring.silences import alert_silence
from notifications.models import FollowedAlert, Message, MessageState
from tests.notifications.scene import Scene

pytestmark = pytest.mark.django_db


def raised(severity: str = "warning", key: str = "venue"):
    return alert_raise(code="VENUE_UNAVAILABLE", severity=severity, text="gone", dedupe_key=key)


@pytest.fixture
def scene() -> Scene:
    """A notifier that listens, and a silence of the code made over an older alert."""
    found = Scene()
    found.look()
    old = raised(key="old")
    alert_silence(alert_id=old.pk, minutes=60, whole_code=True, reason="repairs", actor="olga")
    return found


def run_out() -> None:
    at = timezone.now() - timedelta(seconds=1)
    AlertSilence.objects.update(created_at=at - timedelta(hours=1), expires_at=at)


def test_a_silenced_alert_is_kept_with_the_reason_and_a_critical_one_is_told(scene):
    """ORC-78: dedupe, silence and severity together."""
    raised()
    scene.look()
    assert scene.phone.subjects == []
    kept = set(Message.objects.values_list("state", flat=True))
    assert kept == {MessageState.SUPPRESSED}
    assert all("by olga: repairs" in why for why in Message.objects.values_list("why", flat=True))
    raised("critical", key="worse")
    scene.look()
    assert scene.phone.subjects == ["[CRITICAL] Alert VENUE_UNAVAILABLE"]


def test_an_alert_that_becomes_critical_under_a_silence_is_told(scene):
    raised()
    scene.look()
    raised("critical")
    scene.look()
    assert scene.phone.subjects == ["[CRITICAL] Alert VENUE_UNAVAILABLE"]


def test_what_still_stands_when_the_silence_ends_is_told_once(scene):
    alert_resolve(dedupe_key="old")
    raised()
    scene.look()
    run_out()
    for _ in range(3):
        scene.look()
    assert scene.phone.subjects == ["[warning] Alert VENUE_UNAVAILABLE"]


def test_the_end_of_what_nobody_heard_of_is_not_told_either(scene):
    raised()
    scene.look()
    run_out()
    for key in ("venue", "old"):
        alert_resolve(dedupe_key=key)
    scene.look()
    assert scene.phone.subjects == []
    assert not FollowedAlert.objects.exists()
