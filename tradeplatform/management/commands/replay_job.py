"""Works on one replay job that a worker claimed; started by it, not by hand."""

from __future__ import annotations

import uuid
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from tradeplatform.replay_jobs import claimed_job, job_run, stay_small


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("code", type=uuid.UUID)
        parser.add_argument("attempt", type=int, help="the claim it was started for")

    def handle(self, **options: Any) -> None:
        job = claimed_job(options["code"], options["attempt"])
        if job is None:
            raise CommandError(
                f"replay {options['code']} is not claimed for attempt {options['attempt']}",
                returncode=2,
            )
        stay_small(settings.RESEARCH_MEMORY_MB)
        self.stdout.write(f"replay {job.code} {job_run(job)}")
