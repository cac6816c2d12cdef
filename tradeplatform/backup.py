"""One file that holds the whole database as it was at one moment, and says what is in it.

A backup is a zip of the database and a manifest. It is taken while the platform trades: SQLite's
online backup copies one snapshot in one step, PostgreSQL's ``pg_dump`` reads the snapshot that
the counts were made in. Neither makes a writer wait for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from accounts.services import audit_record
from tradeplatform.sealed_files import seal

FORMAT = 1
MANIFEST, DATABASE = "manifest.json", "database"
ROOMS = (
    "accounts",
    "market",
    "strategies",
    "trades",
    "optimization",
    "research",
    "resources",
    "monitoring",
    "notifications",
    "tradeplatform",
)
_CHUNK = 1 << 20
_DUMP_LIMIT_S = 3_600


class BackupRefused(Exception):
    """Nothing was written; the message is one line with what is wrong and what is allowed."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. ``sha256`` is of the database inside, ``counts`` its rows by
    table, ``migrations`` every one that was applied."""

    format: int
    made_at: str
    code_version: str
    installation: str
    engine: str
    migrations: tuple[str, ...]
    sha256: str
    size_bytes: int
    counts: Mapping[str, int]


def backup_create(target: Path, *, actor: str, key: bytes | None = None) -> Manifest:
    """Write a backup to ``target`` with mode 0600 and return its manifest; audited.

    With a ``key`` the file is sealed with it (SEC-53).

    Raises:
        BackupRefused: the file exists, its folder does not, or there is no ``pg_dump``.
    """
    if target.exists():
        raise BackupRefused(f"FILE was {target}, which exists; allowed: a new file")
    if not target.parent.is_dir():
        raise BackupRefused(f"FILE was {target}, and the folder {target.parent} does not exist")
    with _private_folder(target.parent) as folder:
        copy = folder / DATABASE
        counts, migrations = _copy(copy)
        manifest = Manifest(
            format=FORMAT,
            made_at=timezone.now().isoformat(timespec="seconds"),
            code_version=settings.CODE_VERSION,
            installation=settings.INSTALLATION_ID,
            engine=connection.vendor,
            migrations=migrations,
            sha256=sha256_of(copy),
            size_bytes=copy.stat().st_size,
            counts=counts,
        )
        _pack(manifest, copy, folder / "whole")
        whole = folder / "whole"
        if key is not None:
            seal(whole, folder / "sealed", key)
            whole = folder / "sealed"
        # a link never replaces what somebody else put there meanwhile
        os.link(whole, target)
    with transaction.atomic():
        audit_record(
            actor=actor,
            action="database.backup",
            object_type="database",
            object_id=target.name,
            after={
                "sha256": manifest.sha256,
                "counts": dict(counts),
                "is_sealed": key is not None,
            },
        )
    return manifest


def manifest_read(path: Path) -> Manifest:
    """Return a backup's manifest.

    Raises:
        BackupRefused: not a file, not a backup, or of another format.
    """
    if not path.is_file():
        raise BackupRefused(f"FILE was {path}, allowed: an existing backup")
    try:
        with zipfile.ZipFile(path) as archive:
            raw = json.loads(archive.read(MANIFEST))
            archive.getinfo(DATABASE)
        if raw["format"] != FORMAT:
            raise BackupRefused(f"{path}: format was {raw['format']}, allowed: {FORMAT}")
        return Manifest(**{**raw, "migrations": tuple(raw["migrations"])})
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, OSError) as error:
        raise BackupRefused(f"{path}: not a backup of this platform ({error})") from error


def database_extract(path: Path, manifest: Manifest, target: Path) -> None:
    """Unpack the database of a backup to ``target`` with mode 0600, checking every byte.

    Raises:
        BackupRefused: what comes out is not what went in.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(DATABASE) as source,
            _private_file(target) as file,
        ):
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
        raise BackupRefused(f"{path}: damaged ({error})") from error
    if (digest.hexdigest(), size) != (manifest.sha256, manifest.size_bytes):
        raise BackupRefused(f"{path}: damaged, the database is not the one the manifest describes")


