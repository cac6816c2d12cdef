"""What holds for every address there is, read from the resolver and not from a list by hand."""

from __future__ import annotations

import json
import uuid
from importlib.metadata import version
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.converters import IntConverter, SlugConverter, StringConverter, UUIDConverter

from tests.accounts.callers import by_session

pytestmark = pytest.mark.django_db
SAMPLES = {SlugConverter: "ema-trend", UUIDConverter: uuid.UUID(int=1), IntConverter: 1}
# before the login, and what a browser or a supervisor asks for without one
OPEN = {"/login/", "/login/code/", "/login/link/x/", "/api/v1/health", "/favicon.ico"}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


def addresses(patterns, prefix="/"):
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, prefix + str(pattern.pattern))
        elif isinstance(pattern, URLPattern):
            path = prefix + str(pattern.pattern)
            if "^" in path or "(" in path:
                continue
            for name, converter in pattern.pattern.converters.items():
                value = SAMPLES.get(type(converter), "x")
                for kind in ("slug:", "uuid:", "int:", "str:", "path:", ""):
                    path = path.replace(f"<{kind}{name}>", str(value))
            yield path


PATHS = sorted(set(addresses(get_resolver().url_patterns)))


def test_the_walk_sees_the_whole_platform():
    assert len(PATHS) > 150
    assert {"/", "/access/", "/account/", "/audit/", "/api/v1/runs/", "/admin/"} <= set(PATHS)
    assert not [path for path in PATHS if "<" in path]
    assert StringConverter not in SAMPLES


def test_a_stranger_reaches_nothing_but_the_login_and_health(client):
    """SEC-8: each address and verb answers 401, 403, 405 or the way to the login."""
    for path in PATHS:
        if path in OPEN:
            continue
        for verb in ("get", "post", "put", "patch", "delete"):
            answer = getattr(client, verb)(path)
            if path == "/admin/logout/" and answer.status_code == 302:
                assert answer["Location"] == "/admin/"  # which leads to the login
            elif answer.status_code == 302:
                assert "/login/" in answer["Location"], (verb, path)
            else:
                assert answer.status_code in (401, 403, 405), (verb, path, answer.status_code)


@pytest.mark.parametrize("role", [None, "viewer", "admin"])
def test_every_answer_carries_the_headers_of_a_private_page(client, role):
    """SEC-6, SEC-7: whatever its status."""
    caller = by_session(role) if role else client
    for path in PATHS:
        answer = caller.get(path)
        for name, value in HEADERS.items():
            assert answer.headers.get(name) == value, (path, name)
        assert "no-store" in answer.headers["Cache-Control"] or path == "/admin/jsi18n/", path
        policy = answer.headers["Content-Security-Policy"]
        for part in ("default-src 'self'", "object-src 'none'", "base-uri 'none'"):
            assert part in policy, path
        assert "frame-ancestors 'none'" in policy, path
        if not path.startswith(("/admin/", "/api/v1/docs/")):
            assert "script-src 'self';" in policy, path


def test_the_bill_of_materials_names_what_is_installed():
    """SEC-51"""
    out = StringIO()
    call_command("sbom", stdout=out)
    document = json.loads(out.getvalue())
    by_name = {c["name"].lower(): c for c in document["components"]}
    assert document["bomFormat"] == "CycloneDX"
    assert len(by_name) > 60
    for name in ("django", "ccxt", "cryptography"):
        assert by_name[name]["version"] == version(name)
        assert by_name[name]["purl"] == f"pkg:pypi/{name}@{version(name)}"
    assert all(c["hashes"] for c in by_name.values())
