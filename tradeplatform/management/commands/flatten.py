"""Closes every position in a scope and halts it: shows first, and does it with --confirm."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from engine.digest import plain
from tradeplatform.arguments import add_account
from tradeplatform.control_command import scope_given
from trades.errors import RequestRefused
from trades.flatten import Preview, flatten_confirm, flatten_preview
from trades.scopes import GLOBAL_SCOPE

ACTOR = "command line"


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_account(parser, "left out: every account")
        parser.add_argument(
            "--scope", default=GLOBAL_SCOPE, help="global, strategy:CODE or symbol:SYMBOL"
        )
        parser.add_argument("--reason", default="")
        parser.add_argument("--confirm", default="", metavar="TOKEN", help="that the preview gave")

    def handle(self, **options: Any) -> None:
        scope = scope_given(options)
        try:
            if not options["confirm"]:
                self._show(flatten_preview(scope=scope, actor=ACTOR))
                return
            rows = flatten_confirm(
                scope=scope, token=options["confirm"], actor=ACTOR, reason=options["reason"]
            )
        except RequestRefused as error:
            raise CommandError(str(error), returncode=2) from error
        numbers = ", ".join(str(row.pk) for row in rows)
        self.stdout.write(f"{scope} takes no entries any more; request {numbers} closes it")

    def _show(self, preview: Preview) -> None:
        is_several = len({closing.run.account for closing in preview.closings}) > 1
        for closing in preview.closings:
            held = closing.position
            result = "unknown" if closing.result_quote is None else plain(closing.result_quote)
            stays = f", stays open: {closing.hindrance}" if closing.hindrance else ""
            whose = f" on account {closing.run.account}" if is_several else ""
            self.stdout.write(
                f"{held.strategy} {held.side} {held.quantity_base:f} {held.symbol}, "
                f"result about {result} {closing.run.quote}{whose}{stays}"
            )
        self.stdout.write(
            f"{len(preview.closings)} position(s) in {preview.scope}, nothing was done. Within "
            f"{preview.good_for_s} s: --scope {preview.scope} --reason WHY --confirm "
            f"{preview.token}"
        )
