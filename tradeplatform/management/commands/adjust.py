"""Declares a deposit (above 0) or withdrawal (below 0), so that it is no gain and no loss."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.errors import Refused
from accounts.money import amount_of
from tradeplatform.arguments import add_account, run_of_account
from trades.requests import request_adjust


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_account(parser)
        parser.add_argument("--asset", required=True)
        parser.add_argument("--amount", required=True, help="for a withdrawal: --amount=-100")
        parser.add_argument("--reason", required=True)

    def handle(self, **options: Any) -> None:
        run = run_of_account(options["account"])
        if run is None:
            raise CommandError("no run is open, there are no books to adjust", returncode=2)
        try:
            amount = amount_of("amount", options["amount"])
            if amount is None:
                raise CommandError("amount was empty, allowed: a number", returncode=2)
            row = request_adjust(
                run=run,
                asset=options["asset"],
                amount=amount,
                actor="command line",
                reason=options["reason"],
            )
        except Refused as error:
            raise CommandError(str(error), returncode=2) from error
        self.stdout.write(f"request {row.pk} waits for the trading worker")
