"""Putting a backup in the place of the database: refused while anything runs, never a loss.

The restored books are older than the venue's, so what loosens is not brought back with them: the
trading state is at least REDUCING until an operator resumes, a stop that was set since stays set
and none ends by itself, of two ceilings the stricter holds, sessions end, and a token works only
where it works today. The next start reconciles with the venue before any entry, as every start
does.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import ApiToken, LoginLink
from accounts.services import audit_record
from engine.ports import TradingState
from monitoring.models import Heartbeat
from tradeplatform import backup
from tradeplatform.backup import BackupRefused, Manifest
from trades.ceiling_changes import ceilings_keep
from trades.ceilings import Overrides, standing
from trades.errors import ControlRefused
from trades.models import ControlState, Lease, TradingRun
from trades.services import GLOBAL_SCOPE, control_set

HEARTBEAT_IS_FRESH = timedelta(seconds=30)
REASON = "the database was restored from a backup; look at orders and balances, then resume"


@dataclass(frozen=True, slots=True)
class Carried:
    """What the database in use says and the backup must not undo. ``None`` in ``tokens`` where
    the database in use cannot be read: then no token survives."""

    tokens: frozenset[str] | None = None
    controls: Mapping[str, TradingState] = field(default_factory=dict)
    lease_token: int = 0
    ceilings: Overrides = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did; ``replaced`` is where the database that was in use is kept."""

    manifest: Manifest
    replaced: Path
    sessions_ended: int
    tokens_revoked: int
    state: TradingState


def backup_restore(path: Path, *, actor: str, other_version: bool = False) -> Restored:
    """Put the database of a backup in the place of the one in use, which is kept.

    Raises:
        BackupRefused: something runs or holds a lease, the backup is damaged, of another schema,
            of other code without ``other_version``, or the database is no SQLite file.
    """
    manifest = backup.manifest_read(path)
    _check_fits(path, manifest, other_version)
    database = Path(str(connection.settings_dict["NAME"]))
    with _alone(settings.VAR_DIR), _folder_beside(database) as folder:
        carried = _carried()
        fresh = folder / database.name
        backup.database_extract(path, manifest, fresh)
        _check_content(path, manifest, fresh)
        with _pointing_at(fresh):
            done = _tighten(carried, manifest, actor)
        replaced = _keep(database)
        _put_in_place(fresh, database)
    return Restored(manifest, replaced, *done)


def _check_fits(path: Path, manifest: Manifest, other_version: bool) -> None:
    if connection.vendor != "sqlite":
        raise BackupRefused(
            "DATABASE_URL names PostgreSQL; there, unzip FILE and run pg_restore on its database,"
            " see docs/backup.md"
        )
    if manifest.engine != connection.vendor:
        raise BackupRefused(f"{path}: engine was {manifest.engine}, allowed: {connection.vendor}")
    if (known := backup.migrations_known()) != manifest.migrations:
        odd = sorted(set(known) ^ set(manifest.migrations))
        raise BackupRefused(
            f"{path}: schema was another one ({odd[0]} is on one side only); restore it with code"
            f" {manifest.code_version}, then start the newer code"
        )
    if manifest.code_version != settings.CODE_VERSION and not other_version:
        raise BackupRefused(
            f"{path}: code version was {manifest.code_version}, allowed: {settings.CODE_VERSION},"
            " or another of the same schema with --other-version"
        )


def _check_content(path: Path, manifest: Manifest, fresh: Path) -> None:
    try:
        counts = backup.sqlite_counts(fresh)
    except sqlite3.Error as error:
        raise BackupRefused(f"{path}: damaged ({error})") from error
    if counts != dict(manifest.counts) or backup.sqlite_migrations(fresh) != manifest.migrations:
        raise BackupRefused(f"{path}: damaged, its rows are not those the manifest counts")


def _carried() -> Carried:
    """Refuse while somebody works; return what must survive. A database that cannot be read holds
    nobody's lease that could be respected: the lock on the folder must do."""
    now = timezone.now()
    try:
        held = Lease.objects.filter(expires_at__gt=now).select_related("run").first()
        beat = Heartbeat.objects.filter(at__gt=now - HEARTBEAT_IS_FRESH).order_by("-at").first()
        if held is not None:
            raise BackupRefused(
                f"run {held.run.code} is held by {held.holder} until"
                f" {held.expires_at:%H:%M:%S} UTC; stop the platform first"
            )
        if beat is not None:
            age_s = (now - beat.at).total_seconds()
            raise BackupRefused(
                f"{beat.component} was at work {age_s:.0f} s ago; stop the platform and wait"
                f" {HEARTBEAT_IS_FRESH.seconds} s"
            )
        valid = ApiToken.objects.filter(revoked_at__isnull=True)
        return Carried(
            frozenset(valid.values_list("digest", flat=True)),
            {row.scope: TradingState(row.state) for row in ControlState.objects.all()},
            max(Lease.objects.values_list("token", flat=True), default=0),
            standing(now).overrides,
        )
    except DatabaseError:
        return Carried()


