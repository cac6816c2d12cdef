"""Backups: private, whole, one moment of the database, on both engines."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import threading
import zipfile
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.models import ApiToken, AuditEvent
from accounts.services import token_create
from tradeplatform import backup

pytestmark = pytest.mark.django_db(transaction=True)


def run_backup(target: Path) -> dict[str, Any]:
    out = StringIO()
    call_command("backup", str(target), "--json", stdout=out, stderr=StringIO())
    document: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return document


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    if connection.vendor == "postgresql" and shutil.which("pg_dump") is None:
        pytest.skip("no pg_dump on the PATH")
    token_create(name="kept", scope="read", actor="test")
    run_backup(tmp_path / "saved.zip")
    return tmp_path / "saved.zip"


def test_backup_is_private_and_says_what_is_in_it(saved: Path) -> None:
    """F-043, SEC-53: schema, code, digest and counts; readable by its owner alone."""
    assert saved.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in saved.parent.iterdir()] == [saved.name], "nothing is left behind"
    manifest = backup.manifest_read(saved)
    assert manifest.counts["accounts_apitoken"] == 1
    assert manifest.migrations == backup.migrations_known()
    with zipfile.ZipFile(saved) as archive:
        archive.extract("database", saved.parent / "out")
    assert backup.sha256_of(saved.parent / "out" / "database") == manifest.sha256
    event = AuditEvent.objects.get(action="database.backup")
    assert event.after["sha256"] == manifest.sha256


def test_backup_never_replaces_a_file(saved: Path) -> None:
    with pytest.raises(CommandError, match="which exists; allowed: a new file") as error:
        run_backup(saved)
    assert error.value.returncode == 2


def test_backup_under_writers_is_one_moment_of_the_database(tmp_path: Path) -> None:
    """F-043: two rows of one transaction are both in the copy or neither is."""
    if connection.vendor != "sqlite":
        pytest.skip("of SQLite only; PostgreSQL's snapshot is its own")
    name = str(connection.settings_dict["NAME"])
    with closing(sqlite3.connect(name)) as setup:
        setup.execute("CREATE TABLE IF NOT EXISTS pair (side TEXT, n INTEGER)")
        setup.commit()
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        with closing(sqlite3.connect(name, timeout=20, isolation_level=None)) as writer:
            while not stop.is_set():
                writer.execute("BEGIN IMMEDIATE")
                writer.execute("INSERT INTO pair VALUES ('a', ?)", (written,))
                writer.execute("INSERT INTO pair VALUES ('b', ?)", (written,))
                writer.execute("COMMIT")
                written += 1

    thread = threading.Thread(target=write)
    thread.start()
    counts = []
    try:
        for number in range(5):
            copy = tmp_path / f"copy-{number}"
            backup.sqlite_copy(Path(name), copy)
            with closing(sqlite3.connect(copy)) as database:
                query = "SELECT COUNT(*) FROM pair WHERE side = ?"
                pairs = [database.execute(query, (side,)).fetchone()[0] for side in "ab"]
            counts.append(pairs)
    finally:
        stop.set()
        thread.join()
        with closing(sqlite3.connect(name)) as setup:
            setup.execute("DROP TABLE pair")
            setup.commit()
    assert all(a == b for a, b in counts)
    assert counts[-1][0] > counts[0][0], "it was copied while somebody wrote"


def test_missing_pg_dump_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-043: nothing is left behind where the tools are not installed."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite needs no tools")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match="no pg_dump was found on the PATH"):
        run_backup(tmp_path / "x.zip")
    assert list(tmp_path.iterdir()) == []


def test_postgresql_dump_lists_every_counted_table(saved: Path, tmp_path: Path) -> None:
    """F-043, F-044: the dump is one that pg_restore reads."""
    if connection.vendor != "postgresql":
        pytest.skip("of PostgreSQL only")
    with zipfile.ZipFile(saved) as archive:
        archive.extract("database", tmp_path / "out")
    done = subprocess.run(
        ["pg_restore", "--list", str(tmp_path / "out" / "database")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(f"TABLE DATA public {t} " in done.stdout for t in backup.manifest_read(saved).counts)


def test_token_in_the_backup_is_its_digest_only(saved: Path, tmp_path: Path) -> None:
    """SEC-26, I-18: whoever steals the file has no token."""
    _, secret = token_create(name="other", scope="admin", actor="test")
    run_backup(tmp_path / "again.zip")
    with zipfile.ZipFile(tmp_path / "again.zip") as archive:
        assert secret.encode() not in archive.read("database")
    assert ApiToken.objects.count() == 2