def migrations_known() -> tuple[str, ...]:
    """Return every migration this code has, as a backup names them."""
    known = MigrationLoader(None).disk_migrations or {}
    return tuple(sorted(f"{app}.{name}" for app, name in known))


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sqlite_copy(source: Path, target: Path) -> None:
    """Copy a SQLite database that may be in use: one snapshot, in one file, mode 0600."""
    with _private_file(target):
        pass
    address = f"{source.resolve().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(address, uri=True, timeout=20)) as live,
        closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy)
        # without a log beside it the file is whole
        copy.execute("PRAGMA journal_mode=DELETE")


def sqlite_counts(path: Path) -> dict[str, int]:
    """Return the rows by table of our rooms; raises sqlite3.Error where the file is damaged."""
    with closing(sqlite3.connect(path)) as database:
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        return {
            name: int(database.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0])  # noqa: S608
            for name in _tables()
        }


def sqlite_migrations(path: Path) -> tuple[str, ...]:
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT app, name FROM django_migrations").fetchall()
    return tuple(sorted(f"{app}.{name}" for app, name in rows))


def _tables() -> list[str]:
    models = [model for room in ROOMS for model in apps.get_app_config(room).get_models()]
    return sorted(model._meta.db_table for model in models)


def _copy(target: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    if connection.vendor == "sqlite":
        sqlite_copy(Path(str(connection.settings_dict["NAME"])), target)
        return sqlite_counts(target), sqlite_migrations(target)
    return _dump(target)


def _dump(target: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """Dump PostgreSQL and count its rows in one and the same snapshot."""
    programme = shutil.which("pg_dump")
    if programme is None:
        raise BackupRefused("no pg_dump was found on the PATH; install PostgreSQL's client tools")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT pg_export_snapshot()")
        (snapshot,) = cursor.fetchone()
        counts: dict[str, int] = {}
        for name in _tables():
            cursor.execute(f"SELECT COUNT(*) FROM {connection.ops.quote_name(name)}")  # noqa: S608
            counts[name] = int(cursor.fetchone()[0])
        cursor.execute("SELECT app, name FROM django_migrations")
        migrations = tuple(sorted(f"{app}.{name}" for app, name in cursor.fetchall()))
        with _private_file(target):
            pass
        _run_pg_dump(programme, snapshot, target)
    return counts, migrations


def _run_pg_dump(programme: str, snapshot: str, target: Path) -> None:
    place: dict[str, Any] = connection.settings_dict
    # the password goes by environment: a command line can be read by every user of the machine
    secrets = {
        "PGPASSWORD": str(place["PASSWORD"] or ""),
        "PGUSER": str(place["USER"] or ""),
        "PGHOST": str(place["HOST"] or ""),
        "PGPORT": str(place["PORT"] or ""),
        "PGDATABASE": str(place["NAME"]),
    }
    arguments = ["--format=custom", "--no-owner", f"--snapshot={snapshot}", f"--file={target}"]
    done = subprocess.run(  # noqa: S603  a programme of the PATH, no shell
        [programme, *arguments],
        env={**os.environ, **{name: value for name, value in secrets.items() if value}},
        capture_output=True,
        text=True,
        timeout=_DUMP_LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise BackupRefused(f"pg_dump ended with {done.returncode}: {said[-1] if said else ''}")


def _pack(manifest: Manifest, copy: Path, target: Path) -> None:
    with _private_file(target) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(MANIFEST, json.dumps(asdict(manifest), indent=1))
            archive.write(copy, DATABASE)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _private_file(path: Path) -> Iterator[Any]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w+b") as file:
        yield file


@contextmanager
def _private_folder(parent: Path) -> Iterator[Path]:
    """A folder of mode 0700 beside the target, so that the last step is a rename on one disk."""
    folder = Path(mkdtemp(prefix=".backup-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
