"""Bearer tokens and logins, and what the audit log hears of them."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from accounts.models import ApiToken, AuditEvent
from accounts.services import token_create, user_create
from tests.accounts.callers import PASSWORD, anonymous, by_token

pytestmark = pytest.mark.django_db
RUNS = "/api/v1/runs/"


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer a b", "Bearer tp_unknown", "Bearer t\u00f6ken", "Basic YTpi"]
)
def test_a_header_that_is_no_token_is_refused(header):
    """SEC-26"""
    assert anonymous().get(RUNS, HTTP_AUTHORIZATION=header).status_code == 401


@pytest.mark.parametrize("column", ["revoked_at", "expires_at"])
def test_an_ended_token_is_refused_with_the_same_words_as_an_unknown_one(column):
    """SEC-26"""
    client = by_token("viewer")
    assert client.get(RUNS).status_code == 200
    ApiToken.objects.update(**{column: timezone.now() - timedelta(seconds=1)})
    answer = client.get(RUNS)
    unknown = anonymous().get(RUNS, HTTP_AUTHORIZATION="Bearer tp_unknown")
    assert answer.status_code == unknown.status_code == 401
    assert answer.json()["detail"] == unknown.json()["detail"]


def test_the_token_of_a_person_who_left_is_refused():
    """SEC-26"""
    user = user_create(username="bob", password=PASSWORD, role="operator", actor="test")
    client = by_token("operator", user=user)
    assert client.get(RUNS).status_code == 200
    get_user_model().objects.update(is_active=False)
    assert client.get(RUNS).status_code == 401


def test_a_persons_token_acts_in_that_persons_name():
    """SEC-33"""
    user = user_create(username="bob", password=PASSWORD, role="operator", actor="test")
    client = by_token("operator", user=user)
    client.post("/api/v1/control/halt", {"reason": "because"}, format="json")
    assert AuditEvent.objects.get(action="control.set").actor == "bob (token:operator)"


def test_two_reads_in_a_minute_are_not_two_writes(django_assert_num_queries):
    """SEC-26"""
    client = by_token("viewer")
    client.get(RUNS)
    with django_assert_num_queries(2) as queries:
        client.get(RUNS)
    assert not [q for q in queries.captured_queries if q["sql"].startswith("UPDATE")]


def test_logins_and_failures_are_audited_without_the_password():
    """SEC-33"""
    user_create(username="ada", password=PASSWORD, role="admin", actor="test")
    client = Client()
    url = "/login/"
    client.post(url, {"username": "ada", "password": "wrong wrong wrong"})
    client.post(url, {"username": "ada", "password": PASSWORD, "next": "/admin/"})
    client.post("/admin/logout/", {"next": "/admin/"})
    actions = list(AuditEvent.objects.order_by("seq").values_list("action", flat=True))
    assert actions == ["user.create", "login.failed", "login.succeeded", "login.ended"]
    kept = repr(list(AuditEvent.objects.values()))
    assert PASSWORD not in kept
    assert "wrong wrong" not in kept
    assert set(AuditEvent.objects.exclude(action="user.create").values_list("ip_address")) == {
        ("127.0.0.1",)
    }


def test_an_address_header_that_anyone_can_write_is_not_believed():
    """SEC-22"""
    _, token = token_create(name="n", scope="operate", actor="test")
    anonymous().post(
        "/api/v1/control/halt",
        {"reason": "because"},
        format="json",
        HTTP_AUTHORIZATION=f"Bearer {token}",
        HTTP_X_FORWARDED_FOR="203.0.113.9",
    )
    assert AuditEvent.objects.get(action="control.set").ip_address == "127.0.0.1"
