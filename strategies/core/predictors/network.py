"""A small neural network as arrays: one hidden layer of tanh units, one logistic output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.compiled import kernel
from engine.types.bars import FloatColumn
from engine.types.decisions import JsonValue
from strategies.core.errors import StrategyError
from strategies.core.predictors import payload as read

Matrix = npt.NDArray[np.float64]
KIND = "tanh-network"


@dataclass(frozen=True, slots=True)
class Network:
    """``hidden`` is (n_hidden, n_features); rows are moved by ``mean``, divided by ``scale``."""

    mean: FloatColumn
    scale: FloatColumn
    hidden: Matrix
    hidden_bias: FloatColumn
    output: FloatColumn
    output_bias: float

    def logit(self, row: FloatColumn) -> float:
        """Return the log-odds of a row (n_features,); NaN where it is not finite."""
        return _forward(
            self.mean,
            self.scale,
            self.hidden,
            self.hidden_bias,
            self.output,
            self.output_bias,
            row,
        )

    def payload(self) -> dict[str, JsonValue]:
        """Return the arrays as JSON values; ``hidden`` row by row in one list."""
        return {
            "kind": KIND,
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "hidden": self.hidden.ravel().tolist(),
            "hidden_bias": self.hidden_bias.tolist(),
            "output": self.output.tolist(),
            "output_bias": self.output_bias,
        }


def network_of(payload: Mapping[str, JsonValue], n_features: int) -> Network:
    """Read and check a network.

    Raises:
        StrategyError: lengths do not fit, a number is not finite, or a scale is not positive.
    """
    read.text(payload, "kind", (KIND,))
    output = read.floats(payload, "output")
    n_hidden = output.shape[0]
    if n_hidden == 0:
        raise StrategyError("model output must hold at least one unit, was 0")
    scale = read.floats(payload, "scale", n_features)
    if (scale <= 0.0).any():
        raise StrategyError(f"model scale must be positive, was {float(scale.min())}")
    hidden = read.floats(payload, "hidden", n_hidden * n_features)
    return Network(
        mean=read.floats(payload, "mean", n_features),
        scale=scale,
        hidden=hidden.reshape(n_hidden, n_features),
        hidden_bias=read.floats(payload, "hidden_bias", n_hidden),
        output=output,
        output_bias=read.number(payload, "output_bias"),
    )


@kernel
def _forward(
    mean: FloatColumn,
    scale: FloatColumn,
    hidden: Matrix,
    hidden_bias: FloatColumn,
    output: FloatColumn,
    output_bias: float,
    row: FloatColumn,
) -> float:
    n = row.shape[0]
    values = np.empty(n)
    for i in range(n):
        if not np.isfinite(row[i]):
            return np.nan
        values[i] = (row[i] - mean[i]) / scale[i]
    total = output_bias
    for unit in range(output.shape[0]):
        activation = hidden_bias[unit]
        for i in range(n):
            activation += hidden[unit, i] * values[i]
        total += output[unit] * np.tanh(activation)
    # two infinite inputs of opposite sign have no sum
    return total if np.isfinite(total) else np.nan
