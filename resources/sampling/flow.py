"""Work done, queues, the database: what counters, the broker and the database tell."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError, connection

from resources.celery_counting import PUBLISHED_AT
from resources.core.readings import Reading
from resources.core.windows import percentile_of_buckets
from resources.counters import UPPER_MS, Count, CounterReader
from trades.queues import TRADING, runs_by_queue

# besides those of accounts beside ``main``, which open runs name
QUEUES = (TRADING, "io", "optimization", "research")
_TIMEOUT_S = 1.0


class WorkSampler:
    """Latency, throughput and errors of what was done since the round before (ORC-27 to -29)."""

    def __init__(self, reader: CounterReader) -> None:
        self._reader = reader
        self._last_s: float | None = None

    def read(self, at_ms: int) -> list[Reading]:
        counts, now_s = self._reader.since_last(), time.monotonic()
        before, self._last_s = self._last_s, now_s
        if before is None:
            return []
        span_s = max(now_s - before, 1e-3)
        return [
            r for kind, count in counts.items() for r in work_readings(kind, count, span_s, at_ms)
        ]


def work_readings(kind: str, count: Count, span_s: float, at_ms: int) -> list[Reading]:
    """Return what one kind of work came to in ``span_s`` seconds; idle reads a throughput of 0."""
    subject = f"work:{kind}"
    times = {
        name: percentile_of_buckets(count.buckets, UPPER_MS, fraction)
        for name, fraction in (("p50", 0.50), ("p95", 0.95), ("p99", 0.99))
    }
    return [
        *(Reading(subject, name, value, at_ms) for name, value in times.items()),
        Reading(subject, "throughput", count.done / span_s, at_ms),
        Reading(subject, "failures", count.failed / span_s, at_ms),
        Reading(subject, "errors", count.failed / count.done if count.done else None, at_ms),
    ]


class QueueSampler:
    """How many messages wait and for how long; the broker unreachable is None, not 0.

    Where the database does not say which accounts trade, the queues of the round before count."""

    def __init__(self, client: Any = None) -> None:
        self._redis = client or redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        )
        self._apart: list[str] = []

    def read(self, at_ms: int) -> list[Reading]:
        with suppress(DatabaseError):
            self._apart = sorted({queue for _, _, queue in runs_by_queue()} - {TRADING})
        prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("global_keyprefix", "")
        found = []
        for queue in (*QUEUES, *self._apart):
            depth = age = None
            try:
                pipe = self._redis.pipeline(transaction=False)
                pipe.llen(f"{prefix}{queue}")
                # new messages are pushed on the left: the right end waits longest
                pipe.lindex(f"{prefix}{queue}", -1)
                length, oldest = pipe.execute()
                depth, age = float(length), _age_s(oldest, at_ms)
            except redis.RedisError:
                pass
            found.append(Reading(f"queue:{queue}", "depth", depth, at_ms))
            found.append(Reading(f"queue:{queue}", "age", age, at_ms))
        return found


def _age_s(message: bytes | None, at_ms: int) -> float | None:
    if message is None:
        return 0.0
    try:
        headers: Mapping[str, Any] = json.loads(message)["headers"]
        return max(at_ms / 1000.0 - float(headers[PUBLISHED_AT]), 0.0)
    except (ValueError, KeyError, TypeError):
        return None


class DatabaseSampler:
    """Size of the database and how many connections this installation holds (ORC-43)."""

    def read(self, at_ms: int) -> list[Reading]:
        size = connections = None
        try:
            if connection.vendor == "sqlite":
                size = _sqlite_bytes(str(connection.settings_dict["NAME"]))
            else:
                size, connections = _postgres()
        except (DatabaseError, OSError):
            pass
        found = [Reading("database", "size", size, at_ms)]
        if connection.vendor != "sqlite":
            found.append(Reading("database", "connections", connections, at_ms))
        return found


def _sqlite_bytes(name: str) -> float:
    # sizes only: neither the database nor its log is ever opened here
    files = [Path(name), Path(f"{name}-wal")]
    return float(sum(path.stat().st_size for path in files if path.exists()))


def _postgres() -> tuple[float, float]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_database_size(current_database()),"
            " (SELECT count(*) FROM pg_stat_activity"
            "  WHERE datname = current_database() AND usename = current_user)"
        )
        size, count = cursor.fetchone()
    return float(size), float(count)
