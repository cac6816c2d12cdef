"""Asks the current run to close a position at the market, whole or part; needs a reason."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.errors import Refused
from accounts.money import amount_of
from tradeplatform.arguments import add_account, run_of_account
from trades.requests import request_close
from trades.selectors.requests import position_by_id


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_account(parser)
        parser.add_argument("position", help="an id that `positions` lists")
        parser.add_argument("--quantity", help="in base units; left out: all of it")
        parser.add_argument("--fraction", help="of what is held, 0.5 is half")
        parser.add_argument("--reason", required=True)

    def handle(self, **options: Any) -> None:
        run = run_of_account(options["account"])
        held = None if run is None else position_by_id(run=run, position_id=options["position"])
        if run is None or held is None:
            raise CommandError(
                f"position was {options['position']!r}, allowed: an id that `positions` lists",
                returncode=2,
            )
        try:
            row = request_close(
                run=run,
                strategy=held.strategy,
                symbol=held.symbol,
                quantity_base=amount_of("quantity", options["quantity"]),
                fraction=amount_of("fraction", options["fraction"]),
                actor="command line",
                reason=options["reason"],
            )
        except Refused as error:
            raise CommandError(str(error), returncode=2) from error
        self.stdout.write(f"request {row.pk} waits for the trading worker")
