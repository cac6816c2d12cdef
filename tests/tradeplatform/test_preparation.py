"""What `up` checks before it starts anything: each refusal is one line that says what to do."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from tests.trades.order_factory import held_fence, make_run
from tradeplatform import preparation
from tradeplatform.preparation import NotPrepared
from trades.models import Lease


def test_a_taken_port_is_refused_with_the_next_one_as_advice() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            NotPrepared, match=rf"^port {port} is already in use .* PORT={port + 1}$"
        ):
            preparation.check_port(port)
    preparation.check_port(port)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(NotPrepared, match=f"port was {port}, allowed: 1 to 65535"):
        preparation.check_port(port)


def test_a_second_instance_on_the_same_files_is_refused_with_the_first_ones_pid(
    tmp_path: Path,
) -> None:
    """F-012: two installations on one database would each believe to be alone."""
    hold = "import sys; from pathlib import Path; from tradeplatform import preparation as p\n"
    hold = "import django; django.setup()\n" + hold
    hold += "p.hold_instance_lock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(NotPrepared, match=rf"already running .* \(pid {holder.pid}\)"):
            preparation.hold_instance_lock(tmp_path)
        holder.kill()


def test_the_chosen_redis_server_wins_and_must_be_executable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chosen = tmp_path / "redis-server"
    chosen.write_text("#!/bin/sh\n")
    monkeypatch.setenv("REDIS_SERVER_BIN", str(chosen))
    with pytest.raises(NotPrepared, match="REDIS_SERVER_BIN was"):
        preparation.find_redis_server()
    chosen.chmod(0o755)
    assert preparation.find_redis_server() == str(chosen)


def test_without_any_redis_server_the_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """D-51"""
    monkeypatch.delenv("REDIS_SERVER_BIN", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(preparation, "find_spec", lambda _name: None)
    with pytest.raises(NotPrepared, match="no redis-server was found; install one"):
        preparation.find_redis_server()


def test_a_foreign_redis_on_our_socket_is_refused_and_left_running(
    settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "redis.sock"
    settings.REDIS_URL = f"unix://{path}"
    monkeypatch.delenv("REDIS_URL", raising=False)
    server = preparation.find_redis_server()
    arguments = ["--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen([server, *arguments], stdout=subprocess.DEVNULL) as foreign:
        deadline = time.monotonic() + 10
        while preparation.redis_pid(str(path)) is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with pytest.raises(NotPrepared, match=rf"not ours \(pid {foreign.pid}\)"):
            preparation.embedded_redis_socket()
        assert preparation.redis_pid(str(path)) == foreign.pid
        foreign.kill()
    # what it left behind is only a file, and goes
    assert preparation.embedded_redis_socket() == path
    assert not path.exists()


def test_a_socket_path_too_long_for_the_kernel_is_refused(
    settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    settings.REDIS_URL = f"unix:///{'x' * 120}/redis.sock"
    with pytest.raises(NotPrepared, match="set TRADEPLATFORM_VAR to a shorter folder"):
        preparation.embedded_redis_socket()


def test_an_external_redis_that_does_not_answer_is_refused_without_its_password(settings) -> None:
    """SEC-32"""
    settings.REDIS_URL = f"redis://user:hunter2@127.0.0.1:{preparation.free_port()}/0"
    with pytest.raises(NotPrepared, match="did not answer") as caught:
        preparation.check_external_redis()
    assert "hunter2" not in str(caught.value)


@pytest.mark.django_db
def test_a_database_of_newer_code_is_refused_before_anything_runs() -> None:
    """F-090"""
    MigrationRecorder(connection).record_applied("trades", "9999_from_the_future")
    with pytest.raises(NotPrepared, match=r"newer code \(migration trades\.9999_from_the_future"):
        preparation.migrate_database()


@pytest.mark.django_db
def test_a_database_that_is_up_to_date_is_left_as_it_is(settings) -> None:
    assert preparation.migrate_database() == 0
    assert not (Path(settings.VAR_DIR) / "backups").exists()


def test_a_schema_change_is_preceded_by_a_copy_that_opens(tmp_path: Path) -> None:
    """F-089: run in a process of its own, on a database one migration behind."""
    code = """
import django; django.setup()
from django.core.management import call_command
from tradeplatform.preparation import migrate_database
print(migrate_database() > 0)
call_command("migrate", "monitoring", "zero", verbosity=0)
print(migrate_database() > 0, migrate_database())
"""
    environment = os.environ | {"TRADEPLATFORM_VAR": str(tmp_path)}
    environment.pop("DATABASE_URL", None)
    environment["DJANGO_SETTINGS_MODULE"] = "tradeplatform.settings"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["True", "True", "0"], done.stderr
    (copy,) = (tmp_path / "backups").iterdir()
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = {row[0] for row in opened.execute("SELECT name FROM sqlite_master")}
    assert "trades_order" in tables


class OnePending(MigrationExecutor):
    """As after an upgrade: one migration of ours is not applied yet."""

    def migration_plan(self, *given: object, **named: object) -> list:
        return [("one", False)]


@pytest.mark.django_db
@pytest.mark.parametrize("is_renewed", [True, False])
def test_a_schema_is_not_changed_under_a_living_worker(
    monkeypatch: pytest.MonkeyPatch, settings: Any, is_renewed: bool
) -> None:
    """F-089: a dead worker's lease runs out, one that is renewed belongs to somebody."""
    settings.LEASE_SECONDS = 15
    held_fence(make_run())
    migrated, waited = [], []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        move = timedelta(seconds=30 if is_renewed else -30)
        Lease.objects.update(expires_at=timezone.now() + move)

    monkeypatch.setattr(preparation, "MigrationExecutor", OnePending)
    monkeypatch.setattr(preparation.time, "sleep", wait)
    # the copy would wait for this test's own transaction
    monkeypatch.setattr(preparation, "_copy_sqlite", lambda: migrated.append("copy"))
    monkeypatch.setattr(preparation, "call_command", lambda *a, **k: migrated.append(a[0]))
    if is_renewed:
        with pytest.raises(NotPrepared, match="a worker is trading on this database"):
            preparation.migrate_database()
    else:
        assert preparation.migrate_database() == 1
    assert migrated == ([] if is_renewed else ["copy", "migrate"])
    assert len(waited) == 1 and 0 < waited[0] <= 16


@pytest.mark.django_db
def test_a_link_is_made_only_while_nobody_can_administer() -> None:
    """SEC-24, D-39"""
    link = preparation.administrator_link(8000)
    assert link is not None
    assert link.startswith("http://127.0.0.1:8000/login/link/")
    get_user_model().objects.create_superuser("owner", password="a long enough one")
    assert preparation.administrator_link(8000) is None
