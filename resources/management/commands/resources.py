"""``manage.py resources``: status, usage, history, report, and one action by hand."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.errors import Refused
from resources import selectors
from resources.actions.registry import ACTIONS
from resources.asking import action_ask
from resources.models import OptimizerAction


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parts = parser.add_subparsers(dest="part", required=True)
        for name, about in (
            ("status", "the newest round, its health, open incidents, the timetable"),
            ("usage", "averages, slopes and time to the limit of the last quarter of an hour"),
        ):
            parts.add_parser(name, help=about)
        history = parts.add_parser("history", help="what was done, newest first")
        history.add_argument("--limit", type=int, default=50, help="at most so many (1 to 5000)")
        report = parts.add_parser("report", help="success rates, savings, weekly trends")
        report.add_argument("--since", help="ISO date or time, UTC")
        report.add_argument("--until", help="ISO date or time, UTC")
        run = parts.add_parser("run", help="one action by hand")
        run.add_argument("action", choices=sorted(ACTIONS))
        run.add_argument("--reason", required=True, help="stands in the audit log")
        run.add_argument("--observe", action="store_true", help="say what it would do")

    def handle(self, **options: Any) -> None:
        part: str = options["part"]
        document = getattr(self, f"_{part}")(options)
        self.stdout.write(orjson.dumps(document, default=str).decode())

    def _status(self, options: dict[str, Any]) -> dict[str, Any]:
        told = selectors.status(timezone.now())
        return told | {
            "incidents": [str(row) for row in told["incidents"]],
            "in_effect": [row.action for row in told["in_effect"]],
            "timetable": {row.code: row.next_at for row in told["timetable"]},
        }

    def _usage(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"usage": selectors.usage(timezone.now())}

    def _history(self, options: dict[str, Any]) -> dict[str, Any]:
        limit = options["limit"]
        if not 1 <= limit <= 5_000:
            raise CommandError(f"--limit was {limit}, allowed: 1 to 5000", returncode=2)
        return {"actions": [_row(row) for row in selectors.action_list()[:limit]]}

    def _report(self, options: dict[str, Any]) -> dict[str, Any]:
        period = {name: _time(name, options[name]) for name in ("since", "until")}
        return selectors.report(**period) | {"trends": selectors.trends(timezone.now())}

    def _run(self, options: dict[str, Any]) -> dict[str, Any]:
        try:
            row = action_ask(
                code=options["action"],
                actor=f"command line ({getpass.getuser()})",
                reason=options["reason"],
                dry_run=options["observe"],
            )
        except Refused as refused:
            raise CommandError(str(refused), returncode=2) from refused
        row.refresh_from_db()
        return _row(row)


def _row(row: OptimizerAction) -> dict[str, Any]:
    names = (
        "id action origin actor reason state started_at applied_at judged_at reverted_at"
        " duration_ms parameters own_before own_after improvement verdict saved side_effects error"
    )
    return {name: getattr(row, name) for name in names.split()}


def _time(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(
            f"--{name} was {text!r}, allowed: an ISO date or time", returncode=2
        ) from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
