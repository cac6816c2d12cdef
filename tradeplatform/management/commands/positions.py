"""Lists what the current run holds, with the id by which a position is closed."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

import orjson
from django.core.management.base import BaseCommand

from tradeplatform.arguments import add_account, run_of_account
from trades.selectors import position_list


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_account(parser)
        parser.add_argument("--json", action="store_true", help="one JSON object on the last line")

    def handle(self, **options: Any) -> None:
        held = position_list(run=run_of_account(options["account"]))
        if options["json"]:
            rows = [{"id": p.position_id, **asdict(p)} for p in held]
            self.stdout.write(orjson.dumps({"positions": rows}, default=str).decode())
            return
        for p in held:
            result = "unknown" if p.unrealised_pnl_quote is None else f"{p.unrealised_pnl_quote:f}"
            self.stdout.write(
                f"{p.position_id}  {p.side} {p.quantity_base:f} at {p.average_price:f}, "
                f"stop {p.stop_price or 'none'}, target {p.target_price or 'none'}, "
                f"result {result}"
            )
        self.stdout.write(f"{len(held)} open position(s)")
