"""Tries are counted before they are looked at, by all processes together."""

import threading
from datetime import timedelta

import pytest
from django.contrib.auth import authenticate
from django.db import DatabaseError, connections
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from accounts.models import Tries
from accounts.services import user_create
from accounts.throttle import WINDOW, try_claim, try_give_back
from tests.accounts.callers import PASSWORD, anonymous, by_token


def in_parallel(n, act):
    """Run ``act`` in n threads at once; returns what each returned."""
    start, results = threading.Barrier(n), []

    def one():
        try:
            start.wait()
            results.append(act())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("start", ["new", "old window", "half used"])
def test_a_hundred_parallel_tries_get_ten(start):
    """SEC-21: one conditional update a try."""
    if start != "new":
        since = timezone.now() - (WINDOW * 2 if start == "old window" else timedelta(0))
        Tries.objects.create(key="k", count=5 if start == "half used" else 99, since=since)
    results = [in_parallel(10, lambda: try_claim("k", 10)) for _ in range(10)]
    allowed = sum(sum(batch) for batch in results)
    assert allowed == (5 if start == "half used" else 10)
    assert Tries.objects.get().count == 10


@pytest.mark.django_db(transaction=True)
def test_parallel_guesses_of_a_password_are_not_all_looked_at(monkeypatch, settings):
    """SEC-21: what counts after the check lets them all through."""
    from django.contrib.auth.backends import ModelBackend

    user_create(username="ada", password=PASSWORD, role="viewer", actor="test")
    looked_at = []
    monkeypatch.setattr(ModelBackend, "authenticate", lambda *a, **k: looked_at.append(1))

    def guess():
        request = RequestFactory().post("/login/")
        return authenticate(request, username="ada", password="no")

    in_parallel(30, guess)
    assert len(looked_at) <= settings.AXES_FAILURE_LIMIT


@pytest.mark.django_db
def test_a_right_password_uses_no_try_up():
    """SEC-20: a person who confirms often is not locked out."""
    user_create(username="ada", password=PASSWORD, role="viewer", actor="test")
    for _ in range(15):
        client = Client()
        answer = client.post(reverse("login"), {"username": "ada", "password": PASSWORD})
        assert answer.status_code == 302


@pytest.mark.django_db
def test_a_count_never_falls_below_nothing():
    try_give_back("k")
    assert try_claim("k", 1)
    try_give_back("k")
    try_give_back("k")
    assert Tries.objects.get().count == 0


@pytest.mark.django_db
def test_a_store_that_fails_lets_nobody_in(monkeypatch):
    """SEC-21, SEC-36: fails closed on login."""
    user_create(username="ada", password=PASSWORD, role="viewer", actor="test")

    def broken(*args):
        raise DatabaseError("the disk is full")

    monkeypatch.setattr("accounts.backends.try_claim", broken)
    client = Client(raise_request_exception=False)
    answer = client.post(reverse("login"), {"username": "ada", "password": PASSWORD})
    assert answer.status_code == 500
    assert client.get(reverse("overview")).status_code == 302


@pytest.mark.django_db
def test_an_address_a_client_claims_for_itself_is_not_counted_by(settings):
    """SEC-22: X-Forwarded-For rotated with every try."""
    user_create(username="ada", password=PASSWORD, role="viewer", actor="test")
    client = Client()
    for i in range(settings.AXES_FAILURE_LIMIT):
        headers = {"HTTP_X_FORWARDED_FOR": f"203.0.113.{i}", "HTTP_X_REAL_IP": f"203.0.113.{i}"}
        client.post(reverse("login"), {"username": "ada", "password": "no"}, **headers)
    answer = client.post(
        reverse("login"),
        {"username": "ada", "password": PASSWORD},
        HTTP_X_FORWARDED_FOR="203.0.113.99",
    )
    assert answer.status_code == 429
    assert settings.REST_FRAMEWORK["NUM_PROXIES"] == 0


@pytest.mark.django_db
def test_guessed_tokens_are_slowed_down_and_a_good_one_goes_on_working():
    """SEC-20: a script that forgot its token must not lock out the one that halts."""
    good = by_token("viewer")
    stranger = anonymous()
    codes = []
    for i in range(60):
        stranger.credentials(HTTP_AUTHORIZATION=f"Bearer tp_guess{i}")
        codes.append(stranger.get("/api/v1/runs/").status_code)
    assert codes[0] == 401
    assert codes[-1] == 429
    assert codes.count(401) == 50
    assert good.get("/api/v1/runs/").status_code == 200
