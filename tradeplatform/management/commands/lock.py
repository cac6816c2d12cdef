"""Keeps entries out of a symbol, of one strategy or of all; exits go on. --lift ends a lock."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tradeplatform.arguments import moment_ms
from tradeplatform.configuration_errors import ConfigurationError
from trades.errors import LockRefused
from trades.locks import lock_lift, lock_set
from trades.records import moment
from trades.selectors.requests import lock_get, lock_list, venue_now

ACTOR = "command line"


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("symbol", nargs="?", help="left out: lists what is locked")
        parser.add_argument("--strategy", default="", help="left out: every strategy")
        parser.add_argument("--until", help="an ISO time of the venue; left out: until lifted")
        parser.add_argument("--lift", type=int, metavar="ID", help="of a lock that is listed")
        parser.add_argument("--reason", default="")

    def handle(self, **options: Any) -> None:
        try:
            if options["lift"] is not None:
                self._lift(options["lift"], options["reason"])
            elif options["symbol"]:
                self._set(options)
        except (LockRefused, ConfigurationError) as error:
            raise CommandError(str(error), returncode=2) from error
        for lock in lock_list(standing=True):
            self.stdout.write(f"{lock.pk}  {lock.words()}")

    def _set(self, options: dict[str, Any]) -> None:
        until_ms = moment_ms("until", options["until"])
        lock_set(
            symbol=options["symbol"],
            strategy=options["strategy"],
            expires_at=None if until_ms is None else moment(until_ms),
            actor=ACTOR,
            reason=options["reason"],
            now=venue_now(),
        )

    def _lift(self, lock_id: int, reason: str) -> None:
        lock = lock_get(lock_id)
        if lock is None:
            raise LockRefused(f"lock was {lock_id}, allowed: an id that `lock` lists")
        lock_lift(lock=lock, actor=ACTOR, reason=reason)
