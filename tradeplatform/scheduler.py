"""Beat with a heartbeat of its own: who only knocks is noticed first when it stops (F-025).

It also knocks on the runs of accounts with workers of their own; those of the queue ``trading`` are
knocked on by its workers, from the schedule.
"""

from __future__ import annotations

import logging
import time
from contextlib import closing
from datetime import timedelta
from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone
from django_celery_beat.schedulers import DatabaseScheduler
from kombu.exceptions import OperationalError

from monitoring.services import heartbeat
from tradeplatform.tasks import heartbeat_account
from tradeplatform.watchdog import HEARTBEAT_EVERY_S
from trades.queues import TRADING, runs_by_queue
from trades.tasks import advance

logger = logging.getLogger(__name__)

KNOCK_EVERY_S = 1.0
# Knocks nobody takes (an account's worker is not up yet) must not fill the broker.
MOST_WAITING = 30
_BROKER_TIMEOUT_S = 1.0
_ROUNDING = timedelta(seconds=1)


class BeatScheduler(DatabaseScheduler):
    """The database's schedule; writes a heartbeat after a tick, at most each ten seconds."""

    _told_at = _knocked_at = _asked_at = float("-inf")

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Send what is due; return the seconds until the next tick."""
        self.forgive_the_future()
        wait_s = super().tick(*args, **kwargs)  # type: ignore[no-untyped-call]
        if time.monotonic() - self._knocked_at >= KNOCK_EVERY_S:
            self._knocked_at = time.monotonic()
            try:
                self.knock_apart()
            except (DatabaseError, OperationalError, redis.RedisError) as error:
                # the next knock is a second away
                logger.warning("runs of other accounts were not knocked on: %s", error)
        if time.monotonic() - self._told_at >= HEARTBEAT_EVERY_S:
            self._told_at = time.monotonic()
            try:
                heartbeat(
                    component="beat",
                    expected_every_s=HEARTBEAT_EVERY_S,
                    code_version=settings.CODE_VERSION,
                )
            except DatabaseError as error:
                # the knocks go on; the watchdog sees the age
                logger.warning("heartbeat of beat was not written: %s", error)
        return wait_s

    def forgive_the_future(self) -> None:
        """Let what ran in the future run from now on: the clock was set back, and what waits for
        that time to come again would be silent as long, trading too (F-027)."""
        now = timezone.now()
        ahead = [entry for entry in self.schedule.values() if entry.last_run_at > now + _ROUNDING]
        for entry in ahead:
            entry.last_run_at = entry.model.last_run_at = now
        if ahead:
            logger.warning("the clock was set back: %d jobs run from now on", len(ahead))
            # the order in which they are due was of the other time
            self._heap = None

    def knock_apart(self) -> None:
        """Knock on every open run whose account has a worker of its own, and ask that worker for a
        sign of life each ten seconds; losing a knock is free (F-025)."""
        apart = [(run, queue) for run, _, queue in runs_by_queue() if queue != TRADING]
        is_due = time.monotonic() - self._asked_at >= HEARTBEAT_EVERY_S
        if is_due:
            self._asked_at = time.monotonic()
        for run_id, queue in apart:
            if waiting(queue) > MOST_WAITING:
                continue
            advance.apply_async((run_id,), queue=queue, expires=2, retry=False)
            if is_due:
                heartbeat_account.apply_async(
                    (queue,), queue=queue, expires=HEARTBEAT_EVERY_S, retry=False
                )


def waiting(queue: str) -> int:
    """Return how many messages nobody has taken from a queue yet."""
    prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"]
    client = redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=_BROKER_TIMEOUT_S,
        socket_connect_timeout=_BROKER_TIMEOUT_S,
    )
    with closing(client):
        return int(client.llen(f"{prefix}{queue}"))
