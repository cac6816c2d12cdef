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

LAYER_OFF = "[OPTIMIZATION] the layer is off: optimization.enabled is false"
# A switch that does nothing must not look as if it did (OPT-06).
NO_LAYER = (
    "[OPTIMIZATION] optimization.enabled was true, but no adaptive layer is installed:"
    " the platform trades without it, at base weights and multiplier 1"
)


class Command(BaseCommand):
    help = __doc__

    def handle(self, **options: Any) -> None:
        try:
            config = load(settings.CONFIG_FILE)
            run = run_ensure(config, actor="system")
        except (ConfigurationError, MarketError, TradesError) as error:
            raise CommandError(str(error), returncode=2) from error
        self.stderr.write(NO_LAYER if config.optimization.enabled else LAYER_OFF)
        self.stderr.write(f"run {run.code} mode={run.mode} venue={run.venue}")