def _tighten(carried: Carried, manifest: Manifest, actor: str) -> tuple[int, int, TradingState]:
    """Make the restored rows at least as strict as those they replace, in one transaction."""
    now = timezone.now()
    with transaction.atomic():
        sessions, _ = Session.objects.all().delete()
        LoginLink.objects.filter(used_at__isnull=True).delete()
        stale = ApiToken.objects.filter(revoked_at__isnull=True)
        if carried.tokens is not None:
            stale = stale.exclude(digest__in=carried.tokens)
        revoked = stale.update(revoked_at=now)
        # a worker that was frozen all the while holds a token of the replaced database, perhaps of
        # a run that had no lease yet when the backup was made
        for run in TradingRun.objects.filter(lease=None):
            Lease.objects.create(run=run, expires_at=now)
        Lease.objects.all().update(
            token=F("token") + carried.lease_token + 1, expires_at=now, holder=""
        )
        TradingRun.objects.all().update(reconciled_at=None)
        state = _keep_stops(carried.controls, actor)
        ceilings_keep(carried.ceilings, actor=actor, reason=REASON)
        audit_record(
            actor=actor,
            action="database.restore",
            object_type="database",
            object_id=manifest.made_at,
            reason=REASON,
            after={
                "sha256": manifest.sha256,
                "code_version": manifest.code_version,
                "sessions_ended": sessions,
                "tokens_revoked": revoked,
                "state": state.value,
            },
        )
    return sessions, revoked, state


def _keep_stops(controls: Mapping[str, TradingState], actor: str) -> TradingState:
    wanted = {GLOBAL_SCOPE: TradingState.REDUCING, **controls}
    if wanted[GLOBAL_SCOPE].severity < TradingState.REDUCING.severity:
        wanted[GLOBAL_SCOPE] = TradingState.REDUCING
    for scope, state in wanted.items():
        try:
            _stop(scope, state, actor)
        except ControlRefused:
            # a strategy or symbol the backup does not know: then everything stops as it did
            _stop(GLOBAL_SCOPE, state, actor)
    # what the backup says would end by itself: at its time nobody may have looked yet
    ControlState.objects.update(releases_at=None)
    return TradingState(ControlState.objects.get(scope=GLOBAL_SCOPE).state)


def _stop(scope: str, state: TradingState, actor: str) -> None:
    control_set(
        scope=scope,
        state=state,
        actor=actor,
        reason=REASON,
        reason_code="RESTORED",
        # only ever stricter, whatever the backup says
        is_breaker=True,
    )


def _keep(database: Path) -> Path:
    """Keep the database in use under ``backups``: a whole copy, or the file as it is where it
    cannot be read."""
    folder = Path(settings.VAR_DIR) / "backups"
    folder.mkdir(mode=0o700, exist_ok=True)
    stamp = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{time.time_ns() % 10**9:09d}"
    target = folder / f"replaced-{stamp}.sqlite3"
    try:
        backup.sqlite_copy(database, target)
    except sqlite3.Error:
        target.unlink(missing_ok=True)
        for suffix in ("-wal", "-shm"):
            log = database.with_name(database.name + suffix)
            if log.exists():
                log.rename(target.with_name(target.name + suffix))
        database.rename(target)
        target.chmod(0o600)
    return target


def _put_in_place(fresh: Path, database: Path) -> None:
    """The log of the old file must be gone before another takes its name: SQLite would replay it
    into the new one. All of it stands in the copy that was kept."""
    connection.close()
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    _flush(fresh)
    os.replace(fresh, database)
    _flush(database.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _pointing_at(path: Path) -> Iterator[None]:
    """Let the rooms' own services write to another file: what they promise holds there too."""
    usual = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = str(path)
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = usual
    with closing(sqlite3.connect(path)) as fresh:
        fresh.execute("PRAGMA journal_mode=DELETE")


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold the lock that ``up`` holds, so that neither starts beside the other."""
    descriptor = os.open(Path(directory) / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 20).decode() or "unknown"
        os.close(descriptor)
        raise BackupRefused(
            f"the platform runs from {directory} (pid {holder}); stop it first"
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _folder_beside(database: Path) -> Iterator[Path]:
    folder = Path(mkdtemp(prefix=".restore-", dir=database.parent))
    try:
        yield folder
    finally:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
