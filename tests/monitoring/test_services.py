from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.versioned_settings import settings_change
from monitoring import services
from monitoring.models import Alert, Heartbeat, Incident
from tests.monitoring.factories import START
from trades.errors import ControlRefused
from trades.models import ControlEvent, ControlState

pytestmark = pytest.mark.django_db


class Loudspeaker:
    """A publisher that remembers."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict]] = []

    def publish(self, topic, data) -> None:
        self.said.append((topic, dict(data)))


def raise_alert(**fields):
    values = {
        "code": "FEED_STALE",
        "severity": "warning",
        "text": "no bar for 130 s, 120 s allowed",
        "dedupe_key": "feed:BTC/USDT",
        "at": START,
        "publisher": Loudspeaker(),
    }
    return services.alert_raise(**{**values, **fields})


def test_a_repeated_alert_counts_up_and_keeps_its_first_time():
    """ORC-78: one open alert a key; the newest text stands."""
    raise_alert()
    raise_alert(text="no bar for 190 s, 120 s allowed", at=START + timedelta(minutes=1))
    alert = Alert.objects.get()
    assert (alert.count, alert.first_at) == (2, START)
    assert alert.last_at == START + timedelta(minutes=1)
    assert alert.text.startswith("no bar for 190 s")


def test_a_repeat_never_lowers_the_severity():
    """ORC-78"""
    raise_alert(severity="critical")
    assert raise_alert(severity="info").severity == "critical"


def test_a_resolved_alert_stays_and_the_next_one_is_new():
    """ORC-78"""
    raise_alert()
    assert services.alert_resolve(dedupe_key="feed:BTC/USDT", publisher=Loudspeaker())
    assert not services.alert_resolve(dedupe_key="feed:BTC/USDT", publisher=Loudspeaker())
    assert raise_alert().count == 1
    assert Alert.objects.count() == 2


def test_an_unknown_severity_is_refused_with_what_is_allowed():
    with pytest.raises(ValueError, match="severity was 'loud', allowed: info, warning, critical"):
        raise_alert(severity="loud")


def test_screens_hear_of_an_alert_only_when_it_is_committed(django_capture_on_commit_callbacks):
    """CTL-21: at once, but never of something that was rolled back."""
    speaker = Loudspeaker()
    with django_capture_on_commit_callbacks(execute=True):
        raise_alert(publisher=speaker)
        assert speaker.said == []
    ((topic, data),) = speaker.said
    assert (topic, data["severity"], data["count"]) == ("alerts", "warning", 1)


def test_acknowledging_is_audited_once_and_keeps_the_first_name():
    """SEC-33, ORC-78"""
    alert = raise_alert()
    services.alert_acknowledge(alert_id=alert.pk, actor="olga")
    services.alert_acknowledge(alert_id=alert.pk, actor="boris")
    assert Alert.objects.get().acknowledged_by == "olga"
    assert list(AuditEvent.objects.values_list("action", "actor")) == [
        ("alert.acknowledge", "olga")
    ]


@pytest.mark.parametrize(
    "code", ["AUTH", "REJECTIONS", "LATE_FILL", "FILLS_UNAVAILABLE", "EXTERNAL_FILL"]
)
def test_acknowledging_what_happened_once_closes_it(code):
    """ORC-78: seen means done; the same again is a new alert."""
    alert = raise_alert(code=code)
    services.alert_acknowledge(alert_id=alert.pk, actor="olga")
    alert.refresh_from_db()
    assert alert.resolved_at == alert.acknowledged_at is not None
    assert raise_alert(code=code).pk != alert.pk


def test_acknowledging_a_state_that_lasts_leaves_it_open():
    """ORC-78: a feed that is stale stays stale when somebody looks at it."""
    alert = raise_alert()
    services.alert_acknowledge(alert_id=alert.pk, actor="olga")
    alert.refresh_from_db()
    assert alert.resolved_at is None


def test_failures_that_differ_only_in_numbers_are_one_incident():
    first = services.incident_record(where="phase 3", error=ValueError("depth was 3, 5 needed"))
    again = services.incident_record(where="phase 3", error=ValueError("depth was 4, 5 needed"))
    other = services.incident_record(where="phase 4", error=ValueError("depth was 4, 5 needed"))
    assert first.pk == again.pk != other.pk
    assert (again.count, again.message) == (2, "depth was 4, 5 needed")
    assert Incident.objects.count() == 2


def test_a_heartbeat_is_one_row_a_component():
    """F-025"""
    for i in range(3):
        services.heartbeat(
            component="beat", expected_every_s=10, detail={"i": i}, at=START + timedelta(seconds=i)
        )
    beat = Heartbeat.objects.get()
    assert (beat.detail, beat.at) == ({"i": 2}, START + timedelta(seconds=2))


def test_pressing_halt_twice_has_one_effect():
    """F-102"""
    press = {"scope": "global", "state": "HALTED", "actor": "olga", "reason": "odd prices"}
    assert services.control_change(**press, publisher=Loudspeaker())
    assert not services.control_change(**press, publisher=Loudspeaker())
    assert ControlState.objects.get().epoch == 1
    assert ControlEvent.objects.count() == 1


def test_resuming_what_was_never_stopped_changes_nothing():
    assert not services.control_change(
        scope="global", state="ACTIVE", actor="olga", reason="just in case"
    )
    assert not ControlState.objects.exists()


def test_a_control_change_without_a_reason_is_refused():
    """CTL-13"""
    with pytest.raises(ControlRefused, match="reason was empty"):
        services.control_change(scope="global", state="HALTED", actor="olga", reason="  ")


def test_screens_hear_of_a_control_change(django_capture_on_commit_callbacks):
    speaker = Loudspeaker()
    with django_capture_on_commit_callbacks(execute=True):
        services.control_change(
            scope="global", state="HALTED", actor="olga", reason="odd", publisher=speaker
        )
    assert [(t, d["state"], d["epoch"]) for t, d in speaker.said] == [("control", "HALTED", 1)]
    assert ControlState.objects.get().changed_at <= timezone.now()


def test_screens_hear_when_the_layer_is_switched(monkeypatch, django_capture_on_commit_callbacks):
    """In another tab the strip reads itself anew on this frame, not a dozen seconds later."""
    speaker = Loudspeaker()
    monkeypatch.setattr(services.StreamPublisher, "from_settings", lambda: speaker)
    for is_on in (True, False):
        with django_capture_on_commit_callbacks(execute=True):
            settings_change(
                section="optimization",
                values={"enabled": is_on},
                actor="olga",
                reason="to see it",
                source="page",
            )
    assert speaker.said == [
        ("control", {"scope": "settings:optimization", "state": state}) for state in ("on", "off")
    ]
