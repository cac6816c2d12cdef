"""Series of which the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from research.core.planted import planted, shuffled
from tests.bar_factory import random_walk


def test_stated_best_probability_is_what_happens() -> None:
    """D-55: the strength is known: in every tenth of the rows outcomes are as frequent as said."""
    made = planted(60_000, 0.6, np.random.default_rng(1), 60_000)
    p = made.best_probability(12)[:-12]
    up = made.bars.close[12:] > made.bars.close[:-12]
    for tenth in np.array_split(np.argsort(p), 10):
        assert up[tenth].mean() == pytest.approx(p[tenth].mean(), abs=0.03)
    assert p.std() > 0.15


def test_strength_nought_is_a_random_walk() -> None:
    made = planted(5_000, 0.0, np.random.default_rng(2), 60_000)
    assert (made.best_probability(12) == pytest.approx(0.5, abs=1e-7)) is True
    moves = np.diff(np.log(made.bars.close))
    assert abs(np.corrcoef(moves[1:], moves[:-1])[0, 1]) < 0.05


def test_planted_bars_are_whole() -> None:
    bars = planted(500, 0.5, np.random.default_rng(3), 300_000).bars
    assert (np.diff(bars.ts_ms) == 300_000).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.low > 0.0).all() and (bars.volume > 0.0).all()


def test_shuffled_bars_keep_every_shape_and_lose_every_order() -> None:
    """D-55: moves, ranges and volumes are of the same bars, in no order, on the same clock."""
    bars = random_walk(4, 3_000)
    mixed = shuffled(bars, np.random.default_rng(4))
    assert (mixed.ts_ms == bars.ts_ms).all()
    for of in (
        lambda b: np.diff(np.log(b.close)),
        lambda b: np.log(b.high / b.low),
        lambda b: b.volume,
    ):
        were, ours = np.sort(of(bars)), of(mixed)
        nearest = were[np.clip(np.searchsorted(were, ours - 1e-9), 0, len(were) - 1)]
        np.testing.assert_allclose(nearest, ours, rtol=1e-6, atol=2e-9)
        assert ours.std() == pytest.approx(were.std(), rel=0.15)
    assert (mixed.low <= np.minimum(mixed.open, mixed.close) * (1 + 1e-12)).all()
    # a burst of volatility has no neighbours left
    size, was = (np.abs(np.diff(np.log(b.close))) for b in (mixed, bars))
    assert abs(np.corrcoef(size[1:], size[:-1])[0, 1]) < 0.06 < np.corrcoef(was[1:], was[:-1])[0, 1]
    assert shuffled(random_walk(5, 1), np.random.default_rng(5)).close.shape == (1,)


def test_where_shuffled_bars_end_is_not_fixed_beforehand() -> None:
    """D-55: in a mere reordering the moves still to come are what the seen ones left over, so
    both halves of all series would be correlated by -1; of independent draws they are not."""
    bars = random_walk(6, 800)
    halves = []
    for seed in range(200):
        moves = np.log(shuffled(bars, np.random.default_rng(seed)).close)
        halves.append((moves[400] - moves[0], moves[-1] - moves[400]))
    assert abs(np.corrcoef(np.array(halves).T)[0, 1]) < 0.25
