"""How long tasks take, how often they fail, and how late the knocks arrive."""

from __future__ import annotations

import time
from typing import Any

from celery.signals import before_task_publish, task_postrun, task_prerun

from resources.counters import work

# The header that tells how long a message waited
PUBLISHED_AT = "published_at"
# The knock of the trading loop: how late it arrives is the lag of the tick.
TICK = "trades.tasks.advance_due"
_FAILED = ("FAILURE", "RETRY")
_BEGAN = "resources_began_s"


def connect() -> None:
    """Count the tasks of this process from now on; connecting again changes nothing."""
    before_task_publish.connect(_publishing, dispatch_uid="resources.publishing")
    task_prerun.connect(_begins, dispatch_uid="resources.begins")
    task_postrun.connect(_ends, dispatch_uid="resources.ends")


def _publishing(headers: dict[str, Any] | None = None, **_: Any) -> None:
    if headers is not None:
        headers[PUBLISHED_AT] = time.time()


def _begins(task: Any = None, **_: Any) -> None:
    setattr(task.request, _BEGAN, time.monotonic())
    published = (getattr(task.request, "headers", None) or {}).get(PUBLISHED_AT)
    published = published or getattr(task.request, PUBLISHED_AT, None)
    if task.name == TICK and published is not None:
        work().add("tick", max(time.time() - float(published), 0.0))


def _ends(task: Any = None, state: str | None = None, **_: Any) -> None:
    began = getattr(task.request, _BEGAN, None)
    if began is not None:
        work().add("task", time.monotonic() - began, failed=state in _FAILED)
