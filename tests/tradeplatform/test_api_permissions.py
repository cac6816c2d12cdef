"""Who reaches what, for every route of the API: generated from the resolver, not a list by hand."""

import hashlib
import uuid

import pytest
from django.apps import apps
from django.urls import URLPattern, get_resolver
from django.urls.converters import IntConverter, SlugConverter, StringConverter, UUIDConverter

from accounts.models import AuditEvent, IdempotencyKey
from tests.accounts.callers import anonymous, by_session, by_token
from tests.trades.rows import make_everything
from trades.models import ControlState, Decision

pytestmark = pytest.mark.django_db
UNSAFE = ("post", "put", "patch", "delete")
PUBLIC = {"/api/v1/health"}
ADMIN_ONLY = {
    "/api/v1/audit/",
    "/api/v1/audit/verify",
    "/api/v1/tokens/",
    "/api/v1/tokens/1/revoke",
    "/api/v1/notifications/channels/ema-trend/test",
    "/api/v1/doctor/",
    "/api/v1/optimization/enable",
    "/api/v1/optimization/settings",
    "/api/v1/optimizer/settings",
    "/api/v1/strategies/ema-trend/activate",
    "/api/v1/strategies/ema-trend/reinstate",
    "/api/v1/adjustments/",
    "/api/v1/external-fills/1/book",
}
SAMPLES = {
    SlugConverter: "ema-trend",
    UUIDConverter: uuid.UUID(int=1),
    IntConverter: 1,
    StringConverter: "ema-trend:BTC-USDT",
}
# a person confirms a session; a token has none
SESSION_ONLY = {"/api/v1/session/confirm"}


def routes():
    """Every path under /api/v1/ with its view, parameters filled in."""
    api = next(p for p in get_resolver().url_patterns if str(p.pattern) == "api/v1/")
    for pattern in api.url_patterns:
        assert isinstance(pattern, URLPattern)
        path = str(pattern.pattern)
        for name, converter in pattern.pattern.converters.items():
            value = str(SAMPLES[type(converter)])
            for kind in ("slug", "uuid", "int", "str"):
                path = path.replace(f"<{kind}:{name}>", value)
        yield "/api/v1/" + ("no-such-path" if path.startswith("^") else path), pattern.callback


PATHS = sorted(path for path, _ in routes())


def is_posted_to(path):
    view = dict(routes())[path].view_class
    return hasattr(view, "post") and not path.endswith("no-such-path")


def digest_of_the_database():
    """Everything but what telling of a call writes (last use, audit of refusals)."""
    skipped = {"ApiToken", "AuditEvent", "Session", "LoginSession"}
    content = [
        (model.__name__, list(model.objects.order_by("pk").values()))
        for model in apps.get_models()
        if model.__name__ not in skipped
    ]
    return hashlib.sha256(repr(content).encode()).hexdigest()


def test_the_walk_sees_the_whole_api():
    assert len(PATHS) > 30
    assert set(PATHS) >= PUBLIC | ADMIN_ONLY


@pytest.mark.parametrize("path", PATHS)
def test_a_stranger_reaches_nothing_but_health(path):
    """SEC-8"""
    for verb in ("get", *UNSAFE):
        answer = getattr(anonymous(), verb)(path, {}, format="json")
        if path in PUBLIC:
            assert answer.status_code == (200 if verb == "get" else 405)
        else:
            assert answer.status_code in (401, 403), (verb, answer.content)


@pytest.mark.parametrize("path", PATHS)
def test_a_viewer_changes_nothing_on_any_route(path):
    """SEC-9"""
    make_everything()
    client, before = by_token("viewer"), digest_of_the_database()
    for verb in UNSAFE:
        answer = getattr(client, verb)(path, {"reason": "because"}, format="json")
        assert answer.status_code in (403, 405), (verb, answer.content)
    assert digest_of_the_database() == before


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
@pytest.mark.parametrize("caller", [by_token, by_session])
def test_reading_follows_the_role(path, role, caller):
    """SEC-9"""
    answer = caller(role).get(path)
    denied = path in ADMIN_ONLY and role != "admin"
    assert (answer.status_code == 403) == denied, answer.content
    assert answer.status_code < 500


