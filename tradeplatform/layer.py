"""How the optimization layer is plugged in: the one file that a platform without it leaves out."""

from __future__ import annotations

import msgspec

from engine.simulated_operator import SimulatedOperator
from optimization.core.actions import Tell, tell_nobody
from optimization.core.config import LayerSettings
from optimization.core.errors import SettingsError
from optimization.core.replay_layer import ReplayLayer
from tradeplatform.bootstrap import base_weights, favourable_regimes
from tradeplatform.configuration import STRATEGY_CODES, Configuration
from tradeplatform.configuration_errors import ConfigurationError


def layer_settings(config: Configuration) -> LayerSettings:
    """Return the numbers of the layer.

    Raises:
        ConfigurationError: a number the layer refuses, in one line.
    """
    try:
        return LayerSettings.from_values(msgspec.to_builtins(config.optimization))
    except SettingsError as error:
        raise ConfigurationError(str(error)) from error


def replay_layer(
    config: Configuration, operator: SimulatedOperator, tell: Tell = tell_nobody
) -> ReplayLayer:
    """Return the layer of a replay; its edges become the operator's statuses."""
    return ReplayLayer(
        layer_settings(config),
        base_weights=base_weights(config),
        favourable=favourable_regimes(config),
        statuses={code: operator.strategy_status(code) for code in STRATEGY_CODES},
        set_status=operator.set_status,
        tell=tell,
    )
