"""Makes a stored decision again and says what, if anything, came out differently."""

from __future__ import annotations

import uuid
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from trades.selectors import decision_get, decision_replay


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("decision", metavar="UUID", help="the id of a decision")
        parser.add_argument("--json", action="store_true", help="one JSON object on the last line")

    def handle(self, **options: Any) -> None:
        given = options["decision"]
        try:
            code = uuid.UUID(given)
        except ValueError:
            raise CommandError(
                f"decision was {given}, allowed: a decision's UUID", returncode=2
            ) from None
        decision = decision_get(code)
        if decision is None:
            raise CommandError(
                f"decision was {given}, allowed: the id of a stored decision", returncode=2
            )
        replay = decision_replay(decision)
        if options["json"]:
            document = asdict(replay) | {"same": replay.same, "same_verdict": replay.same_verdict}
            self.stdout.write(orjson.dumps(document).decode())
        else:
            self._tell(replay)
        if not replay.same:
            raise SystemExit(1)

    def _tell(self, replay: Any) -> None:
        then, now = replay.verdict_then, replay.verdict_now
        self.stdout.write(f"then {then.action} {then.quantity_base} {then.reason_code}")
        told = (
            "could not be made again"
            if now is None
            else (f"{now.action} {now.quantity_base} {now.reason_code}")
        )
        self.stdout.write(f"now  {told}")
        for difference in replay.differences:
            where = "" if difference.phase is None else f" in phase {difference.phase}"
            self.stdout.write(
                f"{difference.label}{where}: {difference.what} was {difference.then},"
                f" is {difference.now}"
            )
        self.stdout.write("the same" if replay.same else "not the same")
