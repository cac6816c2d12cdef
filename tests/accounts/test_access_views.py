import json
import re

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction
from django.urls import reverse

from accounts.audit import audit_head, audit_record
from accounts.audit_heads import FILE_NAME, head_export
from accounts.models import ApiToken, AuditEvent, LoginSession
from accounts.services import token_create
from accounts.urls import urlpatterns
from tests.accounts.callers import PASSWORD, by_session
from tests.accounts.test_audit import tamper

pytestmark = pytest.mark.django_db
PUBLIC = {"login", "login-code", "login-link", "logout"}
OWN = {"account"} | {p.name for p in urlpatterns if str(p.pattern).startswith("account/")}
ADMIN = [p for p in urlpatterns if p.name not in PUBLIC | OWN]


def address(pattern):
    values = dict.fromkeys(pattern.pattern.converters, 1)
    return reverse(pattern.name, kwargs=values)


@pytest.mark.parametrize("pattern", [p for p in urlpatterns if p.name not in PUBLIC])
@pytest.mark.parametrize("verb", ["get", "post"])
def test_no_page_of_access_answers_a_stranger(client, pattern, verb):
    """SEC-8"""
    answer = getattr(client, verb)(address(pattern))
    assert answer.status_code in (302, 405)
    if answer.status_code == 302:
        assert answer["Location"].startswith("/login/?next=")


@pytest.mark.parametrize("pattern", ADMIN, ids=lambda p: p.name)
@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_access_and_audit_are_for_administrators(pattern, role):
    """SEC-9, SEC-10"""
    client = by_session(role)
    for verb in ("get", "post"):
        assert getattr(client, verb)(address(pattern), {"password": PASSWORD}).status_code in (
            403,
            405,
        )
    assert len(ADMIN) >= 7


def test_an_id_that_is_not_there_is_not_found():
    """SEC-10"""
    admin = by_session("admin")
    for number in ("999", "x", "", "9" * 40):
        given = {"user": number, "token": number, "password": PASSWORD}
        for name in ("user-change", "token-end"):
            assert admin.post(reverse(name), given).status_code == 404
    assert admin.post(reverse("session-end", args=[999])).status_code == 404


def test_a_role_is_given_with_password_and_reason_and_ends_the_logins():
    """SEC-19, SEC-33"""
    admin = by_session("admin")
    operator = by_session("operator")
    bob = User.objects.get(username="operator-user")
    change = reverse("user-change")
    given = {"user": bob.pk, "act": "role", "role": "viewer", "reason": "on leave"}
    for missing in ({"password": "wrong"}, {"password": PASSWORD, "reason": " "}):
        admin.post(change, {**given, **missing})
        assert [g.name for g in bob.groups.all()] == ["operator"]
    admin.post(change, {**given, "password": PASSWORD})
    assert [g.name for g in bob.groups.all()] == ["viewer"]
    assert operator.get(reverse("overview")).status_code == 302
    event = AuditEvent.objects.get(action="user.set_role")
    assert (event.before, event.after) == ({"role": "operator"}, {"role": "viewer"})
    assert (event.actor, event.reason) == ("admin-user", "on leave")


def test_the_last_administrator_can_neither_step_down_nor_be_kept_out():
    admin = by_session("admin")
    change = reverse("user-change")
    for act in ("role", "deactivate"):
        me = User.objects.get().pk
        given = {
            "user": me,
            "act": act,
            "role": "viewer",
            "reason": "why not",
            "password": PASSWORD,
        }
        page = admin.post(change, given, follow=True)
        assert "the only administrator" in page.content.decode()
    assert User.objects.filter(is_active=True, is_superuser=True).count() == 1


def test_a_person_who_is_kept_out_is_out_at_once_and_may_be_let_in_again():
    """SEC-33"""
    admin, operator = by_session("admin"), by_session("operator")
    change = reverse("user-change")
    given = {
        "user": User.objects.get(username="operator-user").pk,
        "reason": "left",
        "password": PASSWORD,
    }
    admin.post(change, {"act": "deactivate", **given})
    assert operator.get(reverse("overview")).status_code == 302
    admin.post(change, {"act": "activate", **given})
    assert User.objects.get(username="operator-user").is_active


def test_a_user_is_added_with_a_role_and_the_password_rules_hold():
    """SEC-19, SEC-24"""
    admin = by_session("admin")
    given = {"username": "bob", "role": "operator", "new": PASSWORD, "password": PASSWORD}
    for wrong in ({"password": "wrong"}, {"new": "short"}, {"role": "god"}, {"username": ""}):
        admin.post(reverse("user-add"), {**given, **wrong})
        assert not User.objects.filter(username__in=["bob", ""]).exists()
    admin.post(reverse("user-add"), given)
    bob = User.objects.get(username="bob")
    assert not bob.is_staff and [g.name for g in bob.groups.all()] == ["operator"]


