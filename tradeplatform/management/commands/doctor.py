"""Writes a diagnostic bundle with secrets removed, for somebody who helps; asks no venue."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.doctor import bundle, write_zip


class Command(BaseCommand):
    help = __doc__
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", default="", help="a zip that is not there yet")
        parser.add_argument("--json", action="store_true", help="print it, write no file")
        parser.add_argument("--quick", action="store_true", help="leave the invariants unchecked")

    def handle(self, **options: Any) -> None:
        try:
            document = bundle(check=not options["quick"])
        except ConfigurationError as error:
            raise CommandError(str(error), returncode=2) from error
        if options["json"]:
            self.stdout.write(json.dumps(document))
            return
        stamp = f"{timezone.now():%Y%m%dT%H%M%S}"
        path = Path(options["file"] or Path(settings.VAR_DIR) / f"doctor-{stamp}.zip")
        try:
            size = write_zip(document, path)
        except FileExistsError as error:
            raise CommandError(f"file was {path}, allowed: a new one", returncode=2) from error
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}", returncode=2) from error
        for name, section in document.items():
            if isinstance(section, dict) and "could_not_be_read" in section:
                self.stderr.write(f"{name} could not be read: {section['could_not_be_read']}")
        self.stdout.write(f"{path}: {size} bytes, secrets removed; read it before you send it")
