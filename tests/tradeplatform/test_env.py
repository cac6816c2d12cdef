"""What the environment gives, and who may read the files of an installation."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from tradeplatform import env


@pytest.fixture(autouse=True)
def generous_umask() -> Iterator[None]:
    """The umask under which a careless program shows its files to everybody."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_folder_is_for_its_owner_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D-39"""
    monkeypatch.setenv("TRADEPLATFORM_VAR", str(tmp_path / "new"))
    assert mode(env.var_dir()) == 0o700


def test_a_folder_that_was_open_is_tightened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D-39"""
    (tmp_path / "old").mkdir(mode=0o755)
    monkeypatch.setenv("TRADEPLATFORM_VAR", str(tmp_path / "old"))
    assert mode(env.var_dir()) == 0o700


def test_a_folder_of_somebody_else_keeps_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").mkdir(mode=0o750)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    env.keep_private(tmp_path / "theirs", 0o700)
    assert mode(tmp_path / "theirs") == 0o750


def test_a_stricter_mode_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "strict").touch(mode=0o400)
    env.keep_private(tmp_path / "strict")
    assert mode(tmp_path / "strict") == 0o400


def test_the_database_and_its_journals_are_for_their_owner_only(tmp_path: Path) -> None:
    """SEC-46: SQLite itself makes the file by the umask and the journals like the file."""
    path = tmp_path / "ours.sqlite3"
    env.private_database(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE t (x)")
        names = {file.name for file in tmp_path.iterdir()}
        assert names == {"ours.sqlite3", "ours.sqlite3-wal", "ours.sqlite3-shm"}
        assert {mode(file) for file in tmp_path.iterdir()} == {0o600}


def test_a_database_that_was_open_to_others_is_tightened_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "ours.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE kept (x)")
    assert mode(path) & 0o077, "the precondition: SQLite made it by the umask"
    env.private_database(path)
    assert mode(path) == 0o600
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("kept",)]


def test_the_installations_mark_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    """D-19"""
    first = env.installation_id(tmp_path)
    assert (env.installation_id(tmp_path), len(first)) == (first, 6)
    assert mode(tmp_path / "installation_id") == 0o600


def test_a_variable_of_ours_that_nobody_reads_stops_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F-092: a misspelt switch is not silently off; its value may be a secret and is not shown."""
    monkeypatch.setenv("TRADEPLATFORM_LIVE_ARMD", "s3cret")
    with pytest.raises(CommandError) as refused:
        call_command("up")
    assert str(refused.value) == (
        "TRADEPLATFORM_LIVE_ARMD is set and nobody reads it, allowed: TRADEPLATFORM_LIVE_ARMED"
    )
    assert refused.value.returncode == 2


def test_keys_by_account_and_names_that_the_file_gives_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F-092"""
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_KEY__SECOND", "k")
    monkeypatch.setenv("TRADEPLATFORM_MY_PAGER", "https://example.org")
    env.refuse_unknown(["TRADEPLATFORM_MY_PAGER"])
    monkeypatch.setenv("TRADEPLATFORM_PORT__SECOND", "1")
    with pytest.raises(ImproperlyConfigured, match="PORT__SECOND"):
        env.refuse_unknown(["TRADEPLATFORM_MY_PAGER"])


def test_the_list_of_variables_is_what_the_sources_read() -> None:
    """F-092: none is missing, and none is left over from something that is gone."""
    rooms = ("accounts", "client", "market", "notifications", "research", "tests", "trades")
    files = [
        path
        for room in (*rooms, "tradeplatform")
        for path in (env.BASE_DIR / room).rglob("*.py")
        if path != env.BASE_DIR / "tradeplatform" / "env.py" and path != Path(__file__)
    ]
    named = {
        name
        for path in files
        for name in re.findall(r"\bTRADEPLATFORM_[A-Z_]*[A-Z]\b(?!_)", path.read_text())
    }
    strange = {name for name in named if name.partition("__")[0] not in env.BY_ACCOUNT}
    assert strange - env.KNOWN - {"TRADEPLATFORM_V"} == set()
    assert env.KNOWN - named == set()
