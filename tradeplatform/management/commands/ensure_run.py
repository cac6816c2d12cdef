"""Opens the trading run of the configured venue, or goes on with the open one."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from market.errors import MarketError
from monitoring.layer import Layer, layer
from tradeplatform.configuration import load
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.run_setup import run_ensure
from trades.errors import TradesError

# A switch that does nothing must not look as if it did (OPT-06).
NO_LAYER = (
    "[OPTIMIZATION] optimization.enabled was true, but {}:"
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
        self.stderr.write(layer_line(layer(), config.optimization.enabled))
        self.stderr.write(f"run {run.code} mode={run.mode} venue={run.venue}")


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
