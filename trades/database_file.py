"""Whether the SQLite file that is written to is still the one under its name (F-036).

A file that is moved away or replaced lives on for whoever has it open: what is written there is
written for nobody, and an intent that no restart would find is as good as none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.signals import connection_created
from django.dispatch import receiver

Identity = tuple[int, int]
"""Device and number of a file; it keeps them when it is renamed."""

_opened: WeakKeyDictionary[Any, Identity | None] = WeakKeyDictionary()


@receiver(connection_created)
def _note(connection: Any, **_: Any) -> None:
    _opened[connection] = identity(connection)


def identity(of: Any = None) -> Identity | None:
    """Return what the name of the database leads to now; None where no file stands there, as for
    a server or a database in memory."""
    of = of or connections[DEFAULT_DB_ALIAS]
    if of.vendor != "sqlite":
        return None
    try:
        found = Path(of.settings_dict["NAME"]).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def was_replaced() -> bool:
    """True where this thread's open connection writes to a file that its name leads to no more."""
    opened = _opened.get(connections[DEFAULT_DB_ALIAS])
    return opened is not None and identity() != opened
