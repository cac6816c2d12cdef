"""Opens the trading run of the configured venue, or goes on with the open one."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from market.errors import MarketError
from tradeplatform.configuration import load
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.run_setup import run_ensure
from trades.errors import TradesError


class Command(BaseCommand):
    help = __doc__

    def handle(self, **options: Any) -> None:
        try:
            run = run_ensure(load(settings.CONFIG_FILE), actor="system")
        except (ConfigurationError, MarketError, TradesError) as error:
            raise CommandError(str(error), returncode=2) from error
        self.stderr.write(f"run {run.code} mode={run.mode} venue={run.venue}")
