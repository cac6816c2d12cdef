"""Realised gains of a year, first in first out over the account, as a table or a CSV file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tradeplatform.arguments import add_account, number_within, run_of_account
from tradeplatform.configuration_errors import ConfigurationError
from trades.selectors.gains import gain_csv, gain_list, gain_totals


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_account(parser)
        parser.add_argument("--year", required=True, help="UTC")
        parser.add_argument("--csv", metavar="FILE", help="where to write the disposals")

    def handle(self, **options: Any) -> None:
        try:
            year = int(number_within("year", options["year"], 2009, 2200, whole=True))
        except ConfigurationError as error:
            raise CommandError(str(error), returncode=2) from error
        found = gain_list(run=run_of_account(options["account"]), year=year)
        if options["csv"]:
            self._write(Path(options["csv"]), gain_csv(found))
        else:
            self.stdout.write(gain_csv(found))
        for sums in gain_totals(found):
            self.stderr.write(
                f"{year}: {sums['disposals']} disposals, gain {sums['gain_quote']:f} "
                f"{sums['quote']}, {sums['unknown']} of unknown cost left out"
            )

    def _write(self, path: Path, text: str) -> None:
        try:
            path.write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise CommandError(
                f"{path} cannot be written: {error.strerror}", returncode=2
            ) from error
