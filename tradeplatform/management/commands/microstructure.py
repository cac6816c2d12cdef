"""Measures how much of a price move recorded order flow explains, and whether it foretells any."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from market.errors import DataError
from research.core.order_flow_study import OrderFlowStudy
from research.order_book_files import evaluate

_COLUMNS = (
    "horizon_s",
    "n",
    "ofi_r2",
    "ofi_netted_r2",
    "multi_level_adjusted_r2",
    "multi_level_netted_adjusted_r2",
    "integrated_r2",
    "trade_imbalance_r2",
    "both_r2",
    "predictive_r2",
)


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["evaluate"])
        parser.add_argument("--depth", metavar="FILE", help="depth updates with their snapshot")
        parser.add_argument("--quotes", metavar="FILE", help="best quotes")
        parser.add_argument("--trades", metavar="FILE")
        parser.add_argument("--json", action="store_true")

    def handle(self, **options: Any) -> None:
        try:
            found = evaluate(
                depth=options["depth"], quotes=options["quotes"], trades=options["trades"]
            )
        except DataError as error:
            raise CommandError(str(error), returncode=2) from error
        if options["json"]:
            self.stdout.write(orjson.dumps(asdict(found)).decode())
        else:
            self._table(found)

    def _table(self, found: OrderFlowStudy) -> None:
        for name, value in asdict(found).items():
            if name != "horizons":
                self.stdout.write(f"{name:24} {value}")
        self.stdout.write("".join(f"{name:>31}" for name in _COLUMNS))
        for horizon in found.horizons:
            cells = (getattr(horizon, name) for name in _COLUMNS)
            self.stdout.write("".join(f"{_cell(cell):>31}" for cell in cells))


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4f}"
