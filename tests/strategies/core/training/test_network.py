"""Training of the network: its gradients, its stop, its limits."""

from __future__ import annotations

import numpy as np
import pytest

from strategies.core.training.families import Examples, raw_logits
from strategies.core.training.network import (
    DEFAULTS,
    NeuralNetwork,
    _forward,
    _gradients,
    _loss,
    _start,
)
from tests.strategies.core.training.datasets import planted


def examples(seed: int, n: int, strength: float = 1.0) -> Examples:
    dataset = planted(seed, n, strength)
    return Examples(dataset.matrix, dataset.outcome_up)


def test_gradients_are_those_of_the_loss() -> None:
    """ORC-81: each by a central difference."""
    rng = np.random.default_rng(1)
    rows, outcome = rng.normal(size=(40, 5)), rng.integers(0, 2, 40).astype(float)
    weights = _start(5, 3, 0.4, rng)
    weights[2] += 1.0
    for array, gradient in zip(weights, _gradients(weights, rows, outcome), strict=True):
        for index in np.ndindex(array.shape):
            kept, losses = array[index], []
            for step in (1e-6, -1e-6):
                array[index] = kept + step
                losses.append(_loss(_forward(weights, rows)[1], outcome))
            array[index] = kept
            assert gradient[index] == pytest.approx((losses[0] - losses[1]) / 2e-6, abs=1e-6)


def test_it_stops_where_unseen_rows_are_predicted_best() -> None:
    """ORC-83: few rows and many epochs would follow the noise."""
    seen, unseen = examples(2, 300), examples(3, 2_000)
    parameters = {**DEFAULTS, "rounds": 200.0, "learning_rate": 0.02, "weight_decay": 1e-9}
    network = NeuralNetwork()
    stopped = network.fit(seen, unseen, parameters, np.random.default_rng(4))
    to_the_end = network.fit(seen, None, parameters, np.random.default_rng(4))
    assert stopped.rounds < 60
    assert to_the_end.rounds == 200
    losses = [
        _loss(raw_logits(fitted.scorer, unseen.matrix), unseen.outcome_up.astype(float))
        for fitted in (stopped, to_the_end)
    ]
    assert losses[0] < 0.69 < losses[1]


def test_column_that_never_moves_is_no_trouble() -> None:
    data = examples(5, 600)
    data.matrix[:, 4] = 3.0
    fitted = NeuralNetwork().fit(data, None, DEFAULTS, np.random.default_rng(6))
    assert np.isfinite(raw_logits(fitted.scorer, data.matrix)).all()
