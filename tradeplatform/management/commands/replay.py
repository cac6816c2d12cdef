"""Runs the real session over history with the paper broker and prints what it found."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from market.errors import DataError
from research.core.journal import MemoryJournal
from research.core.traced_journal import ReportJournal
from strategies.core.errors import StrategyError
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.replay_files import made_lines, out_folder, write_report
from tradeplatform.replay_request import add_arguments, read_request, report_journal


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)
        parser.add_argument("--layer", choices=["on", "off"], default="off")
        parser.add_argument(
            "--out", metavar="DIR", help="writes report.html, report.json, result.json, trades.csv"
        )

    def handle(self, **options: Any) -> None:
        try:
            folder = None if options["out"] is None else out_folder(options["out"])
            request = read_request(options)
            wiring, result = request.run(
                with_layer=options["layer"] == "on",
                journal=MemoryJournal if folder is None else ReportJournal,
            )
            if folder is not None:
                made = made_lines(options, request.config.digest())
                closed = report_journal(wiring).closed
                write_report(folder, result, request.report(wiring, result), made, closed)
        except (DataError, ConfigurationError, StrategyError) as error:
            raise CommandError(str(error), returncode=2) from error
        if options["json"]:
            self.stdout.write(orjson.dumps(asdict(result)).decode())
        else:
            self._tell(asdict(result))

    def _tell(self, values: dict[str, Any], indent: str = "") -> None:
        """One line a figure; what the layer did stands indented below its name."""
        for name, value in values.items():
            if isinstance(value, dict):
                self.stdout.write(f"{indent}{name}")
                self._tell(value, f"{indent}  ")
            elif isinstance(value, list):
                self.stdout.write(f"{indent}{name:24} {len(value)}")
                for row in value:
                    words = ", ".join(f"{key} {one}" for key, one in row.items())
                    self.stdout.write(f"{indent}  {words}")
            else:
                self.stdout.write(f"{indent}{name:24} {_figure(value)}")


def _figure(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
