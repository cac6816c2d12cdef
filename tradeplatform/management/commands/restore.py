"""Puts a backup in the place of the database; refused while anything runs. The old one is kept."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from tradeplatform.backup import BackupRefused
from tradeplatform.restoring import backup_restore
from tradeplatform.sealed_files import SealRefused, opened


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument(
            "--other-version",
            action="store_true",
            help="accept a backup that other code of the same schema made",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object as last line")

    def handle(self, **options: Any) -> None:
        try:
            with opened(options["file"].resolve(), folder=settings.VAR_DIR) as plain:
                done = backup_restore(
                    plain, actor="command line", other_version=options["other_version"]
                )
        except (BackupRefused, SealRefused) as error:
            raise CommandError(str(error), returncode=2) from error
        if options["json"]:
            document = {
                "made_at": done.manifest.made_at,
                "replaced": str(done.replaced),
                "sessions_ended": done.sessions_ended,
                "tokens_revoked": done.tokens_revoked,
                "state": done.state.value,
            }
            self.stdout.write(json.dumps(document))
            return
        self.stdout.write(f"restored the database of {done.manifest.made_at}")
        self.stdout.write(f"the one it replaces: {done.replaced}")
        self.stdout.write(
            f"{done.sessions_ended} sessions ended, {done.tokens_revoked} tokens revoked; users and"
            f" passwords are the backup's. Trading is {done.state} until an operator resumes."
        )
