"""How long a call waits for the database's locks: a person who halts must not wait for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

WAIT_S = 1.0


@contextmanager
def brief_wait(wait_s: float = WAIT_S) -> Iterator[None]:
    """Wait for locks of this connection no longer than ``wait_s`` while the body runs."""
    before = _lock_wait(None)
    _lock_wait(f"{round(wait_s * 1000)}")
    try:
        yield
    finally:
        _lock_wait(before)


def _lock_wait(milliseconds: str | None) -> str | None:
    """Read how long this connection waits for a lock (None), or set it."""
    is_lite = connection.vendor == "sqlite"
    name = "busy_timeout" if is_lite else "lock_timeout"
    with connection.cursor() as cursor:
        if milliseconds is None:
            cursor.execute(f"PRAGMA {name}" if is_lite else f"SHOW {name}")
            return str(cursor.fetchone()[0])
        if is_lite:
            cursor.execute(f"PRAGMA {name} = {int(milliseconds)}")
        else:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [milliseconds])
    return None
