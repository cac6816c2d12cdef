"""The audit log: written with the act, never changed, and a changed byte shows."""

import threading

import pytest
from django.db import DatabaseError, connection, connections, transaction

from accounts.audit import GENESIS_HASH, audit_head, audit_record, audit_verify
from accounts.context import CallContext, call_context
from accounts.errors import AuditRefused
from accounts.models import AuditEvent

pytestmark = pytest.mark.django_db


def record(count=1, **given):
    fields = {"actor": "ada", "action": "limit.change", "reason": "tighter"} | given
    with transaction.atomic():
        return [audit_record(**fields) for _ in range(count)][-1]


def tamper(sql, *values):
    """What somebody with the database file in hand could do: drop the triggers, then write."""
    names = [name for name, kind in triggers() if kind]
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for name in names:
                cursor.execute(f"DROP TRIGGER {name}")
        else:
            cursor.execute("ALTER TABLE accounts_auditevent DISABLE TRIGGER USER")
        cursor.execute(sql, values)


def triggers():
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, type FROM sqlite_master WHERE type = 'trigger'")
        else:
            cursor.execute("SELECT tgname, 'trigger' FROM pg_trigger WHERE NOT tgisinternal")
        return cursor.fetchall()


def test_an_event_keeps_who_when_what_why_and_from_where():
    """SEC-33"""
    reset = call_context.set(CallContext("req-1", "203.0.113.9"))
    event = record(before={"cap": 1}, after={"cap": 0.5}, object_type="limit", object_id="cap")
    call_context.reset(reset)
    stored = AuditEvent.objects.get(pk=event.pk)
    assert (stored.actor, stored.action, stored.reason) == ("ada", "limit.change", "tighter")
    assert (stored.before, stored.after) == ({"cap": 1}, {"cap": 0.5})
    assert (stored.request_id, stored.ip_address) == ("req-1", "203.0.113.9")
    assert stored.at.tzinfo is not None


def test_events_are_numbered_without_a_gap_and_chained_to_their_predecessor():
    """SEC-34"""
    first, second = record(), record()
    assert (first.seq, second.seq) == (1, 2)
    assert first.previous_hash == GENESIS_HASH
    assert second.previous_hash == first.row_hash
    assert audit_head() == (2, second.row_hash)


@pytest.mark.django_db(transaction=True)
def test_an_act_cannot_be_audited_outside_its_transaction():
    """SEC-33"""
    with pytest.raises(AuditRefused, match="outside the act's transaction"):
        audit_record(actor="ada", action="x")
    assert AuditEvent.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_an_act_that_rolls_back_takes_its_audit_event_with_it():
    """SEC-33"""
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        audit_record(actor="ada", action="x")
        _ = 1 / 0
    assert AuditEvent.objects.count() == 0


def test_the_orm_refuses_to_change_or_remove_an_event():
    """SEC-34"""
    event = record()
    event.reason = "prettier"
    rows = AuditEvent.objects.all()
    attempts = [
        event.save,
        event.delete,
        rows.delete,
        lambda: rows.update(reason="prettier"),
        lambda: AuditEvent.objects.bulk_create([event]),
        lambda: AuditEvent.objects.bulk_update([event], ["reason"]),
    ]
    for attempt in attempts:
        with pytest.raises(AuditRefused):
            attempt()
    assert AuditEvent.objects.get().reason == "tighter"


def test_the_database_refuses_what_goes_around_the_orm():
    """SEC-34"""
    record()
    attempts = [
        "UPDATE accounts_auditevent SET reason = 'prettier'",
        "DELETE FROM accounts_auditevent",
    ]
    if connection.vendor == "postgresql":
        attempts.append("TRUNCATE accounts_auditevent")
    for sql in attempts:
        refused = pytest.raises(DatabaseError, match="append-only")
        with refused, transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)
    assert AuditEvent.objects.get().reason == "tighter"


def test_an_untouched_chain_verifies():
    """SEC-34"""
    record(5, before={"weight": 1e22, "name": "Größe", "at": None}, after={"weight": 1e-7})
    assert audit_verify() is None


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("actor", "eve"),
        ("reason", "tightes"),
        ("after", '{"cap": 9}'),
        ("ip_address", "198.51.100.1"),
        ("at", "2020-01-01 00:00:00"),
        ("previous_hash", "f" * 64),
    ],
)
def test_a_changed_column_is_found_at_its_own_row(column, value):
    """SEC-34"""
    record(5, after={"cap": 1})
    tamper(f"UPDATE accounts_auditevent SET {column} = %s WHERE seq = 3", value)
    assert audit_verify() == 3


def test_a_removed_event_is_found_where_it_is_missing():
    """SEC-34"""
    record(5)
    tamper("DELETE FROM accounts_auditevent WHERE seq = %s", 2)
    assert audit_verify() == 2


def test_a_number_that_is_not_finite_is_refused():
    """SEC-43"""
    with pytest.raises(ValueError, match="not JSON compliant"):
        record(after={"cap": float("nan")})


@pytest.mark.django_db(transaction=True)
def test_parallel_acts_get_one_chain():
    """SEC-34"""
    failures = []

    def act():
        try:
            for _ in range(5):
                record()
        except DatabaseError as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=act) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert audit_head()[0] == 20
    assert audit_verify() is None
