"""Tokens, roles and the one-time link."""

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

from accounts.errors import LoginLinkRefused, TokenRefused
from accounts.models import ApiToken, AuditEvent, LoginLink, Scope
from accounts.roles import token_scope, user_scope
from accounts.services import (
    TOKEN_BYTES,
    digest_of,
    login_link_create,
    login_link_use,
    token_create,
    token_revoke,
    token_touch,
    user_create,
)

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


def dump():
    """Every text the database holds of tokens, links and the audit log."""
    rows = [*ApiToken.objects.values(), *LoginLink.objects.values(), *AuditEvent.objects.values()]
    return repr(rows)


def test_a_token_is_stored_as_its_digest_only_and_audited():
    """SEC-26, SEC-33"""
    row, token = token_create(name="grafana", scope="read", actor="ada")
    assert TOKEN_BYTES * 8 >= 160
    assert len(token) > 30
    assert row.digest == digest_of(token)
    assert token.startswith(row.prefix)
    assert token not in dump()
    assert AuditEvent.objects.get().action == "token.create"


def test_two_tokens_never_repeat():
    """SEC-26"""
    made = {token_create(name="n", scope="read", actor="ada")[1] for _ in range(50)}
    assert len(made) == 50


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scope": "root"}, "scope was 'root'"),
        ({"name": "  "}, "name had 0"),
        ({"name": "x" * 81}, "name had 81"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(given, message):
    """SEC-26"""
    with pytest.raises(TokenRefused, match=message):
        token_create(**({"name": "n", "scope": "read", "actor": "ada"} | given))
    assert ApiToken.objects.count() == 0


def test_a_token_may_not_be_made_expired():
    """SEC-26"""
    past = timezone.now() - timedelta(seconds=1)
    with pytest.raises(TokenRefused, match="has passed"):
        token_create(name="n", scope="read", actor="ada", expires_at=past)


def test_revoking_twice_ends_the_token_once():
    """SEC-26, SEC-33"""
    row, _ = token_create(name="n", scope="read", actor="ada")
    assert token_revoke(token=row, actor="ada", reason="leaked") is True
    assert token_revoke(token=row, actor="ada", reason="leaked") is False
    assert AuditEvent.objects.filter(action="token.revoke").count() == 1


def test_last_use_is_written_at_most_once_a_minute(django_assert_num_queries):
    """SEC-26"""
    row, _ = token_create(name="n", scope="read", actor="ada")
    token_touch(row)
    row.refresh_from_db()
    first = row.last_used_at
    assert first is not None
    with django_assert_num_queries(0):
        token_touch(row)
    ApiToken.objects.update(last_used_at=first - timedelta(seconds=61))
    row.refresh_from_db()
    token_touch(row)
    row.refresh_from_db()
    assert row.last_used_at >= first


@pytest.mark.parametrize(
    ("role", "scope", "reach"),
    [
        ("viewer", "admin", Scope.READ),
        ("operator", "admin", Scope.OPERATE),
        ("operator", "read", Scope.READ),
        ("admin", "operate", Scope.OPERATE),
    ],
)
def test_a_users_token_never_reaches_further_than_the_user(role, scope, reach):
    """SEC-9"""
    user = user_create(username="bob", password=PASSWORD, role=role, actor="test")
    row, _ = token_create(name="n", scope=scope, actor="bob", user=user)
    assert token_scope(row) is reach


def test_a_user_without_a_role_reaches_nothing():
    """SEC-9"""
    user = User.objects.create_user("nobody")
    assert user_scope(user) is None
    user.groups.add(Group.objects.get(name="viewer"))
    assert user_scope(User.objects.get(pk=user.pk)) is Scope.READ


def test_migrating_makes_the_three_roles_and_no_user():
    """SEC-9, SEC-24"""
    assert set(Group.objects.values_list("name", flat=True)) == {"viewer", "operator", "admin"}
    assert User.objects.count() == 0


def test_the_link_makes_one_administrator_once():
    """SEC-24"""
    token = login_link_create()
    user = login_link_use(token, "ada", PASSWORD)
    assert user.is_superuser
    assert user_scope(user) is Scope.ADMIN
    assert user.check_password(PASSWORD)
    with pytest.raises(LoginLinkRefused, match="used before"):
        login_link_use(token, "eve", PASSWORD)
    assert User.objects.count() == 1
    assert token not in dump()


@pytest.mark.parametrize("password", ["short", "password1234", "123456789012", "ada-lovelace"])
def test_a_weak_password_is_refused_and_leaves_the_link_usable(password):
    """SEC-24"""
    token = login_link_create()
    with pytest.raises(LoginLinkRefused):
        login_link_use(token, "ada-lovelace", password)
    assert User.objects.count() == 0
    assert login_link_use(token, "ada-lovelace", PASSWORD).is_superuser


def test_only_the_newest_link_works_and_not_for_ever():
    """SEC-24"""
    old, new = login_link_create(), login_link_create()
    with pytest.raises(LoginLinkRefused):
        login_link_use(old, "ada", PASSWORD)
    LoginLink.objects.update(expires_at=timezone.now())
    with pytest.raises(LoginLinkRefused, match="too old"):
        login_link_use(new, "ada", PASSWORD)


@pytest.mark.django_db(transaction=True)
def test_two_people_with_the_same_link_make_one_administrator():
    """SEC-24"""
    token, refused = login_link_create(), []

    def use(name):
        try:
            login_link_use(token, name, PASSWORD)
        except LoginLinkRefused as error:
            refused.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=use, args=(name,)) for name in ("ada", "eve")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert User.objects.count() == 1
    assert len(refused) == 1


def test_createtoken_prints_the_token_once(capsys):
    """SEC-26"""
    call_command("createtoken", "grafana", "--scope", "read")
    printed = capsys.readouterr().out.strip()
    assert ApiToken.objects.get().digest == digest_of(printed)


def test_createtoken_refuses_an_unknown_scope():
    """SEC-26"""
    with pytest.raises(CommandError, match="read"):
        call_command("createtoken", "grafana", "--scope", "root")
