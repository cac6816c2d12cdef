"""A small neural network, trained here: stochastic gradients, weight decay, early stopping.

Written in numpy and not taken from a library because the rows that decide when to stop must be
the newest, purged ones; the ready-made classifier draws them at random from the same weeks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from engine.types.bars import FloatColumn
from strategies.core.predictors.logistic import logit_of
from strategies.core.predictors.network import Network
from strategies.core.training.dataset import Matrix
from strategies.core.training.families import Examples, Fitted, Parameters

DEFAULTS: Mapping[str, float] = {
    "rounds": 30.0,
    "patience_rounds": 5.0,
    "hidden_units": 24.0,
    "learning_rate": 0.002,
    "weight_decay": 0.02,
    "batch_rows": 256.0,
}
# A column that never moves has no scale.
_MIN_SCALE = 1e-6
_BETA_FIRST, _BETA_SECOND, _EPSILON = 0.9, 0.999, 1e-8


class NeuralNetwork:
    """One hidden layer of tanh units. Source: Loshchilov and Hutter (2019), AdamW."""

    @property
    def defaults(self) -> Mapping[str, float]:
        return DEFAULTS

    def fit(
        self,
        examples: Examples,
        unseen: Examples | None,
        parameters: Parameters,
        rng: np.random.Generator,
    ) -> Fitted:
        """Fit; an epoch is one round."""
        mean = examples.matrix.mean(axis=0)
        scale = np.maximum(examples.matrix.std(axis=0), _MIN_SCALE)
        rows, outcome = (examples.matrix - mean) / scale, examples.outcome_up.astype(np.float64)
        weights = _start(rows.shape[1], int(parameters["hidden_units"]), outcome.mean(), rng)
        adam = _Adam(parameters["learning_rate"], parameters["weight_decay"])
        best, best_round, best_loss = [w.copy() for w in weights], 0, np.inf
        held_out = None if unseen is None else (unseen.matrix - mean) / scale
        for epoch in range(1, int(parameters["rounds"]) + 1):
            _epoch(weights, adam, rows, outcome, int(parameters["batch_rows"]), rng)
            if held_out is None or unseen is None:
                best, best_round = weights, epoch
                continue
            loss = _loss(_forward(weights, held_out)[1], unseen.outcome_up.astype(np.float64))
            if loss < best_loss:
                best, best_round, best_loss = [w.copy() for w in weights], epoch, loss
            elif epoch - best_round >= int(parameters["patience_rounds"]):
                break
        hidden, hidden_bias, output, output_bias = best
        network = Network(mean, scale, hidden, hidden_bias, output, float(output_bias[0]))
        return Fitted(network, max(1, best_round))


@dataclass(slots=True)
class _Adam:
    rate: float
    decay: float
    step: int = 0
    first: list[FloatColumn] = field(default_factory=list)
    second: list[FloatColumn] = field(default_factory=list)

    def apply(self, weights: list[FloatColumn], gradients: list[FloatColumn]) -> None:
        if not self.first:
            self.first = [np.zeros_like(w) for w in weights]
            self.second = [np.zeros_like(w) for w in weights]
        self.step += 1
        unbias_first = 1.0 - _BETA_FIRST**self.step
        unbias_second = 1.0 - _BETA_SECOND**self.step
        for w, g, m, v in zip(weights, gradients, self.first, self.second, strict=True):
            m += (1.0 - _BETA_FIRST) * (g - m)
            v += (1.0 - _BETA_SECOND) * (g * g - v)
            move = (m / unbias_first) / (np.sqrt(v / unbias_second) + _EPSILON)
            w -= self.rate * (move + self.decay * w)


def _start(
    n_features: int, n_hidden: int, base_rate: float, rng: np.random.Generator
) -> list[FloatColumn]:
    hidden = rng.normal(0.0, 1.0 / np.sqrt(n_features), (n_hidden, n_features))
    # the output begins at the base rate: the first epochs need not look for it
    output = rng.normal(0.0, 0.1 / np.sqrt(n_hidden), n_hidden)
    return [hidden, np.zeros(n_hidden), output, np.array([logit_of(float(base_rate))])]


def _epoch(
    weights: list[FloatColumn],
    adam: _Adam,
    rows: Matrix,
    outcome: FloatColumn,
    batch_rows: int,
    rng: np.random.Generator,
) -> None:
    order = rng.permutation(len(rows))
    for first in range(0, len(rows), batch_rows):
        batch = order[first : first + batch_rows]
        adam.apply(weights, _gradients(weights, rows[batch], outcome[batch]))


def _forward(weights: list[FloatColumn], rows: Matrix) -> tuple[Matrix, FloatColumn]:
    hidden, hidden_bias, output, output_bias = weights
    activation: Matrix = np.tanh(rows @ hidden.T + hidden_bias)
    logits: FloatColumn = activation @ output + output_bias[0]
    return activation, logits


def _gradients(weights: list[FloatColumn], rows: Matrix, outcome: FloatColumn) -> list[FloatColumn]:
    activation, logits = _forward(weights, rows)
    error = (1.0 / (1.0 + np.exp(-np.clip(logits, -15.0, 15.0))) - outcome) / len(rows)
    back = np.outer(error, weights[2]) * (1.0 - activation**2)
    return [back.T @ rows, back.sum(axis=0), activation.T @ error, np.array([error.sum()])]


def _loss(logits: FloatColumn, outcome: FloatColumn) -> float:
    held = np.clip(logits, -15.0, 15.0)
    return float(np.mean(np.log1p(np.exp(-held)) + (1.0 - outcome) * held))
