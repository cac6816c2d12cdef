"""F-087: a wrong address is one line that names its variable and shows no password."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from tradeplatform.addresses import database_from, redis_from, without_password

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {
    "manage": ["manage.py", "migrate", "--check"],
    "worker": ["-m", "celery", "-A", "tradeplatform", "worker", "-P", "solo"],
    "beat": ["-m", "celery", "-A", "tradeplatform", "beat", "--pidfile="],
}
WRONG = {
    "nonsense": ("DATABASE_URL", "nonsense", "DATABASE_URL was not an address"),
    "nobody listens": (
        "DATABASE_URL",
        "postgres://me:secret-word@127.0.0.1:1/books",
        "DATABASE_URL (postgres://127.0.0.1:1/books) could not be opened",
    ),
    "no folder": ("DATABASE_URL", "sqlite:////absent/x.sqlite3", "folder /absent does not exist"),
    "no broker": ("REDIS_URL", "nonsense", "REDIS_URL was not an address"),
    "no file": ("TRADEPLATFORM_CONFIG", "/nope.yaml", "TRADEPLATFORM_CONFIG was /nope.yaml"),
}


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("wrong", WRONG)
def test_each_program_refuses_a_wrong_address_with_one_line(
    tmp_path: Path, program: str, wrong: str
) -> None:
    """F-087"""
    name, value, expected = WRONG[wrong]
    changed = {
        "TRADEPLATFORM_VAR": str(tmp_path),
        "TRADEPLATFORM_ENV": "development",
        "DJANGO_SETTINGS_MODULE": "tradeplatform.settings",
        name: value,
    }
    done = subprocess.run(
        [sys.executable, *PROGRAMS[program]],
        cwd=ROOT,
        env=dict(os.environ) | changed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    assert done.returncode == 2, said
    assert len(said) == 1, said
    assert expected in said[0]
    assert "secret-word" not in said[0]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:hidden@host:6380/1", "redis://host:6380/1"),
        ("postgres://me:p@ss@host/books?password=hidden", "postgres://host/books"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("hidden", "not an address"),
    ],
)
def test_an_address_is_printed_without_its_password(url: str, shown: str) -> None:
    """SEC-31"""
    assert without_password(url) == shown


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "sqlite:////absent/x.sqlite3", ""])
def test_a_database_address_that_cannot_work_is_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^DATABASE_URL was "):
        database_from(url)


@pytest.mark.parametrize("url", ["redis://", "redis://h:99999/0", "unix://", "http://x", "x"])
def test_a_broker_address_that_cannot_work_is_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^REDIS_URL was "):
        redis_from(url)


def test_usable_addresses_are_taken_as_they_are(tmp_path: Path) -> None:
    assert redis_from("redis://:pw@host:6379/1") == "redis://:pw@host:6379/1"
    assert database_from(f"sqlite:///{tmp_path}/x.sqlite3")["NAME"] == f"{tmp_path}/x.sqlite3"
    assert database_from("postgres://a:b@h/n")["ENGINE"] == "django.db.backends.postgresql"
