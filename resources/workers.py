"""The Celery workers from outside: which there are, how many pool processes, what they consume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import Celery, current_app
from kombu.exceptions import OperationalError

from resources.errors import ActionFailed

_TIMEOUT_S = 2.0
_BROKER_ERRORS = (OperationalError, OSError)
# A task that was not taken up by then is not done any more.
EXPIRES_S = 60


class Workers:
    """Speaks to workers through the broker. A broker that is away raises ActionFailed."""

    def __init__(self, app: Celery | None = None) -> None:
        self._app = app or current_app

    def pools(self, name: str) -> dict[str, int]:
        """Return the pool size of each worker of a name, by its full name, over all hosts."""
        try:
            stats = self._app.control.inspect(timeout=_TIMEOUT_S).stats() or {}
        except _BROKER_ERRORS as error:
            raise ActionFailed(f"the broker did not answer: {error}") from error
        return {
            worker: len(told.get("pool", {}).get("processes", ()))
            for worker, told in sorted(stats.items())
            if worker.partition("@")[0].rstrip("0123456789") == name
        }

    def resize(self, worker: str, by: int) -> None:
        """Grow or shrink one worker's pool by so many processes."""
        control = self._app.control
        call = control.pool_grow if by > 0 else control.pool_shrink
        self._told(call(abs(by), destination=[worker], reply=True, timeout=_TIMEOUT_S), worker)

    def consume(self, worker: str, queue: str, *, is_on: bool) -> None:
        """Let a worker take messages of a queue, or leave them where they are."""
        control = self._app.control
        call = control.add_consumer if is_on else control.cancel_consumer
        self._told(call(queue, destination=[worker], reply=True, timeout=_TIMEOUT_S), worker)

    def consumes(self, queue: str) -> list[str]:
        """Return the full names of the workers that take messages of a queue."""
        try:
            found = self._app.control.inspect(timeout=_TIMEOUT_S).active_queues() or {}
        except _BROKER_ERRORS as error:
            raise ActionFailed(f"the broker did not answer: {error}") from error
        return sorted(w for w, queues in found.items() if any(q["name"] == queue for q in queues))

    def send(self, task: str, queue: str, arguments: Mapping[str, Any]) -> None:
        try:
            self._app.send_task(task, kwargs=dict(arguments), queue=queue, expires=EXPIRES_S)
        except _BROKER_ERRORS as error:
            raise ActionFailed(f"the broker did not take the task: {error}") from error

    def _told(self, replies: Any, worker: str) -> None:
        answers = {name: told for reply in replies or () for name, told in reply.items()}
        if "ok" not in (answers.get(worker) or {}):
            raise ActionFailed(f"{worker} did not do it: {answers.get(worker, 'no answer')}")
