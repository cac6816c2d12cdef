"""The audit log: append-only, hash-chained, written in the transaction of the act."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection
from django.utils import timezone

from accounts.context import call_context
from accounts.errors import AuditRefused
from accounts.models import AuditEvent

GENESIS_HASH = "0" * 64
# any constant: names the lock under which PostgreSQL hands out the next number
_CHAIN_LOCK = 0x5ADE_A0D1
Details = Mapping[str, Any] | None


def audit_record(
    *,
    actor: str,
    action: str,
    object_type: str = "",
    object_id: str = "",
    reason: str = "",
    before: Details = None,
    after: Details = None,
    request_id: str = "",
    ip_address: str = "",
    at: datetime | None = None,
) -> AuditEvent:
    """Append one act to the audit log, chained to the event before it (SEC-33, SEC-34).

    Request id and address default to those of the call being served. ``before`` and ``after``
    must be JSON with finite numbers; decimals and times become text.

    Raises:
        AuditRefused: called outside a transaction, where the act could commit without it.
        ValueError: a number that was not finite.
    """
    if not connection.in_atomic_block:
        raise AuditRefused(f"audit of {action!r} was asked for outside the act's transaction")
    _lock_chain()
    call = call_context.get()
    last = AuditEvent.objects.order_by("-seq").values("seq", "row_hash").first()
    event = AuditEvent(
        seq=last["seq"] + 1 if last else 1,
        at=at or timezone.now(),
        actor=actor[:120],
        action=action[:80],
        object_type=object_type[:60],
        object_id=object_id[:120],
        reason=reason,
        before=_plain(before),
        after=_plain(after),
        request_id=(request_id or call.request_id)[:64],
        ip_address=(ip_address or call.ip_address)[:45],
        previous_hash=last["row_hash"] if last else GENESIS_HASH,
    )
    event.row_hash = audit_hash(event)
    event.save(force_insert=True)
    return event


def audit_hash(event: AuditEvent) -> str:
    """Return the SHA-256 of an event's canonical JSON, its predecessor's hash included."""
    content = {
        "seq": event.seq,
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": event.actor,
        "action": event.action,
        "object_type": event.object_type,
        "object_id": event.object_id,
        "reason": event.reason,
        "before": _canonical(event.before),
        "after": _canonical(event.after),
        "request_id": event.request_id,
        "ip_address": event.ip_address,
        "previous_hash": event.previous_hash,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def audit_verify() -> int | None:
    """Walk the whole chain; return the first ``seq`` that does not hold, None where all do.

    A changed row fails at itself; a removed one at its successor (or at itself by number).
    """
    previous, expected_seq = GENESIS_HASH, 1
    for event in AuditEvent.objects.order_by("seq").iterator(chunk_size=2_000):
        broken = (
            event.seq != expected_seq
            or event.previous_hash != previous
            or event.row_hash != audit_hash(event)
        )
        if broken:
            return expected_seq if event.seq != expected_seq else event.seq
        previous, expected_seq = event.row_hash, expected_seq + 1
    return None


def audit_head() -> tuple[int, str]:
    """Return number and hash of the newest event; (0, genesis) where there is none."""
    last = AuditEvent.objects.order_by("-seq").values_list("seq", "row_hash").first()
    return last or (0, GENESIS_HASH)


def _lock_chain() -> None:
    # SQLite's immediate transactions already have one writer; PostgreSQL needs a queue for "next".
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CHAIN_LOCK])


def _plain(value: Details) -> Any:
    if value is None:
        return None
    return json.loads(json.dumps(dict(value), cls=DjangoJSONEncoder, allow_nan=False))


def _canonical(value: Any) -> Any:
    """Spell whole floats as integers: jsonb gives 1e22 back as an integer, SQLite as a float."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return value
