"""How each job of the schedule ended, written down by the worker that ran it (F-025).

A job that is knocked for and never done looks like one that is: only its end tells. The screens
and the watchdog judge the age of what stands here.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from celery.signals import task_postrun
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from monitoring.jobs import LEAST_EVERY_S, tasks_on_schedule
from monitoring.services import job_ended
from tradeplatform.configuration_errors import ConfigurationError

logger = logging.getLogger(__name__)
SUCCESS, FAILURE = "SUCCESS", "FAILURE"


def _words(error: object) -> str:
    """Return what every reader may see of an error: not what stands in a broken file, be it a
    secret in the wrong place; the page of settings tells administrators."""
    if isinstance(error, ConfigurationError):
        return f"ConfigurationError: {Path(settings.CONFIG_FILE).name} cannot be used"
    return f"{type(error).__name__}: {error}"


class JobOutcomes:
    """Hears of every task of one process; writes the end of jobs, a success seldom enough that a
    knock a second costs nothing."""

    def __init__(self) -> None:
        self._told_s: dict[str, float] = {}

    def ended(self, *, task: Any, state: str, retval: Any, **_: Any) -> None:
        if task.name not in tasks_on_schedule() or state not in (SUCCESS, FAILURE):
            return
        now_s = time.monotonic()
        told_s = self._told_s.get(task.name)
        if state == SUCCESS and told_s is not None and now_s - told_s < LEAST_EVERY_S / 2:
            return
        error = _words(retval) if state == FAILURE else ""
        try:
            job_ended(
                task=task.name, error=error, code_version=settings.CODE_VERSION, at=timezone.now()
            )
        except DatabaseError as failure:
            # what the job did stands; its age grows and is judged
            logger.warning("the end of job=%s was not written: %s", task.name, failure)
            return
        # after a failure the next success is told at once
        self._told_s.pop(task.name, None)
        if state == SUCCESS:
            self._told_s[task.name] = now_s

    def connect(self) -> None:
        task_postrun.connect(self.ended, weak=False)  # type: ignore[no-untyped-call]
