"""The best constant rebalanced portfolio: where it is known, and its certificate elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from research.core.best_rebalanced import best_constant_shares, optimality_gap


def test_cover_s_two_stocks_are_held_half_and_half() -> None:
    """A stock that doubles and halves beside cash: half and half gains 9/8 every two days."""
    relatives = np.array([[1.0, 2.0], [1.0, 0.5]] * 20)
    shares = best_constant_shares(relatives)
    assert shares == pytest.approx([0.5, 0.5])
    assert np.exp(np.log(relatives @ shares).sum()) == pytest.approx((9 / 8) ** 20)


def test_an_asset_that_always_wins_gets_all() -> None:
    relatives = np.array([[1.1, 1.0, 0.9], [1.05, 1.02, 1.0]] * 10)
    assert best_constant_shares(relatives) == pytest.approx([1.0, 0.0, 0.0])


def test_equal_assets_are_no_trouble() -> None:
    relatives = np.array([[1.1, 1.1], [0.9, 0.9]])
    shares = best_constant_shares(relatives)
    assert shares.sum() == pytest.approx(1.0)
    assert optimality_gap(relatives, shares) == pytest.approx(0.0, abs=1e-10)


@pytest.mark.parametrize("seed", range(8))
def test_nothing_better_is_left_in_random_markets(seed: int) -> None:
    """The certificate bounds what any other shares could add; a grid of others confirms it."""
    rng = np.random.default_rng(seed)
    relatives = np.exp(rng.normal(rng.normal(0.0, 0.01, 12), 0.03, (300, 12)))
    shares = best_constant_shares(relatives)
    assert shares.sum() == pytest.approx(1.0)
    assert (shares >= 0.0).all()
    assert 300 * optimality_gap(relatives, shares) < 1e-6
    best = np.log(relatives @ shares).sum()
    for _ in range(200):
        other = rng.dirichlet(np.full(12, 0.3))
        assert np.log(relatives @ other).sum() <= best + 1e-9
