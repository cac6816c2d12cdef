"""Lets the suite empty its database between tests although the audit log is append-only.

Imported by the suite's conftest. Only the flush that Django's transactional tests use is
wrapped; the triggers stand during every test itself.
"""

from __future__ import annotations

from importlib import import_module

import pytest


@pytest.fixture(scope="session", autouse=True)
def _flush_lifts_the_audit_triggers():
    # imported here: conftest is loaded before Django is set up
    connection = import_module("django.db").connection
    operations = type(connection.ops)
    patch = pytest.MonkeyPatch()
    patch.setattr(operations, "sql_flush", _wrapped(operations.sql_flush, connection.vendor))
    yield
    patch.undo()


def _wrapped(original, vendor):
    def sql_flush(self, style, tables, **options):
        statements = original(self, style, tables, **options)
        if "accounts_auditevent" not in tables:
            return statements
        triggers = import_module("accounts.migrations.0002_audit_append_only")
        install, remove = triggers.STATEMENTS[vendor]
        return [*remove, *statements, *install]

    return sql_flush
