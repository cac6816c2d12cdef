"""SQLite's REPLACE removes a row without firing its delete trigger: refuse it at the insert."""

from django.db import migrations

INSTALL = """CREATE TRIGGER audit_no_replace BEFORE INSERT ON accounts_auditevent
    WHEN EXISTS (SELECT 1 FROM accounts_auditevent WHERE id = NEW.id OR seq = NEW.seq
                 OR row_hash = NEW.row_hash)
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"""
REMOVE = "DROP TRIGGER audit_no_replace"


def install(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute(INSTALL)


def remove(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute(REMOVE)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_audit_append_only")]
    operations = [migrations.RunPython(install, remove)]
