"""Invariants of the database itself, its audit log and its times."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from accounts.audit import audit_verify
from trades import models
from trades.invariants.breach import Breach

_CLOCK_TOLERANCE = timedelta(seconds=5)


def audit_chain_holds() -> Iterator[Breach]:
    broken = audit_verify()
    if broken is not None:
        yield Breach("I-17", f"the audit chain breaks at event {broken}")


def database_is_sound() -> Iterator[Breach]:
    """SQLite checks its pages and keys; PostgreSQL enforces keys itself."""
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA integrity_check")
        for (line,) in cursor.fetchall():
            if line != "ok":
                yield Breach("I-25", f"integrity_check: {line}")
        cursor.execute("PRAGMA foreign_key_check")
        for table, row_id, parent, _ in cursor.fetchall():
            yield Breach("I-25", f"row {row_id} of {table} points at no row of {parent}")


def migrations_are_applied() -> Iterator[Breach]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    for migration, _ in plan:
        yield Breach("I-25", f"migration {migration.app_label}.{migration.name} is not applied")


def times_are_utc_and_past() -> Iterator[Breach]:
    """Wall times are stored as UTC, so none lies ahead of now (a local time east of it would)."""
    if not settings.USE_TZ or settings.TIME_ZONE != "UTC":
        yield Breach("I-27", f"TIME_ZONE was {settings.TIME_ZONE}, USE_TZ {settings.USE_TZ}")
    now = timezone.now() + _CLOCK_TOLERANCE
    ahead = (
        *models.Order.objects.filter(created_at__gt=now),
        *models.Order.objects.filter(sent_at__gt=now),
        *models.Fill.objects.filter(applied_at__gt=now),
        *models.OrderEvent.objects.filter(at__gt=now),
    )
    for row in ahead:
        yield Breach("I-27", f"{type(row).__name__} {row.pk} carries a time ahead of now")
