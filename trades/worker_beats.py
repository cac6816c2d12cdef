"""Signs of life of a trading worker while one task occupies it for longer than a silence may last.

A trading worker has one process. While that builds a session, the heartbeats that are asked of it
wait behind the build, and the watchdog would end a healthy worker and its build with it (F-025).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils.module_loading import import_string

from trades.queues import runs_by_queue

logger = logging.getLogger(__name__)

EVERY_S = 10.0


@contextmanager
def worker_beats(run_id: int) -> Iterator[None]:
    """Write the heartbeat of the worker of ``run_id`` now and every ten seconds of the body.

    For tasks with a hard limit only: until that passes, a body that hangs looks busy. The thread
    ends with the body and with the process. A run that has ended has no worker and no beats.
    """
    queue = next((queue for pk, _, queue in runs_by_queue() if pk == run_id), None)
    if queue is None:
        yield
        return
    # heartbeats live above this room; what writes them is plugged in by name
    write: Callable[[str], None] = import_string(settings.TRADING_WORKER_BEAT)
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(write, queue, done), name="beats", daemon=True)
    _write(write, queue)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()


def _beat(write: Callable[[str], None], queue: str, done: threading.Event) -> None:
    try:
        while not done.wait(EVERY_S):
            _write(write, queue)
    finally:
        # a connection belongs to the thread that opened it
        connection.close()


def _write(write: Callable[[str], None], queue: str) -> None:
    try:
        write(queue)
    except DatabaseError as error:
        # the next is ten seconds away, and what the worker does goes on
        logger.warning("heartbeat of %s was not written: %s", queue, error)
        connection.close_if_unusable_or_obsolete()
