"""The order-flow predictor: speaks where the book foretells, says 0.5 where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from engine.phases.microstructure import INPUT_NAMES
from engine.ports import SourceInput
from strategies.core.errors import StrategyError
from strategies.core.predictors.microstructure import Microstructure

N = len(INPUT_NAMES)
OFI = INPUT_NAMES.index("ofi_1")
IMBALANCE = INPUT_NAMES.index("microprice_gap")


def order_flow(seed: int, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Books whose imbalance follows the flow of orders; the price follows both, with noise.

    ``strength`` 0 is a market where the book says nothing.
    """
    rng = np.random.default_rng(seed)
    rows = np.clip(rng.normal(0.0, 0.7, (n, N)), -5.0, 5.0)
    queue = np.zeros(n)
    for t in range(1, n):
        queue[t] = 0.8 * queue[t - 1] + 0.4 * rows[t, OFI]
    rows[:, IMBALANCE] = np.tanh(queue)
    moves = strength * (rows[:, IMBALANCE] + 0.5 * rows[:, OFI]) + rng.logistic(0.0, 1.0, n)
    return rows, (moves > 0.0).astype(int)


def walked(source: Microstructure, rows: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    """Return what it said before it learned each outcome."""
    said = np.empty(len(rows))
    for t, (row, outcome) in enumerate(zip(rows, outcomes, strict=True)):
        said[t] = source.predict(row)
        source.learn(row, int(outcome))
    return said


def test_it_reads_the_book_and_nothing_else() -> None:
    """ORC-81"""
    source = Microstructure()
    assert source.reads is SourceInput.ORDER_FLOW
    source.learn(np.ones(N + 1), 1)
    assert source.learned == 0
    assert source.predict(np.ones(N + 1)) == 0.5


def test_where_imbalance_foretells_it_beats_knowing_nothing() -> None:
    """ORC-81, ORC-83: out of sample, close to the best that can be known."""
    rows, outcomes = order_flow(1, 4_000, 1.5)
    source = Microstructure()
    said = walked(source, rows, outcomes)
    half = slice(2_000, None)
    brier = float(np.mean((said[half] - outcomes[half]) ** 2))
    odds = 1.0 / (1.0 + np.exp(-1.5 * (rows[:, IMBALANCE] + 0.5 * rows[:, OFI])))
    best = float(np.mean((odds[half] - outcomes[half]) ** 2))
    assert best < 0.215 and brier < 0.23
    assert source.trust == 1.0
    assert np.corrcoef(said[half], odds[half])[0, 1] > 0.95


@pytest.mark.parametrize("seed", range(8))
def test_on_noise_it_says_one_half(seed: int) -> None:
    """ORC-81, D-55: 4,000 outcomes that the book knows nothing of."""
    said = walked(Microstructure(), *order_flow(100 + seed, 4_000, 0.0))
    assert float(np.mean(said == 0.5)) > 0.95
    assert float(np.abs(said - 0.5).max()) < 0.02


def test_it_falls_silent_again_where_the_book_stops_to_foretell() -> None:
    """ORC-83: what was earned is forgotten."""
    source = Microstructure()
    walked(source, *order_flow(2, 1_500, 1.5))
    assert source.trust == 1.0
    said = walked(source, *order_flow(3, 8_000, 0.0))
    assert float(np.abs(said[-1_000:] - 0.5).mean()) < 0.01


def test_an_unsure_source_says_less_than_a_sure_one() -> None:
    """ORC-81: the lean grows with the evidence."""
    rows, outcomes = order_flow(4, 1_200, 1.5)
    source, strong = Microstructure(), np.zeros(N)
    strong[IMBALANCE] = 1.0
    leans = []
    for t, (row, outcome) in enumerate(zip(rows, outcomes, strict=True)):
        source.learn(row, int(outcome))
        if t in (10, 1_199):
            leans.append(source.predict(strong) - 0.5)
    assert leans[0] == 0.0
    assert leans[1] > 0.05


def test_a_state_of_other_inputs_starts_anew() -> None:
    """ORC-08: weights mean nothing for another row."""
    source = Microstructure()
    walked(source, *order_flow(5, 300, 1.5))
    fresh = Microstructure()
    fresh.restore({**source.state(), "inputs": "order-flow-0"})
    assert fresh.state() == Microstructure().state()


@pytest.mark.parametrize(
    "change", [{"version": 0}, {"gain": "much"}, {"squares": -1.0}, {"linear": None}]
)
def test_a_state_that_nobody_wrote_is_refused_whole(change: dict[str, object]) -> None:
    """I-26"""
    source = Microstructure()
    walked(source, *order_flow(6, 300, 1.5))
    before = source.state()
    with pytest.raises(StrategyError):
        source.restore({**before, **change})  # type: ignore[dict-item]
    assert source.state() == before
