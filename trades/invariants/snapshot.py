"""Reading while others write: everything as of one moment, and nobody is held back for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

_BEGIN = {
    "sqlite": "BEGIN DEFERRED",
    "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
}


@contextmanager
def one_moment() -> Iterator[None]:
    """Show every read inside the rows as they were at the first of them.

    A platform at work commits events between two queries: a check of several queries would compare
    rows of different moments and call the difference a breach. Inside a transaction that is open
    already nothing changes. What is done inside must only read.
    """
    if connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN[connection.vendor])
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")
