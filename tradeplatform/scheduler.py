"""Beat with a heartbeat of its own: who only knocks is noticed first when it stops (F-025)."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django_celery_beat.schedulers import DatabaseScheduler

from monitoring.services import heartbeat
from tradeplatform.watchdog import HEARTBEAT_EVERY_S

logger = logging.getLogger(__name__)


class BeatScheduler(DatabaseScheduler):
    """The database's schedule; writes a heartbeat after a tick, at most each ten seconds."""

    _told_at = float("-inf")

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Send what is due; return the seconds until the next tick."""
        wait_s = super().tick(*args, **kwargs)  # type: ignore[no-untyped-call]
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
