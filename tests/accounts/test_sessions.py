from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent, LoginSession
from accounts.services import user_create
from accounts.sessions import sessions_end_all
from tests.accounts.callers import PASSWORD, by_session
from trades.models import ControlState

pytestmark = pytest.mark.django_db
HALT, RESUME = "/api/v1/control/halt", "/api/v1/control/resume"


@pytest.fixture
def ada(client):
    user = user_create(username="ada", password=PASSWORD, role="admin", actor="test")
    client.force_login(user)
    return user


def is_in(client):
    return client.get(reverse("overview")).status_code == 200


def aged(**ago):
    now = timezone.now()
    LoginSession.objects.update(**{name: now - delta for name, delta in ago.items()})


@pytest.mark.parametrize(
    ("ago", "holds"),
    [
        ({"created_at": timedelta(hours=11, minutes=59)}, True),
        ({"created_at": timedelta(hours=12, seconds=1)}, False),
        ({"last_seen_at": timedelta(minutes=29)}, True),
        ({"last_seen_at": timedelta(minutes=30, seconds=1)}, False),
    ],
)
def test_a_login_ends_after_twelve_hours_or_thirty_idle_minutes(client, ada, ago, holds):
    """SEC-18"""
    aged(**ago)
    assert is_in(client) == holds


def test_using_pages_keeps_a_login_and_what_a_page_asks_by_itself_does_not(client, ada):
    """SEC-18: a screen left open is not a person at it."""
    aged(last_seen_at=timedelta(minutes=20))
    client.get("/data/strip/")
    assert timezone.now() - LoginSession.objects.get().last_seen_at > timedelta(minutes=19)
    client.get(reverse("overview"))
    assert timezone.now() - LoginSession.objects.get().last_seen_at < timedelta(minutes=1)


def test_a_locked_database_keeps_nobody_from_reading_a_page(client, ada, monkeypatch):
    """CTL-13: noting that a session is used is not worth a wait."""
    from django.db import OperationalError
    from django.db.models import QuerySet

    aged(last_seen_at=timedelta(minutes=5))

    def locked(self, **values):
        raise OperationalError("database is locked")

    monkeypatch.setattr(QuerySet, "update", locked)
    assert client.get(reverse("account")).status_code == 200


def test_logging_out_kills_the_session_on_the_server(client, ada):
    """SEC-18: the old cookie, sent again, is nobody's."""
    cookie = client.cookies["sessionid"].value
    client.post(reverse("logout"))
    client.cookies["sessionid"] = cookie
    assert not is_in(client)
    assert LoginSession.objects.get().ended_at is not None


def test_a_login_ended_elsewhere_is_out_at_its_next_request(client, ada):
    """SEC-18"""
    sessions_end_all(ada, actor="eva", reason="lost laptop")
    assert not is_in(client)
    event = AuditEvent.objects.get(action="session.end")
    assert (event.actor, event.reason) == ("eva", "lost laptop")


def test_another_password_ends_every_login_but_this_one(client, ada):
    """SEC-18"""
    from django.test import Client

    other = Client()
    other.force_login(ada)
    fields = {"password": PASSWORD, "new": "another long password", "repeat": "x"}
    client.post(reverse("account-password"), fields)
    assert is_in(other), "the two were not the same"
    client.post(reverse("account-password"), fields | {"repeat": fields["new"]})
    assert is_in(client)
    assert not is_in(other)


def test_one_cannot_end_the_login_of_another_person(client, ada):
    """SEC-10: swapped ids are not found."""
    by_session("operator")
    theirs = LoginSession.objects.exclude(user=ada).get()
    mine = LoginSession.objects.get(user=ada)
    client.post(reverse("own-session-end", args=[mine.pk]))
    client.force_login(ada)
    assert client.post(reverse("own-session-end", args=[theirs.pk])).status_code == 404
    theirs.refresh_from_db()
    assert theirs.ended_at is None


def post(client, path, **body):
    return client.post(path, {"reason": "because", **body}, content_type="application/json")


def stale(client):
    session = client.session
    session["confirmed_at"] -= 301
    session.save()


LOOSENING = [
    "/api/v1/strategies/ema-trend/unsuspend",
    "/api/v1/strategies/ema-trend/activate",
    "/api/v1/strategies/ema-trend/reinstate",
    "/api/v1/optimization/enable",
    "/api/v1/optimization/settings",
    "/api/v1/tokens/",
]


@pytest.mark.parametrize("path", LOOSENING)
def test_a_stale_session_may_not_loosen_over_the_api(client, ada, path):
    """SEC-19: 403 reauth_required, and nothing else is looked at."""
    stale(client)
    answer = post(client, path)
    assert (answer.status_code, answer.json()["reason_code"]) == (403, "reauth_required")


def test_a_stale_session_may_halt_and_resumes_only_once_it_is_confirmed(client, ada):
    """SEC-19: stopping asks nothing; undoing it asks who is there."""
    stale(client)
    assert post(client, HALT).status_code == 200
    refused = post(client, RESUME)
    assert (refused.status_code, refused.json()["reason_code"]) == (403, "reauth_required")
    assert ControlState.objects.get().state == "HALTED"
    confirm = "/api/v1/session/confirm"
    wrong = client.post(confirm, {"password": "wrong"}, content_type="application/json")
    assert wrong.status_code == 403
    assert post(client, RESUME).status_code == 403
    right = client.post(confirm, {"password": PASSWORD}, content_type="application/json")
    assert right.json() == {"confirmed_for_seconds": 300}
    assert post(client, RESUME).status_code == 200


def test_a_session_that_claims_to_be_confirmed_in_the_future_is_not(client, ada):
    """SEC-36"""
    session = client.session
    session["confirmed_at"] += 3600
    session.save()
    assert post(client, LOOSENING[0]).json()["reason_code"] == "reauth_required"
