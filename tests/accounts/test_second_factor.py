import time

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from accounts import second_factor, totp
from accounts.models import AuditEvent, LoginSession, RecoveryCode, TotpDevice
from accounts.services import user_create
from tests.accounts.callers import PASSWORD, by_session

pytestmark = pytest.mark.django_db


def enrol(user):
    """Switch the second step on as the page does; returns the secret and the recovery codes."""
    secret = second_factor.enrolment_start(user)
    step = totp.step_at(time.time()) - 1
    return secret, second_factor.enrolment_finish(user, totp.code_of(secret, step))


def code_now(secret, offset=0):
    return totp.code_of(secret, totp.step_at(time.time()) + offset)


@pytest.fixture
def ada():
    return user_create(username="ada", password=PASSWORD, role="admin", actor="test")


def first_step(client, **fields):
    return client.post(
        reverse("login"), {"username": "ada", "password": PASSWORD, "next": "/trades/", **fields}
    )


def is_in(client):
    return client.get(reverse("overview")).status_code == 200


def test_the_password_alone_opens_nothing_once_the_second_step_is_on(client, ada):
    """SEC-23"""
    secret, _ = enrol(ada)
    assert first_step(client)["Location"] == reverse("login-code")
    assert not is_in(client)
    answer = client.post(reverse("login-code"), {"code": code_now(secret)})
    assert answer["Location"] == "/trades/"
    assert is_in(client)


def test_a_code_works_once(ada):
    """SEC-23: replay refused."""
    secret, _ = enrol(ada)
    code = code_now(secret)
    assert second_factor.code_accept(ada, code)
    assert not second_factor.code_accept(ada, code)
    assert not second_factor.code_accept(ada, code_now(secret, -1)), "nor an older one after it"


def test_the_code_of_enrolment_is_used_up_too(ada):
    """SEC-23"""
    secret = second_factor.enrolment_start(ada)
    code = code_now(secret)
    second_factor.enrolment_finish(ada, code)
    assert not second_factor.code_accept(ada, code)


def test_recovery_codes_are_kept_as_hashes_and_work_once(client, ada):
    """SEC-23"""
    _, codes = enrol(ada)
    stored = set(RecoveryCode.objects.values_list("digest", flat=True))
    assert len(codes) == len(stored) == 10
    assert not stored & {code.replace(" ", "") for code in codes}
    first_step(client)
    client.post(reverse("login-code"), {"code": codes[3].lower()})
    assert is_in(client)
    assert not second_factor.code_accept(ada, codes[3])
    assert AuditEvent.objects.filter(action="totp.recovery_used").count() == 1
    assert second_factor.recovery_codes_left(ada) == 9


def test_the_secret_is_not_readable_in_the_database(ada):
    """SEC-23"""
    secret, _ = enrol(ada)
    assert secret not in TotpDevice.objects.get().sealed_secret


def test_with_another_key_of_the_platform_no_code_fits_and_nothing_fails(ada, settings):
    """SEC-36"""
    secret, _ = enrol(ada)
    former, settings.SECRET_KEY = settings.SECRET_KEY, "y" * 50
    assert not second_factor.code_accept(ada, code_now(secret))
    settings.SECRET_KEY_FALLBACKS = [former]
    assert second_factor.code_accept(ada, code_now(secret))


def test_wrong_codes_are_counted_until_the_right_one_no_longer_helps(ada):
    """SEC-20"""
    secret, _ = enrol(ada)
    for _ in range(second_factor.CODE_TRIES):
        assert not second_factor.code_accept(ada, "000000x")
    assert not second_factor.code_accept(ada, code_now(secret))


def test_wrong_codes_at_the_login_lock_the_name(client, ada, settings):
    """SEC-20"""
    secret, _ = enrol(ada)
    first_step(client)
    for _ in range(settings.AXES_FAILURE_LIMIT):
        client.post(reverse("login-code"), {"code": "nonsense"})
    answer = client.post(reverse("login-code"), {"code": code_now(secret)})
    assert answer.status_code == 429
    assert not is_in(client)


def test_the_code_page_without_a_password_before_it_leads_to_the_login(client, ada):
    """SEC-23"""
    secret, _ = enrol(ada)
    answer = client.post(reverse("login-code"), {"code": code_now(secret)})
    assert answer["Location"] == reverse("login")


@pytest.mark.parametrize("change", ["password", "age", "inactive"])
def test_a_first_step_that_no_longer_holds_is_asked_for_again(client, ada, change, monkeypatch):
    """SEC-23"""
    secret, _ = enrol(ada)
    first_step(client)
    code = code_now(secret)
    if change == "password":
        ada.set_password("another long password")
        ada.save()
    elif change == "inactive":
        User.objects.update(is_active=False)
    else:
        later = time.time() + 301
        monkeypatch.setattr("accounts.views.time.time", lambda: later)
    answer = client.post(reverse("login-code"), {"code": code})
    assert answer["Location"] == reverse("login")


