"""Checks every invariant that the database can answer; exit 1 on any breach."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from monitoring.invariants import CHECKS as MONITORED
from trades.invariants import CHECKS, check_all


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object as last line")

    def handle(self, **options: Any) -> None:
        report = check_all({**CHECKS, **MONITORED})
        for breach in report.breaches:
            self.stderr.write(f"{breach.id} {breach.detail}")
        for invariant_id, reason in report.skipped.items():
            self.stderr.write(f"{invariant_id} skipped in part: {reason}")
        if options["json"]:
            document = {
                "checked": report.checked,
                "skipped": report.skipped,
                "breaches": [asdict(breach) for breach in report.breaches],
            }
            self.stdout.write(json.dumps(document))
        else:
            self.stdout.write(
                f"{len(report.checked)} invariants checked, {len(report.breaches)} breaches"
            )
        if report.breaches:
            sys.exit(1)
