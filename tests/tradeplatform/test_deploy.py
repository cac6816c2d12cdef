"""What a production machine is told: units, lock files, settings, and what is never served."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from accounts.services import user_create
from tests.accounts.callers import PASSWORD

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "docs" / "deploy").glob("*.service"))
PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "tradeplatform.settings",
    "TRADEPLATFORM_ENV": "production",
    "SECRET_KEY": "k3y-of-a-test-with-many-different-characters-0123456789-abcdefghij",
    "ALLOWED_HOSTS": "trade.example.org",
}


def in_production(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {name: v for name, v in os.environ.items() if name not in ("SECRET_KEY", "DEBUG")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment | {"TRADEPLATFORM_VAR": str(folder)} | PRODUCTION | more,
        capture_output=True,
        text=True,
        check=False,
    )


def unit(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read(path)
    return dict(parser["Service"])


def test_the_deploy_check_has_nothing_to_say_in_production(tmp_path: Path) -> None:
    """SEC-1"""
    done = in_production(tmp_path, "manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY is not set"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY had 5 characters"),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS was '*'"),
        ({"ALLOWED_HOSTS": "trade.example.org,*"}, "ALLOWED_HOSTS was '*'"),
        ({"DEBUG": "true"}, "DEBUG was true"),
    ],
)
def test_production_does_not_start_on_loose_settings(
    tmp_path: Path, more: dict[str, str], complaint: str
) -> None:
    """SEC-2, SEC-3: one line, no start."""
    done = in_production(tmp_path, "manage.py", "check", **more)
    assert done.returncode != 0
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_no_key_of_the_platform_stands_in_the_repository() -> None:
    """SEC-2"""
    assigned = re.compile(r"^\s*SECRET_KEY\s*=\s*[\"']", re.MULTILINE)
    sources = [*ROOT.glob("*/*.py"), *ROOT.glob("*.py"), *ROOT.glob("*.y*ml"), ROOT / "Procfile"]
    assert [path for path in sources if assigned.search(path.read_text())] == []


LOOK = """
import django, json
django.setup()
from django.conf import settings as s
print(json.dumps({name: getattr(s, name) for name in dir(s) if name.split("_")[0] in
    ("SECURE", "SESSION", "CSRF", "DEBUG", "TOTP", "X")}, default=str))
"""


def test_cookies_and_transport_are_strict_in_production(tmp_path: Path) -> None:
    """SEC-4, SEC-23"""
    import json

    found = json.loads(in_production(tmp_path, "-c", LOOK).stdout)
    expected = {
        "SECURE_SSL_REDIRECT": True,
        "SECURE_HSTS_SECONDS": 31_536_000,
        "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_NAME": "__Host-sessionid",
        "SESSION_COOKIE_PATH": "/",
        "SESSION_COOKIE_DOMAIN": None,
        "CSRF_COOKIE_SECURE": True,
        "CSRF_COOKIE_NAME": "__Host-csrftoken",
        "CSRF_COOKIE_DOMAIN": None,
        "TOTP_REQUIRED": True,
        "DEBUG": False,
    }
    assert {name: found[name] for name in expected} == expected


ASK = """
import django, sys
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.test import Client
from accounts.services import user_create
user_create(username="ada", password=sys.argv[1], role="viewer", actor="test")
client = Client(SERVER_NAME="trade.example.org")
plain = client.get("/login/")
print(plain.status_code, plain.get("Location", ""))
answer = client.post("/login/", {"username": "ada", "password": sys.argv[1]}, secure=True)
print(answer["Strict-Transport-Security"])
print(answer.cookies.output())
for path in ("/api/v1/schema/", "/api/v1/docs/"):
    print(path, Client(SERVER_NAME="trade.example.org").get(path, secure=True).status_code)
