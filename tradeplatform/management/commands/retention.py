"""Says what would be deleted because its days are over; --apply deletes it."""

from __future__ import annotations

import getpass
import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from tradeplatform.configuration import load
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.retention import parts, retention_run


class Command(BaseCommand):
    help = __doc__
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--apply", action="store_true", help="delete it")
        parser.add_argument("--json", action="store_true", help="one JSON object as last line")

    def handle(self, **options: Any) -> None:
        try:
            config = load(settings.CONFIG_FILE)
        except ConfigurationError as error:
            raise CommandError(str(error), returncode=2) from error
        now = timezone.now()
        found = parts(config, now=now)
        if options["apply"]:
            actor = f"command:{getpass.getuser()}"[:120]
            counts = retention_run(config, now=now, with_timers=True, actor=actor)
        else:
            counts = {part.name: part.due() for part in found}
        out = self.stderr if options["json"] else self.stdout
        word = "deleted" if options["apply"] else "would go"
        for part in found:
            out.write(f"{part.name:18} {counts[part.name]:>8} {word}   {part.rule}")
        if options["json"]:
            self.stdout.write(json.dumps({"applied": options["apply"], "counts": counts}))