def test_the_admin_pages_have_no_login_of_their_own(client, ada):
    """SEC-23: theirs would know no second step."""
    assert client.get("/admin/login/?next=/admin/")["Location"] == "/login/?next=/admin/"
    assert (
        client.post("/admin/login/", {"username": "ada", "password": PASSWORD}).status_code == 405
    )
    assert by_session("viewer").get("/admin/login/?next=/admin/").status_code == 403


def test_what_loosens_asks_for_password_and_code(client, ada):
    """SEC-19: password and TOTP where the person has one."""
    secret, _ = enrol(ada)
    client.force_login(ada)
    halted = {"state": "HALTED", "reason": "odd"}
    client.post(reverse("control"), halted)
    resume = {"state": "ACTIVE", "reason": "fine", "password": PASSWORD}
    for code in ("", "000000x"):
        page = client.post(reverse("control"), resume | {"code": code}, follow=True)
        assert "the password was wrong" in page.content.decode()
    page = client.post(reverse("control"), resume | {"code": code_now(secret)}, follow=True)
    assert "Trading is now ACTIVE" in page.content.decode()


def test_a_person_sets_it_up_and_off_on_the_own_page(client, ada):
    """SEC-23"""
    client.force_login(ada)
    assert client.post(reverse("totp-start"), {"password": "wrong"}).status_code == 302
    assert second_factor.enrolment_secret(ada) is None
    client.post(reverse("totp-start"), {"password": PASSWORD})
    secret = second_factor.enrolment_secret(ada)
    shown = client.get(reverse("account")).content.decode()
    assert totp.in_groups(secret) in shown and "otpauth://totp/" in shown
    page = client.post(reverse("totp-finish"), {"code": code_now(secret, -1)})
    assert page.content.decode().count("<li>") >= 10
    assert totp.in_groups(secret) not in client.get(reverse("account")).content.decode()
    client.post(reverse("totp-remove"), {"password": PASSWORD})
    assert TotpDevice.objects.count() == 1, "without a code it stays"
    client.post(reverse("totp-remove"), {"password": PASSWORD, "code": code_now(secret)})
    assert TotpDevice.objects.count() == 0
    assert {"totp.enrol", "totp.remove"} <= set(AuditEvent.objects.values_list("action", flat=True))


def test_where_it_is_demanded_staff_reach_only_the_page_that_sets_it_up(ada, settings):
    """SEC-23: production demands it of staff; others may have it."""
    settings.TOTP_REQUIRED = True
    client = Client()
    client.force_login(ada)
    assert client.get(reverse("overview"))["Location"] == reverse("account")
    assert client.get(reverse("account")).status_code == 200
    answer = client.get("/api/v1/runs/")
    assert (answer.status_code, answer.json()["reason_code"]) == (403, "totp_required")
    enrol(ada)
    assert client.get(reverse("overview")).status_code == 200
    assert by_session("operator").get(reverse("overview")).status_code == 200


def test_a_lost_second_step_is_reset_on_the_machine(client, ada):
    """SEC-23, SEC-33: by command, audited; the logins end."""
    enrol(ada)
    client.force_login(ada)
    call_command("resettotp", "ada", reason="phone in the lake")
    assert not is_in(client)
    first_step(client)
    assert is_in(client)
    event = AuditEvent.objects.get(action="totp.remove")
    assert (event.actor, event.reason) == ("command line", "phone in the lake")
    with pytest.raises(CommandError, match="no user is called 'eve'"):
        call_command("resettotp", "eve")


def test_a_lost_password_is_set_on_the_machine_and_lifts_the_lock(
    client, ada, settings, monkeypatch
):
    """SEC-33: by command, audited; the logins end."""
    import io

    client.force_login(ada)
    for _ in range(settings.AXES_FAILURE_LIMIT):
        Client().post(reverse("login"), {"username": "ada", "password": "no"})
    monkeypatch.setattr("sys.stdin", io.StringIO("a brand new password\n"))
    call_command("resetpassword", "ada")
    assert not is_in(client)
    assert first_step(client, password="a brand new password").status_code == 302
    assert is_in(client)
    assert AuditEvent.objects.get(action="user.set_password").actor == "command line"
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    with pytest.raises(CommandError, match="at least 12 characters"):
        call_command("resetpassword", "ada")
    assert LoginSession.objects.filter(ended_at__isnull=True).count() == 1
