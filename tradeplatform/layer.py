"""The optimization layer of a replay, through the plug: without its room there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from engine.simulated_operator import SimulatedOperator
from monitoring.layer import layer
from tradeplatform.bootstrap import base_weights, favourable_regimes
from tradeplatform.configuration import STRATEGY_CODES, Configuration
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.replay_run import ReplayedLayer


def layer_settings(config: Configuration) -> Any:
    """Return the numbers of the layer, as its room types them.

    Raises:
        ConfigurationError: a number the layer refuses, or no layer is installed; in one line.
    """
    return _asked(lambda: layer().settings(msgspec.to_builtins(config.optimization)))


def replay_layer(
    config: Configuration, operator: SimulatedOperator, tell: Callable[..., None] | None = None
) -> ReplayedLayer:
    """Return the layer of a replay; its edges become the operator's statuses.

    ``tell`` hears every action of the layer.

    Raises:
        ConfigurationError: as ``layer_settings``.
    """
    found: ReplayedLayer = _asked(
        lambda: layer().replay_layer(
            msgspec.to_builtins(config.optimization),
            base_weights=base_weights(config),
            favourable=favourable_regimes(config),
            statuses={code: operator.strategy_status(code) for code in STRATEGY_CODES},
            set_status=operator.set_status,
            tell=tell,
        )
    )
    return found


def _asked(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
