"""Starts the process of a replay or a sweep: its own interpreter, low priority, no shell."""

from __future__ import annotations

import os
import subprocess
import sys

from django.conf import settings

from research.models import ReplayJob, Sweep

# one thread a library: a replay takes one core, never the ones that trade
ONE_THREAD = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}


def child_start(command: str, job: ReplayJob | Sweep) -> None:
    """Start ``manage.py COMMAND CODE ATTEMPT`` and do not wait for it."""
    child_run(command, str(job.code), str(job.attempts))


def child_run(*words: str) -> None:
    """Start ``manage.py WORDS`` and do not wait for it.

    It stays in the worker's process group: whoever ends the worker for good ends it too, and the
    job's claim runs out. What it says on standard error stands in the worker's log.
    """
    argv = [sys.executable, "manage.py", *words]
    subprocess.Popen(  # noqa: S603 (our own command, UUIDs and dates)
        argv,
        cwd=settings.BASE_DIR,
        env=os.environ | ONE_THREAD,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
