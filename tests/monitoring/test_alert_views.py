"""The page Alerts and silences: who may, what holds, and what is never hidden."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent
from monitoring import alert_views
from monitoring.errors import SilenceRefused
from monitoring.models import Alert, AlertSilence
from monitoring.selectors import alerts_open
from monitoring.services import alert_raise, alert_resolve
from monitoring.silences import alert_silence, silence_end, silence_of, silences_holding
from tests.accounts.callers import by_session

pytestmark = pytest.mark.django_db


def raised(code="VENUE_UNAVAILABLE", severity="warning", key="venue", **given):
    return alert_raise(code=code, severity=severity, text="gone", dedupe_key=key, **given)


def silence(alert, **given):
    values = {"minutes": 60, "reason": "repairs", "actor": "olga"} | given
    return alert_silence(alert_id=alert.pk, **values)


def test_a_silence_hides_its_alert_until_it_ends_and_is_audited():
    """ORC-78, SEC-33"""
    alert, other = raised(), raised(key="other")
    silence(alert)
    assert [row["id"] for row in alerts_open()] == [other.pk]
    event = AuditEvent.objects.get(action="alert.silence")
    assert (event.actor, event.reason, event.after["code"]) == ("olga", "repairs", alert.code)
    AlertSilence.objects.update(
        created_at=timezone.now() - timedelta(hours=2),
        expires_at=timezone.now() - timedelta(hours=1),
    )
    assert {row["id"] for row in alerts_open()} == {alert.pk, other.pk}


def test_a_critical_alert_is_never_hidden_not_even_one_that_became_so():
    """ORC-78"""
    alert = raised()
    held = silence(alert, whole_code=True)
    assert alerts_open() == []
    raised(severity="critical")
    assert [row["severity"] for row in alerts_open()] == ["critical"]
    alert.refresh_from_db()
    assert silence_of(alert, [held]) is None


@pytest.mark.parametrize(
    "given", [{"minutes": 4}, {"minutes": 10_081}, {"minutes": -1}, {"reason": "  "}]
)
def test_a_silence_has_a_reason_and_an_end_within_a_week(given):
    with pytest.raises(SilenceRefused):
        silence(raised(), **given)
    assert not AlertSilence.objects.exists()


@pytest.mark.parametrize("code", ["UNPROTECTED", "STOP_REFUSED", "FLATTEN_LEFT_OPEN"])
@pytest.mark.parametrize("whole_code", [False, True])
def test_money_without_protection_is_never_silenced(code, whole_code):
    """ORC-78: a silence made over dust would hide the next position without its stop."""
    alert = raised(code)
    with pytest.raises(SilenceRefused, match=f"the code was {code}, .*without protection"):
        silence(alert, whole_code=whole_code)
    assert not AlertSilence.objects.exists()
    # nor does one hide it that was made before such silences were refused
    now = timezone.now()
    AlertSilence.objects.create(
        code=code, created_at=now, expires_at=now + timedelta(days=7), created_by="olga"
    )
    assert [row["id"] for row in alerts_open()] == [alert.pk]


def test_the_page_offers_no_silence_that_would_be_refused():
    operator = by_session("operator")
    raised("UNPROTECTED", key="bare")
    assert "/silence/" not in operator.get(reverse("alerts")).content.decode()
    raised()
    assert "/silence/" in operator.get(reverse("alerts")).content.decode()


def test_the_database_itself_refuses_a_silence_that_ends_before_it_began():
    now = timezone.now()
    with pytest.raises(IntegrityError), transaction.atomic():
        AlertSilence.objects.create(code="X", created_at=now, expires_at=now, created_by="olga")


def test_a_silence_is_ended_once_with_a_reason():
    held = silence(raised())
    with pytest.raises(SilenceRefused):
        silence_end(silence_id=held.pk, actor="ada", reason="")
    assert silence_end(silence_id=held.pk, actor="ada", reason="repaired")
    assert not silence_end(silence_id=held.pk, actor="ada", reason="repaired")
    assert silences_holding(timezone.now()) == []
    assert AuditEvent.objects.filter(action="alert.silence_end").count() == 1


def test_the_page_lists_by_state_severity_and_code_and_leads_further():
    run = "00000000-0000-0000-0000-000000000001"
    raised()
    raised("NEVER_SENT", "critical", "never", run_code=run)
    raised("CLOCK_OFFSET", key="clock")
    alert_resolve(dedupe_key="clock")
    client = by_session("viewer")

    def codes(**query):
        answer = client.get(reverse("alerts"), query)
        return {line.alert.code for line in answer.context["lines"]}, answer.content.decode()

    assert codes()[0] == {"VENUE_UNAVAILABLE", "NEVER_SENT"}
    assert codes(state="closed")[0] == {"CLOCK_OFFSET"}
    assert codes(state="all", severity="critical")[0] == {"NEVER_SENT"}
    found, page = codes(code="NEVER_SENT", severity="nonsense")
    assert found == {"NEVER_SENT"}
    assert f"/orders/?run={run}" in page
    assert '<form method="post" action="/alerts/' not in page


def test_an_operator_silences_and_ends_from_the_page_and_a_viewer_may_not():
    """SEC-9"""
    alert = raised()
    where = reverse("alert-silence", args=[alert.pk])
    given = {"minutes": "60", "reason": "repairs"}
    assert by_session("viewer").post(where, given).status_code == 403
    operator = by_session("operator")
    assert operator.post(where, given | {"minutes": "x"}).status_code == 302
    assert not AlertSilence.objects.exists()
    operator.post(where, given)
    held = AlertSilence.objects.get()
    assert (held.dedupe_key, held.created_by) == ("venue", "operator-user")
    assert "HOLDS" in operator.get(reverse("alerts")).content.decode()
    operator.post(reverse("silence-end", args=[held.pk]), {"reason": "repaired"})
    assert silences_holding(timezone.now()) == []
    assert operator.post(reverse("alert-silence", args=[999]), given).status_code == 404
    assert Alert.objects.count() == 1


def test_a_critical_alert_says_that_it_is_told_in_spite_of_its_silence():
    """ORC-78: the silence is seen, so nobody makes it twice; nobody takes it for silent."""
    operator, alert = by_session("operator"), raised(severity="critical")
    before = operator.get(reverse("alerts")).content.decode()
    add = reverse("alert-silence", args=[alert.pk])
    assert add in before and "in spite of" not in before
    silence(alert)
    after = operator.get(reverse("alerts")).content.decode()
    assert "<b>open</b>" in after and "told in spite of a silence until" in after
    assert add not in after and ">silenced<" not in after


def test_an_empty_page_claims_nothing_about_a_system_that_is_not_healthy(monkeypatch):
    client = by_session("viewer")
    for state, words in (("critical", "None is raised, but"), ("healthy", "Nothing needs")):
        monkeypatch.setattr(alert_views, "system_status", lambda now, state=state: {"state": state})
        page = client.get(reverse("alerts")).content.decode()
        assert words in page and "passes now" not in page
        assert (f"System</a> says {state}" in page) == (state == "critical")


def test_a_job_that_stands_still_leads_to_the_system_page():
    raised("JOB_DOWN", key="job")
    (line,) = by_session("viewer").get(reverse("alerts")).context["lines"]
    assert (line.address, line.leads_to) == (reverse("system"), "System")
