"""The platform's database seen from outside: plain SQL, and what may happen to it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import psycopg

Rows = list[tuple[Any, ...]]
Query = Callable[[str], Rows]


class Database(Protocol):
    """One of the two databases the platform runs on."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that lead every process to it."""

    def query(self, sql: str) -> Rows:
        """Read; a time is text, in UTC and without a zone."""

    def hold(self, seconds: float) -> None:
        """Let nobody else write for a while (F-033)."""

    def cut(self) -> int:
        """Break every connection there is and return how many (F-040); 0 where there are none."""


@dataclass(frozen=True)
class Sqlite:
    path: Path

    @property
    def environment(self) -> Mapping[str, str]:
        return {}

    def query(self, sql: str) -> Rows:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=20)) as db:
            return db.execute(sql).fetchall()

    def hold(self, seconds: float) -> None:
        with closing(sqlite3.connect(self.path, timeout=20)) as db:
            db.execute("BEGIN EXCLUSIVE")
            time.sleep(seconds)
            db.rollback()

    def cut(self) -> int:
        return 0


@dataclass(frozen=True)
class Postgres:
    url: str

    @property
    def environment(self) -> Mapping[str, str]:
        return {"DATABASE_URL": self.url}

    def query(self, sql: str) -> Rows:
        with psycopg.connect(self.url) as db:
            return [tuple(map(_as_sqlite, row)) for row in db.execute(sql).fetchall()]

    def hold(self, seconds: float) -> None:
        with psycopg.connect(self.url) as db:
            db.execute("LOCK TABLE trades_order, trades_lease IN ACCESS EXCLUSIVE MODE")
            time.sleep(seconds)
            db.rollback()

    def cut(self) -> int:
        cut = self.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return len(cut)


def _as_sqlite(value: Any) -> Any:
    if isinstance(value, datetime):
        return str(value.astimezone(UTC).replace(tzinfo=None))
    return value
