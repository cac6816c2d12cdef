"""Other orders and other draws of the same trades."""

from __future__ import annotations

import numpy as np
import pytest

from research.core.monte_carlo import FEWEST_TRADES, monte_carlo, path_drawdown


def rows(found):
    return {(row["method"], row["figure"]): row for row in found["rows"]}


def test_another_order_changes_the_drawdown_and_never_the_end():
    """Wins first and losses last: the worst order there is, and chance says so."""
    pnl = [10.0] * 50 + [-8.0] * 50
    found = monte_carlo(pnl, 1_000.0, np.random.default_rng(1))
    shuffled = rows(found)["reshuffled", "max drawdown"]
    seen = path_drawdown(np.array(pnl), 1_000.0)
    assert seen == pytest.approx(400 / 1_500)
    assert shuffled["p95"] < seen / 2
    assert "in 0 of 100 other orders" in found["text"]
    assert not [key for key in rows(found) if key == ("reshuffled", "final equity")]


def test_the_interval_of_the_end_covers_what_happened():
    pnl = np.random.default_rng(2).normal(1.0, 5.0, 400)
    found = monte_carlo(list(pnl), 1_000.0, np.random.default_rng(3))
    end = rows(found)["drawn in blocks", "final equity"]
    assert end["p05"] < 1_000.0 + pnl.sum() < end["p95"]
    # the spread of a sum of 400 independent draws: 5 * sqrt(400) = 100, 3.29 of it between both
    assert end["p95"] - end["p05"] == pytest.approx(329.0, rel=0.25)


def test_a_loser_is_likely_to_lose():
    pnl = [-1.0, 0.5] * 50
    assert monte_carlo(pnl, 100.0, np.random.default_rng(4))["loss_probability"] > 0.99


def test_few_trades_or_no_cash_say_nothing():
    assert monte_carlo([1.0] * (FEWEST_TRADES - 1), 100.0, np.random.default_rng(0)) is None
    assert monte_carlo([1.0] * 50, 0.0, np.random.default_rng(0)) is None


def test_losing_more_than_everything_is_a_drawdown_of_one():
    assert path_drawdown(np.array([-150.0]), 100.0) == 1.0
    assert path_drawdown(np.array([5.0, 5.0]), 100.0) == 0.0


def test_the_same_seed_gives_the_same_intervals():
    pnl = list(np.random.default_rng(5).normal(0.0, 1.0, 60))
    first, second = (monte_carlo(pnl, 100.0, np.random.default_rng(9)) for _ in range(2))
    assert first == second
