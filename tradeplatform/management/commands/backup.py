"""Writes the whole database to one file while the platform trades; mode 0600, with a manifest."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tradeplatform.backup import BackupRefused, backup_create
from tradeplatform.sealed_files import KEY, SealRefused, backup_key


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--json", action="store_true", help="one JSON object as last line")

    def handle(self, **options: Any) -> None:
        try:
            key = backup_key()
            manifest = backup_create(options["file"].resolve(), actor="command line", key=key)
        except (BackupRefused, SealRefused) as error:
            raise CommandError(str(error), returncode=2) from error
        if key is None:
            self.stderr.write(f"Not encrypted: {KEY} is not set.")
        if options["json"]:
            self.stdout.write(json.dumps(asdict(manifest)))
            return
        rows = sum(manifest.counts.values())
        self.stdout.write(f"{options['file']}: {rows} rows, sha256 {manifest.sha256}")
        self.stderr.write("Secrets and the installation's mark are not in it: keep var/ apart.")