"""


def test_the_answers_of_production_carry_what_its_settings_promise(tmp_path: Path) -> None:
    """SEC-4, SEC-50: over the whole middleware, on a database of its own."""
    (tmp_path / "static").mkdir()
    # the manifest of static files is made by collectstatic
    made = in_production(tmp_path, "manage.py", "collectstatic", "--noinput", "-v0")
    assert made.returncode == 0, made.stderr
    done = in_production(tmp_path, "-c", ASK, PASSWORD)
    assert done.returncode == 0, done.stderr
    redirect, hsts, *rest = done.stdout.splitlines()
    assert redirect == "301 https://trade.example.org/login/"
    assert hsts == "max-age=31536000; includeSubDomains; preload"
    session = next(line for line in rest if "__Host-sessionid=" in line)
    assert all(word in session for word in ("HttpOnly", "Secure", "SameSite=Lax", "Path=/"))
    assert "Domain=" not in session
    assert [line.split()[1] for line in rest if line.startswith("/api/")] == ["401", "401"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_runs_as_nobody_in_particular_and_can_become_nothing_more(path: Path) -> None:
    """SEC-47"""
    service = unit(path)
    assert service["User"] not in ("root", "0", "")
    wanted = {
        "NoNewPrivileges": "true",
        "ProtectSystem": "strict",
        "ProtectHome": "true",
        "PrivateTmp": "true",
        "CapabilityBoundingSet": "",
        "RestrictSUIDSGID": "true",
        "UMask": "0077",
    }
    assert {name: service.get(name) for name in wanted} == wanted
    assert not re.search(r"\b(sudo|sh -c|bash)\b", service["ExecStart"])


def test_there_is_a_unit_for_each_process_and_only_trading_reads_the_exchange_keys() -> None:
    """SEC-31, SEC-47"""
    processes = [line.split(":")[0] for line in (ROOT / "Procfile").read_text().splitlines()]
    named = {name for name in processes if name and not name.startswith("#")}
    assert {path.stem.removeprefix("tradeplatform-") for path in UNITS} == named
    with_keys = [path.stem for path in UNITS if "exchange.env" in path.read_text()]
    assert with_keys == ["tradeplatform-trading"]


def test_the_web_process_believes_no_forwarded_address_and_writes_no_addresses_to_its_log() -> None:
    """SEC-16, SEC-22, SEC-27: in the Procfile, the unit and the supervisor's plan alike."""
    from tradeplatform import processes

    plan = Path(processes.__file__).read_text()
    web_unit = (ROOT / "docs" / "deploy" / "tradeplatform-web.service").read_text()
    for text in ((ROOT / "Procfile").read_text(), web_unit, plan):
        for option in ("--no-proxy-headers", "--no-access-log", "--ws-max-size 8192"):
            assert option in text


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_dependency_is_pinned_with_a_hash(name: str) -> None:
    """SEC-51"""
    text = (ROOT / name).read_text()
    entries = re.split(r"\n(?=[a-zA-Z0-9])", text)
    pinned = [entry for entry in entries if re.match(r"[a-zA-Z0-9]", entry)]
    assert len(pinned) > 30
    loose = [e.split()[0] for e in pinned if "==" not in e.split("\n")[0] or "--hash=" not in e]
    assert loose == []
    assert "--require-hashes" in (ROOT / "Makefile").read_text()
    assert not re.search(r"https?://|git\+", "\n".join(e.split("\n")[0] for e in pinned))


SERVED_NOWHERE = [
    "/.git/config",
    "/.git/HEAD",
    "/.env",
    "/.env.production",
    "/config.yaml",
    "/manage.py",
    "/Procfile",
    "/requirements.txt",
    "/pyproject.toml",
    "/tradeplatform/settings.py",
    "/var/tradeplatform.sqlite3",
    "/tradeplatform.sqlite3",
    "/db.sqlite3",
    "/var/secret_key",
    "/secret_key",
    "/var/audit-heads.jsonl",
    "/static/",
    "/static/js/",
    "/static/../manage.py",
    "/static/%2e%2e/manage.py",
    "/static/..%2fmanage.py",
    "/static/.git/config",
    "/static/../secret_key",
    "/media/",
    "/backup.zip",
    "/server-status",
    "/phpinfo.php",
    "/wp-login.php",
    "/actuator/env",
    "/debug/",
    "/__debug__/",
    "/.well-known/../.env",
]


@pytest.mark.django_db
@pytest.mark.parametrize("path", SERVED_NOWHERE)
def test_files_that_are_nobodys_business_are_not_found(client, path) -> None:  # type: ignore[no-untyped-def]
    """SEC-49: also for somebody who is logged in."""
    user = user_create(username="ada", password=PASSWORD, role="admin", actor="test")
    client.force_login(user)
    assert client.get(path).status_code == 404
