"""Closing what a worker holds open to the database, counted before and after (ORC-43)."""

from __future__ import annotations

from pathlib import Path

import psutil
from django.db import close_old_connections, connection, connections

from resources.actions.relief import Relief


def connections_closed() -> Relief:
    """Close connections of this process that are past their age or unusable; count the rest.

    On SQLite a connection is a file descriptor of the database; on PostgreSQL a server process.
    """
    before = float(_held())
    close_old_connections()
    for each in connections.all(initialized_only=True):
        # between two tasks: nothing of this process is inside a transaction
        if not each.in_atomic_block:
            each.close()
    after = float(_held())
    return Relief(
        {"connections": before},
        {"connections": after},
        {"connections": max(before - after, 0.0)},
    )


def _held() -> int:
    if connection.vendor != "sqlite":
        return sum(each.connection is not None for each in connections.all(initialized_only=True))
    name = Path(str(connection.settings_dict["NAME"])).resolve()
    return sum(Path(file.path) == name for file in psutil.Process().open_files())
