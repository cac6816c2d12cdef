"""Who may read through freqtrade's addresses, and for how long."""

import base64
from datetime import timedelta

import pytest
from django.conf import settings
from django.core import signing
from django.urls import NoReverseMatch, Resolver404, resolve
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import ApiToken, AuditEvent
from accounts.services import token_create
from tests.tradeplatform.compat.rows import make_traded_run
from tradeplatform.compat import access
from tradeplatform.compat.urls import compat_patterns, urlpatterns

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.tradeplatform.compat.urls")]
ROOT = "/freqtrade/api/v1/"
OPEN = {"ping", "token/login", "token/refresh"}
PATHS = [
    str(p.pattern).replace("<int:number>", "1").replace("<str:code>", "ema-trend")
    for p in urlpatterns
    if not str(p.pattern).startswith("^")
]
VERBS = ("get", "post", "put", "patch", "delete")


def basic(password, user="anybody"):
    word = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"HTTP_AUTHORIZATION": f"Basic {word}"}


def bearer(text):
    return {"HTTP_AUTHORIZATION": f"Bearer {text}"}


@pytest.fixture
def secret():
    return token_create(name="reader", scope="read", actor="test")[1]


def logged_in(secret):
    return APIClient().post(f"{ROOT}token/login", **basic(secret)).json()


def test_they_are_off_unless_switched_on():
    """D-37"""
    assert settings.FREQTRADE_API is False
    assert compat_patterns(is_on=False) == []
    with pytest.raises((Resolver404, NoReverseMatch)):
        resolve(f"{ROOT}ping", urlconf="tradeplatform.urls")


def test_a_stranger_reaches_nothing_but_ping():
    """SEC-8: for each verb; logging in needs a token too."""
    for path in [*PATHS, "no-such", "trades/1/reload"]:
        for verb in VERBS:
            answer = getattr(APIClient(), verb)(f"{ROOT}{path}", {}, format="json")
            if path == "ping":
                assert answer.status_code == (200 if verb == "get" else 405)
            else:
                assert answer.status_code == 401, (path, verb, answer.content)


def test_whoever_may_read_is_refused_every_write_with_one_line(secret):
    """SEC-9, D-37: the form of pair_candles that is a POST reads too."""
    make_traded_run()
    paths = [path for path in [*PATHS, "start", "forceexit"] if path not in OPEN]
    writes = [(path, verb) for path in paths for verb in VERBS[1:]]
    writes.remove(("pair_candles", "post"))
    before = AuditEvent.objects.count()
    for path, verb in writes:
        answer = getattr(APIClient(), verb)(f"{ROOT}{path}", {}, format="json", **basic(secret))
        assert answer.status_code == 403, (path, verb, answer.content)
        assert answer.json()["detail"].startswith("These addresses only read")
        assert "\n" not in answer.json()["detail"]
    # one row a path and hour: a program that tries again and again fills no log
    assert AuditEvent.objects.count() - before == len({path for path, _ in writes})


def test_a_program_that_invents_addresses_fills_no_log(secret, monkeypatch):
    """SEC-33: so many rows an hour, whatever it asks for."""
    monkeypatch.setattr("accounts.problems._MOST_DENIALS", 2)
    before = AuditEvent.objects.count()
    for number in range(4):
        answer = APIClient().post(f"{ROOT}no-such-{number}", {}, format="json", **basic(secret))
        assert answer.status_code == 403
    assert AuditEvent.objects.count() - before == 2


def test_a_pass_of_the_login_reads_and_a_new_one_comes_from_the_refresh_pass(secret):
    """D-37"""
    make_traded_run()
    passes = logged_in(secret)
    client = APIClient()
    assert client.get(f"{ROOT}count", **bearer(passes["access_token"])).status_code == 200
    fresh = client.post(f"{ROOT}token/refresh", **bearer(passes["refresh_token"])).json()
    assert client.get(f"{ROOT}count", **bearer(fresh["access_token"])).status_code == 200
    # neither does the other's work
    assert client.get(f"{ROOT}count", **bearer(passes["refresh_token"])).status_code == 401
    other = client.post(f"{ROOT}token/refresh", **bearer(passes["access_token"]))
    assert other.status_code == 401


def test_a_pass_ends_with_its_token_and_by_itself(secret, monkeypatch):
    """SEC-26: revoking reaches what was handed out before."""
    make_traded_run()
    passes = logged_in(secret)
    access_pass = bearer(passes["access_token"])
    assert APIClient().get(f"{ROOT}version", **access_pass).status_code == 200
    monkeypatch.setattr(signing.time, "time", lambda: timezone.now().timestamp() + 901)
    assert APIClient().get(f"{ROOT}version", **access_pass).status_code == 401
    monkeypatch.undo()
    ApiToken.objects.update(revoked_at=timezone.now() - timedelta(seconds=1))
    assert APIClient().get(f"{ROOT}version", **access_pass).status_code == 401
    refresh = bearer(passes["refresh_token"])
    assert APIClient().post(f"{ROOT}token/refresh", **refresh).status_code == 401


@pytest.mark.parametrize("scope", ["operate", "admin"])
def test_a_token_that_reaches_further_is_refused(scope):
    """D-37: it must not lie in a program that only reads."""
    row, secret = token_create(name="strong", scope=scope, actor="test")
    for answer in (
        APIClient().get(f"{ROOT}version", **basic(secret)),
        APIClient().post(f"{ROOT}token/login", **basic(secret)),
        APIClient().get(f"{ROOT}version", **bearer(access.pass_issue(row, "access"))),
    ):
        assert answer.status_code == 403
        assert answer.json()["detail"] == f"The token's scope was {scope}, allowed here: read."


@pytest.mark.parametrize(
    "header", ["Basic", "Basic !!", "Basic Zm9v", "Basic w7bDtg==", "Bearer x", "Bearer a:b:c"]
)
def test_a_header_that_is_no_login_is_refused(header):
    """SEC-26"""
    assert APIClient().get(f"{ROOT}version", HTTP_AUTHORIZATION=header).status_code == 401
    assert APIClient().post(f"{ROOT}token/login", HTTP_AUTHORIZATION=header).status_code == 401


def test_wrong_passwords_are_counted_as_wrong_tokens_are(monkeypatch, secret):
    """SEC-21"""
    monkeypatch.setattr("accounts.authentication.WRONG_TOKENS", 2)
    codes = [APIClient().get(f"{ROOT}version", **basic("wrong")).status_code for _ in range(3)]
    assert codes == [401, 401, 429]
    assert APIClient().get(f"{ROOT}version", **basic(secret)).status_code == 200


def test_they_are_no_part_of_our_own_document(secret):
    """D-37"""
    client = APIClient()
    headers = {"HTTP_AUTHORIZATION": f"Bearer {secret}", "HTTP_ACCEPT": "application/json"}
    paths = client.get("/api/v1/schema/", **headers).json()["paths"]
    assert not [path for path in paths if "freqtrade" in path]
