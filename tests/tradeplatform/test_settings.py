"""What production changes, each in a process of its own: settings are read once a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LOOK = """
import sys, django
django.setup()
from django.http import HttpResponse
from django.middleware.security import SecurityMiddleware
from django.test import RequestFactory
answer = SecurityMiddleware(lambda request: HttpResponse("here"))
headers = {"HTTP_X_FORWARDED_PROTO": sys.argv[2]} if sys.argv[2:] else {}
print(answer(RequestFactory(SERVER_NAME="localhost").get(sys.argv[1], **headers)).status_code)
"""


def status(folder: Path, path: str, *forwarded: str, **more: str) -> int:
    """Return what the security middleware answers to a plain request in production."""
    return int(run(folder, LOOK, path, *forwarded, **more))


def run(folder: Path, code: str, *arguments: str, **more: str) -> str:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tradeplatform.settings",
        "TRADEPLATFORM_ENV": "production",
        "TRADEPLATFORM_VAR": str(folder),
        "SECRET_KEY": "x" * 50,
        **more,
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_supervisors_look_at_health_is_answered_without_tls(tmp_path: Path) -> None:
    """SEC-5: a redirect to a port nobody listens on would keep `up` from ever being ready."""
    assert status(tmp_path, "/api/v1/health") == 200


def test_who_supervises_may_ask_on_loopback_whatever_the_pages_are_called(tmp_path: Path) -> None:
    """SEC-5: without it each look would be refused and logged as an attack."""
    hosts = "from django.conf import settings; print(*settings.ALLOWED_HOSTS)"
    named = {"ALLOWED_HOSTS": "trade.example.org"}
    assert run(tmp_path, hosts, **named).split() == ["trade.example.org"]
    supervised = run(tmp_path, hosts, TRADEPLATFORM_PORT="8000", **named)
    assert supervised.split() == ["trade.example.org", "127.0.0.1"]


@pytest.mark.parametrize("path", ["/", "/api/v1/risk/", "/api/v1/health/x", "/x/api/v1/health"])
def test_every_other_page_is_sent_to_tls_in_production(tmp_path: Path, path: str) -> None:
    """SEC-5"""
    assert status(tmp_path, path) == 301


def test_a_proxys_word_on_tls_is_believed_only_where_a_proxy_is_trusted(tmp_path: Path) -> None:
    """SEC-5: without a proxy any client could send the header."""
    assert status(tmp_path, "/", "https") == 301
    assert status(tmp_path, "/", "https", TRADEPLATFORM_TRUSTED_PROXY="true") == 200
    assert status(tmp_path, "/", "http", TRADEPLATFORM_TRUSTED_PROXY="true") == 301