@pytest.mark.parametrize("path", [path for path in PATHS if is_posted_to(path)])
def test_an_operator_may_post_what_is_not_for_administrators(path):
    """SEC-9"""
    answer = by_token("operator").post(path, {}, format="json")
    assert answer.status_code == (403 if path in ADMIN_ONLY | SESSION_ONLY else 400)


def test_reading_everything_leaves_the_database_as_it_was():
    """SEC-12"""
    make_everything()
    decision = Decision.objects.first()
    client, before = by_token("admin"), digest_of_the_database()
    for path in PATHS:
        assert client.get(path.replace(str(uuid.UUID(int=1)), str(decision.code))).status_code
        assert client.head(path).status_code < 500
    assert digest_of_the_database() == before


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/fills/",
        "/api/v1/orders/",
        "/api/v1/trades/",
        "/api/v1/equity/",
        "/api/v1/weights/",
        "/api/v1/health-changes/",
        "/api/v1/audit/",
        "/api/v1/strategies/ema-trend/",
        "/api/v1/decisions/00000000-0000-0000-0000-000000000001/",
    ],
)
def test_no_role_can_write_what_the_loop_writes(path):
    """SEC-11"""
    make_everything()
    client, before = by_token("admin"), digest_of_the_database()
    for verb in UNSAFE:
        body = {"weight": 2, "status": "ACTIVE", "pnl_quote": "1000000"}
        assert getattr(client, verb)(path, body, format="json").status_code == 405
    assert digest_of_the_database() == before


def test_a_session_needs_the_csrf_token_to_change_anything():
    """SEC-12"""
    client = by_session("operator", enforce_csrf_checks=True)
    body = {"reason": "because"}
    answer = client.post("/api/v1/control/halt", body, content_type="application/json")
    assert answer.status_code == 403
    assert "CSRF" in answer.json()["detail"]
    assert ControlState.objects.count() == 0
    client.cookies["csrftoken"] = "a" * 32
    headers = {"X-CSRFToken": "a" * 32}
    answer = client.post(
        "/api/v1/control/halt", body, content_type="application/json", headers=headers
    )
    assert answer.status_code == 200
    assert ControlState.objects.get().state == "HALTED"


def test_a_refused_act_leaves_one_audit_event():
    """SEC-33"""
    by_session("viewer").post("/api/v1/control/halt", {}, content_type="application/json")
    event = AuditEvent.objects.get(action="permission.denied")
    assert (event.actor, event.object_id) == ("viewer-user", "/api/v1/control/halt")
    assert event.ip_address == "127.0.0.1"
    assert event.request_id


def test_a_permission_that_fails_denies(monkeypatch):
    """SEC-36"""
    client = by_token("admin")

    def broken(request):
        raise OSError("the directory of roles is gone")

    monkeypatch.setattr("accounts.permissions.request_scope", broken)
    answer = client.post("/api/v1/control/resume", {"reason": "because"}, format="json")
    assert answer.status_code == 500
    assert ControlState.objects.count() == 0


def test_health_tells_a_stranger_its_status_and_nothing_else():
    """SEC-50"""
    answer = anonymous().get("/api/v1/health")
    assert answer.json() == {"status": "ok"}
    assert "server" not in {name.lower() for name in answer.headers}


def test_a_token_in_the_url_is_not_a_token():
    """SEC-27"""
    client = by_token("viewer")
    token = client._credentials["HTTP_AUTHORIZATION"].split()[1]
    for name in ("token", "access_token", "api_key"):
        assert anonymous().get(f"/api/v1/runs/?{name}={token}").status_code == 401
    assert client.get("/api/v1/runs/").status_code == 200
    assert IdempotencyKey.objects.count() == 0


def test_a_foreign_origin_is_given_no_permission():
    """SEC-13"""
    answer = by_token("viewer").get("/api/v1/runs/", HTTP_ORIGIN="https://evil.test")
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
