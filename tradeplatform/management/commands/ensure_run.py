"""Opens the trading run of each configured account, or goes on with the open one."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.errors import ExchangeKeyRefused
from market.errors import MarketError
from monitoring.layer import Layer, layer
from tradeplatform.configuration import Configuration, load_accounts
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.run_setup import run_ensure
from tradeplatform.several_accounts import (
    account_named,
    end_removed_accounts,
    key_keep,
    refuse_shared_keys,
)
from tradeplatform.supervisor import WRONG_USE
from trades.errors import TradesError

# Another try may help, where WRONG_USE says that none will.
VENUE_AWAY = 1

# A switch that does nothing must not look as if it did (OPT-06).
NO_LAYER = (
    "[OPTIMIZATION] optimization.enabled was true, but {}:"
    " the platform trades without it, at base weights and multiplier 1"
)


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", help="of the section accounts; left out: all of them")

    def handle(self, **options: Any) -> None:
        try:
            accounts = load_accounts(settings.CONFIG_FILE)
            chosen = [account_named(accounts, name) for name in [options["account"]] if name]
            refuse_shared_keys(accounts)
            if not chosen or not chosen[0].is_apart:
                end_removed_accounts(accounts, actor="system")
        except (ConfigurationError, ExchangeKeyRefused, TradesError) as error:
            raise CommandError(str(error), returncode=WRONG_USE) from error
        failed = [str(e) for e in map(partial(self._ensure, accounts), chosen or accounts) if e]
        if failed:
            # started again by the supervisor: another account's venue may answer meanwhile
            raise CommandError("; ".join(failed), returncode=VENUE_AWAY)

    def _ensure(
        self, accounts: Sequence[Configuration], config: Configuration
    ) -> MarketError | None:
        """Open one account's run; return why its venue kept it closed, where others may trade.

        Raises:
            CommandError: it was refused, or it is the only account.
        """
        shared = accounts[0] if config.is_apart else None
        try:
            run = run_ensure(config, actor="system", shared=shared)
        except MarketError as error:
            if len(accounts) == 1:
                raise CommandError(str(error), returncode=WRONG_USE) from error
            return error
        except TradesError as error:
            raise CommandError(str(error), returncode=WRONG_USE) from error
        key_keep(run, config)
        if not config.is_apart:
            self.stderr.write(layer_line(layer(), config.optimization.enabled))
        account = f" account={run.account}" if len(accounts) > 1 else ""
        self.stderr.write(f"run {run.code} mode={run.mode} venue={run.venue}{account}")
        return None


def layer_line(installed: Layer, is_wanted: bool) -> str:
    """Return the one line that says whether the layer is on, and where its switch is (OPT-06)."""
    status = installed.status()
    if not installed.is_installed and is_wanted:
        return NO_LAYER.format(status.get("reason", "no adaptive layer is installed"))
    if status["enabled"]:
        return f"[OPTIMIZATION] the layer is on: {_source(status)}"
    return f"[OPTIMIZATION] the layer is off: optimization.enabled is false, {_source(status)}"


def _source(status: dict[str, Any]) -> str:
    known = status.get("settings")
    return f"set by {known['source']}, version {known['version']}" if known else "none is installed"
