"""The kill switch from a shell: works without the web, the workers and Redis."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from engine.ports import TradingState
from monitoring.services import control_change
from tradeplatform.arguments import add_account
from trades import halt_file
from trades.errors import ControlRefused
from trades.kill_switch import changed_or_left
from trades.scopes import GLOBAL_SCOPE, confined


def scope_given(options: Mapping[str, Any]) -> str:
    """Return the scope that was asked for, confined to the account where one is named.

    An unknown account is refused by whoever sets the scope, and the halt of one whose database
    does not answer is left as a file all the same.
    """
    scope, account = str(options["scope"]), options["account"]
    return scope if account is None else confined(account, scope)


class ControlCommand(BaseCommand):
    """One state of the kill switch; the commands differ by it alone."""

    state: TradingState

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_account(parser, "left out: every account")
        parser.add_argument("--reason", required=True, help="kept in the audit log")
        parser.add_argument(
            "--scope",
            default=GLOBAL_SCOPE,
            help="global (left out), strategy:CODE or symbol:SYMBOL; with --account, of it alone",
        )

    def handle(self, **options: Any) -> None:
        scope, asked = scope_given(options), self.state.value
        told: dict[str, Any] = {"scope": scope, "actor": f"command:{getpass.getuser()}"[:120]}
        try:
            changed = changed_or_left(
                lambda: control_change(state=asked, reason=options["reason"], **told),
                state=asked,
                reason=options["reason"],
                **told,
            )
        except ControlRefused as error:
            raise CommandError(str(error), returncode=2) from error
        except OSError as error:
            raise CommandError(f"{halt_file.pending()}: {error.strerror}", returncode=1) from error
        if changed is None:
            self.stdout.write(
                f"{scope}: the database did not answer; {halt_file.pending()} was left and holds "
                f"every order until {asked} is written"
            )
        else:
            self.stdout.write(f"{scope}: {asked}{'' if changed else ' already'}")
