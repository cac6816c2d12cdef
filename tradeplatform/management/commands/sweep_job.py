"""Works on one sweep that a worker claimed; started by it, not by hand."""

from __future__ import annotations

import uuid
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from research.models import Sweep, SweepStatus
from tradeplatform.replay_jobs import stay_small
from tradeplatform.sweep_jobs import sweep_run


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("code", type=uuid.UUID)
        parser.add_argument("attempt", type=int, help="the claim it was started for")

    def handle(self, **options: Any) -> None:
        sweep = Sweep.objects.filter(
            code=options["code"], attempts=options["attempt"], status=SweepStatus.RUNNING
        ).first()
        if sweep is None:
            raise CommandError(
                f"sweep {options['code']} is not claimed for attempt {options['attempt']}",
                returncode=2,
            )
        stay_small(settings.RESEARCH_MEMORY_MB)
        self.stdout.write(f"sweep {sweep.code} {sweep_run(sweep)}")
