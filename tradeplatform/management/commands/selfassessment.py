"""Reports every trading control: its settings, how often it struck, and who reviewed it last."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from typing import Any

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from tradeplatform import self_assessment
from tradeplatform.configuration import load


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object as last line")
        parser.add_argument(
            "--review", metavar="REASON", help="note in the audit log that you have looked"
        )

    def handle(self, **options: Any) -> None:
        document = self_assessment.report(load(settings.CONFIG_FILE), timezone.now())
        if options["review"] is not None:
            try:
                self_assessment.review(
                    actor=f"command:{getpass.getuser()}"[:120],
                    reason=options["review"],
                    document=document,
                )
            except ValueError as error:
                raise CommandError(str(error), returncode=2) from error
            self.stdout.write("reviewed")
        if options["json"]:
            self.stdout.write(orjson.dumps(document).decode())
            return
        for row in document["controls"]:
            set_to = ", ".join(f"{key} {value}" for key, value in row["settings"].items())
            struck = f"struck {row['struck']}"
            self.stdout.write(f"{row['id']:<7} {row['name']:<34} {struck:<12} {set_to}".rstrip())
        last = document["last_review"]
        told = "never" if last is None else f"{last['at']} by {last['actor']}: {last['reason']}"
        self.stdout.write(f"last reviewed: {told}{', due now' if document['is_due'] else ''}")
