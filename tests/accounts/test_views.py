from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse

from accounts.services import login_link_create

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


@pytest.fixture
def link() -> str:
    return reverse("login-link", args=[login_link_create()])


def choose(client, link: str, **fields: str):
    values = {"username": "ada", "password": PASSWORD, "repeat": PASSWORD}
    return client.post(link, {**values, **fields})


def test_the_link_makes_its_holder_the_administrator_and_logs_in(client, link):
    """D-39, SEC-24"""
    answer = choose(client, link)
    assert answer["Location"] == reverse("overview")
    user = get_user_model().objects.get()
    assert (user.username, user.is_superuser) == ("ada", True)
    assert client.get("/").status_code == 200


def test_looking_at_the_link_uses_nothing_up(client, link):
    """SEC-12: a GET changes no state, so a mail scanner cannot spend it."""
    for _ in range(3):
        assert client.get(link).status_code == 200
    assert choose(client, link).status_code == 302


def test_the_link_works_once(client, link):
    choose(client, link)
    client.logout()
    assert choose(client, link, username="eve").status_code == 410
    assert client.get(link).status_code == 410
    assert not get_user_model().objects.filter(username="eve").exists()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"password": "short", "repeat": "short"}, "at least 12 characters"),
        ({"repeat": "something else!"}, "not the same"),
        ({"username": ""}, "cannot be blank"),
        ({"password": "123456789012345", "repeat": "123456789012345"}, "numeric"),
    ],
)
def test_what_is_not_accepted_leaves_the_link_usable(client, link, fields, complaint):
    """SEC-24"""
    answer = choose(client, link, **fields)
    assert answer.status_code == 200
    assert complaint in answer.content.decode()
    assert choose(client, link).status_code == 302


def test_an_invented_link_is_gone(client):
    assert client.get(reverse("login-link", args=["invented"])).status_code == 410


def test_the_login_says_the_same_for_an_unknown_name_and_a_wrong_password(client):
    """SEC-25"""
    get_user_model().objects.create_user("ada", password=PASSWORD)
    wrong = client.post(reverse("login"), {"username": "ada", "password": "no"})
    unknown = client.post(reverse("login"), {"username": "eva", "password": "no"})
    assert b"The name or the password was wrong." in wrong.content
    assert b"The name or the password was wrong." in unknown.content


def test_the_session_key_is_new_after_the_login(client):
    """SEC-18"""
    get_user_model().objects.create_user("ada", password=PASSWORD)
    client.get(reverse("login"))
    session = client.session
    session["mark"] = 1
    session.save()
    before = client.cookies["sessionid"].value
    client.post(reverse("login"), {"username": "ada", "password": PASSWORD})
    assert client.cookies["sessionid"].value != before


def test_too_many_tries_lock_the_name_even_for_the_right_password(client, settings):
    """SEC-20"""
    get_user_model().objects.create_user("ada", password=PASSWORD)
    for _ in range(settings.AXES_FAILURE_LIMIT):
        client.post(reverse("login"), {"username": "ada", "password": "no"})
    answer = client.post(reverse("login"), {"username": "ada", "password": PASSWORD})
    assert answer.status_code == 429
    assert b"Too many tries" in answer.content


def test_logging_out_needs_a_form(client):
    """SEC-12"""
    client.force_login(get_user_model().objects.create_user("ada", password=PASSWORD))
    assert client.get(reverse("logout")).status_code == 405
    assert client.post(reverse("logout"))["Location"] == reverse("login")
