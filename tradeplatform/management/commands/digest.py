"""Prints the digest of a stored run's decisions and fills, comparable with a replay's."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from trades.digest import run_digest
from trades.models import Decision, Fill, TradingRun
from trades.retention import is_thinned


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--run", metavar="CODE", help="left out: the newest run")

    def handle(self, **options: Any) -> None:
        runs = TradingRun.objects.order_by("-started_at")
        if options["run"]:
            runs = runs.filter(code__startswith=options["run"])
        run = runs.first()
        if run is None:
            raise CommandError(f"--run was {options['run']}, allowed: a run's code", returncode=2)
        decisions = Decision.objects.filter(run=run).order_by("bar_close_at")
        first, last = decisions.first(), decisions.last()
        document = {
            "run": str(run.code),
            "digest": run_digest(run),
            "decisions": decisions.count(),
            "fills": Fill.objects.filter(run=run).count(),
            "first_bar_close": first.bar_close_at if first else None,
            "last_bar_close": last.bar_close_at if last else None,
        }
        if is_thinned(run):
            self.stderr.write("old holds were thinned: this digest is not that of a replay")
        self.stdout.write(orjson.dumps(document).decode())
