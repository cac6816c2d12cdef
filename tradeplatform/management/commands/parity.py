"""Makes a day's decisions again, matches its fills and labels each difference."""

from __future__ import annotations

import uuid
from argparse import ArgumentParser
from datetime import UTC, date, datetime
from typing import Any

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from research.models import ParityDay
from research.parity import first_kept_day, runs_judged, whole_days
from tradeplatform.parity import parity_run
from tradeplatform.replay_jobs import stay_small
from trades.models import TradingRun

SHOWN = 20


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--day", metavar="YYYY-MM-DD", help="UTC; default: its last whole day")
        parser.add_argument("--run", metavar="CODE", help="default: every open run")
        parser.add_argument("--quiet", action="store_true", help="at the lowest priority")
        parser.add_argument("--json", action="store_true")

    def handle(self, **options: Any) -> None:
        day = _day(options["day"])
        runs = [_run(options["run"])] if options["run"] else list(runs_judged().order_by("id"))
        if day is not None:
            _require_kept(runs, day)
        if options["quiet"]:
            stay_small(settings.RESEARCH_MEMORY_MB)
        rows = []
        for run in runs:
            days = whole_days(run)[-1:] if day is None else [day]
            rows += [parity_run(run, asked) for asked in days]
        if options["json"]:
            self.stdout.write(orjson.dumps({"days": [_document(row) for row in rows]}).decode())
        elif not rows:
            self.stdout.write("no open run has traded over a midnight yet; --day names one")
        else:
            for row in rows:
                self._tell(row)
        if any(row.unexplained for row in rows):
            raise SystemExit(1)

    def _tell(self, row: ParityDay) -> None:
        labels = ", ".join(f"{label} {n}" for label, n in row.counts.items()) or "none"
        self.stdout.write(
            f"{row.run.code} {row.day}: {row.same} of {row.redone} decisions made again the same"
            f" ({row.decisions} in all), {row.bars} bars, {row.orders} orders;"
            f" differences: {labels}; not explained: {row.unexplained}"
        )
        for one in row.differences[:SHOWN]:
            at = datetime.fromtimestamp(one["at_ms"] / 1000, UTC)
            why = "" if one["is_explained"] else " (not explained)"
            self.stdout.write(
                f"  {one['label']}: {at:%H:%M} {one['symbol']} {one['strategy']} {one['what']}:"
                f" was {one['then']}, is {one['now']}{why}"
            )
        left = len(row.differences) - SHOWN
        if left > 0:
            self.stdout.write(f"  and {left} more, on the page and with --json")


def _document(row: ParityDay) -> dict[str, Any]:
    names = ("bars", "decisions", "redone", "same", "orders", "slippage_bps", "counts")
    return {
        "run": str(row.run.code),
        "day": str(row.day),
        **{name: getattr(row, name) for name in (*names, "unexplained", "differences")},
    }


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CommandError(
            f"--day was {text!r}, allowed: a day such as 2026-11-20", returncode=2
        ) from None


def _require_kept(runs: list[TradingRun], day: date) -> None:
    for run in runs:
        first = first_kept_day(run)
        if first is not None and day < first:
            raise CommandError(
                f"--day was {day}, allowed for run {run.code}: {first} or later, holds before it"
                " are thinned out (monitoring.holds_kept_days)",
                returncode=2,
            )


def _run(text: str) -> TradingRun:
    try:
        code = uuid.UUID(text)
    except ValueError:
        raise CommandError(f"--run was {text!r}, allowed: a run's UUID", returncode=2) from None
    run = TradingRun.objects.filter(code=code).first()
    if run is None:
        raise CommandError(f"--run was {code}, allowed: the code of a stored run", returncode=2)
    return run