def test_a_token_is_made_with_the_password_shown_once_and_revoked_with_a_reason():
    """SEC-19, SEC-26"""
    admin = by_session("admin")
    given = {"name": "grafana", "scope": "read", "days": "90", "password": PASSWORD}
    for wrong in ({"password": "wrong"}, {"scope": "root"}, {"days": "9999"}, {"name": " "}):
        admin.post(reverse("token-add"), {**given, **wrong})
        assert ApiToken.objects.count() == 0
    page = admin.post(reverse("token-add"), given).content.decode()
    token = re.search(r"tp_[\w-]{32}", page).group()
    row = ApiToken.objects.get()
    assert 89 <= (row.expires_at - row.created_at).days <= 90
    assert token not in admin.get(reverse("access")).content.decode()
    revoke = reverse("token-end")
    admin.post(revoke, {"token": row.pk, "reason": " "})
    assert ApiToken.objects.get().revoked_at is None
    admin.post(revoke, {"token": row.pk, "reason": "leaked"})
    assert ApiToken.objects.get().revoked_at is not None
    assert AuditEvent.objects.get(action="token.revoke").reason == "leaked"


def test_an_administrator_ends_the_login_of_another_person():
    """SEC-18"""
    admin, viewer = by_session("admin"), by_session("viewer")
    row = LoginSession.objects.get(user__username="viewer-user")
    admin.post(reverse("session-end", args=[row.pk]))
    assert viewer.get(reverse("overview")).status_code == 302


def test_the_audit_page_filters_and_shows_text_as_text():
    """SEC-33, SEC-39"""
    admin = by_session("admin")
    token_create(name="<img src=x onerror=alert(1)>", scope="read", actor="eve")
    page = admin.get(reverse("audit"), {"actor": "eve", "verify": "1"})
    assert {row.actor for row in page.context["rows"]} == {"eve"}
    text = page.content.decode()
    assert "<img src=x" not in text and "INTACT" in text
    hostile = {"actor": "\x00", "object_id": "' OR 1=1 --", "page": "x"}
    assert admin.get(reverse("audit"), hostile).status_code == 200


def test_the_audit_page_says_where_the_chain_broke():
    """SEC-34"""
    admin = by_session("admin")
    tamper("UPDATE accounts_auditevent SET reason = 'x' WHERE seq = %s", 1)
    assert b"BROKEN AT 1" in admin.get(reverse("audit"), {"verify": "1"}).content


def record(count):
    with transaction.atomic():
        for _ in range(count):
            audit_record(actor="ada", action="limit.change")


def verify(capsys, *arguments):
    code = 0
    try:
        call_command("audit_verify", "--json", *arguments)
    except SystemExit as ended:
        code = ended.code
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_tail_that_was_cut_off_shows_against_a_head_written_down_before(tmp_path, capsys):
    """SEC-34: the shorter chain still holds; the file does not agree."""
    record(3)
    head_export(tmp_path)
    record(2)
    head = head_export(tmp_path)
    file = tmp_path / FILE_NAME
    assert (head.seq, head.row_hash) == audit_head()
    assert file.stat().st_mode & 0o777 == 0o600
    assert verify(capsys, "--head", str(file))[0] == 0
    tamper("DELETE FROM accounts_auditevent WHERE seq > %s", 3)
    assert verify(capsys)[0] == 0, "the chain alone cannot tell"
    code, verdict = verify(capsys, "--head", str(file))
    assert (code, verdict["missing_head_seq"], verdict["intact"]) == (1, 5, False)


def test_a_chain_rebuilt_after_a_cut_has_other_hashes(tmp_path, capsys):
    """SEC-34"""
    record(2)
    head_export(tmp_path)
    tamper("DELETE FROM accounts_auditevent WHERE seq > %s", 1)
    record(4)
    code, verdict = verify(capsys, "--head", str(tmp_path / FILE_NAME))
    assert (code, verdict["first_broken_seq"], verdict["missing_head_seq"]) == (1, None, 2)


def test_the_head_is_written_every_day_by_the_clock(settings, tmp_path):
    """SEC-34"""
    from accounts.tasks import audit_head_export

    settings.VAR_DIR = tmp_path
    record(1)
    assert audit_head_export() == 1
    assert (tmp_path / FILE_NAME).read_text().count("\n") == 1
    entry = next(
        e for e in settings.CELERY_BEAT_SCHEDULE.values() if e["task"] == audit_head_export.name
    )
    assert entry["schedule"] == 86_400


def test_times_of_the_audit_are_utc_and_follow_the_clock():
    """SEC-52"""
    from datetime import UTC, datetime, timedelta

    record(1)
    at = AuditEvent.objects.get().at
    assert at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - at) < timedelta(seconds=60)
    with connection.cursor() as cursor:
        cursor.execute("SELECT at FROM accounts_auditevent")
        assert cursor.fetchone()[0].replace(tzinfo=UTC) == at
