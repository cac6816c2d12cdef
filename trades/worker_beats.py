"""Signs of life of a worker while one task occupies it for longer than a silence may last.

A worker has one process. While that builds a session or deletes old rows, the heartbeats that are
asked of it wait behind the work, and the watchdog would end a healthy worker and its work with it
(F-025).
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
GENERAL = "general"


@contextmanager
def worker_beats(run_id: int) -> Iterator[None]:
    """Write the heartbeat of the worker of ``run_id`` now and every ten seconds of the body.

    A run that has ended has no worker and no beats.
    """
    queue = next((queue for pk, _, queue in runs_by_queue() if pk == run_id), None)
    if queue is None:
        yield
        return
    with beats_of(queue):
        yield


@contextmanager
def beats_of(component: str) -> Iterator[None]:
    """Write the heartbeat of a component now and every ten seconds of the body.

    For tasks with a hard limit only: until that passes, a body that hangs looks busy. The thread
    ends with the body and with the process.
    """
    # heartbeats live above this room; what writes them is plugged in by name
    write: Callable[[str], None] = import_string(settings.WORKER_BEAT)
    done = threading.Event()
    arguments = (write, component, done)
    beating = threading.Thread(target=_beat, args=arguments, name="beats", daemon=True)
    _write(write, component)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()


def _beat(write: Callable[[str], None], component: str, done: threading.Event) -> None:
    try:
        while not done.wait(EVERY_S):
            _write(write, component)
    finally:
        # a connection belongs to the thread that opened it
        connection.close()


def _write(write: Callable[[str], None], component: str) -> None:
    try:
        write(component)
    except DatabaseError as error:
        # the next is ten seconds away, and what the worker does goes on
        logger.warning("heartbeat of %s was not written: %s", component, error)
        connection.close_if_unusable_or_obsolete()
