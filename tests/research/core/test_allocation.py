"""Policies over price relatives: wealth, turnover and the step limit, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimization.core.trade_sums import Floats
from optimization.core.weighting import CompositePolicy
from research.core.allocation import (
    ExponentiatedGradientAllocator,
    PolicyAllocator,
    UniformAllocator,
    gradient_regret_bound,
    limited_shares,
    references,
    require_relatives,
    run_allocation,
)
from research.errors import AllocationError

TWO = np.array([[2.0, 1.0], [0.5, 1.0]])


def market(seed: int, n_periods: int = 200, n_assets: int = 4) -> Floats:
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal(rng.normal(0.0, 0.004, n_assets), 0.02, (n_periods, n_assets)))


def test_equal_shares_gain_what_the_mean_gains_and_trade_back_what_drifted() -> None:
    run = run_allocation(TWO, UniformAllocator())
    assert run.final_wealth == pytest.approx(1.5 * 0.75)
    assert run.turnover == pytest.approx(2 / 3 - 1 / 2)
    assert run.max_step_fraction == 0.0


def test_exponentiated_gradient_by_hand() -> None:
    """OPT-79: one update of the published rule."""
    run = run_allocation(TWO, ExponentiatedGradientAllocator(eta=0.05))
    up, down = math.exp(0.05 * 2 / 1.5), math.exp(0.05 * 1 / 1.5)
    share = up / (up + down)
    assert run.final_wealth == pytest.approx(1.5 * (0.5 * share + (1 - share)))
    assert run.max_step_fraction == pytest.approx(share / 0.5 - 1)


def test_references_by_hand() -> None:
    found = references(TWO)
    assert found.buy_and_hold == pytest.approx(1.0)
    assert found.uniform == pytest.approx(9 / 8)
    assert found.best_asset == pytest.approx(1.0)
    assert found.best_constant_rebalanced == pytest.approx(9 / 8)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.001, 1.0), st.floats(0.0, 1.0)), min_size=2, max_size=10),
    st.floats(0.01, 0.9),
)
def test_limited_shares_stay_a_portfolio_and_keep_each_step(
    pairs: list[tuple[float, float]], max_step: float
) -> None:
    """OPT-74: for any wish, also one that gives some assets nothing."""
    old, wished = (np.array(column) for column in zip(*pairs, strict=True))
    old = old / old.sum()
    wished = (wished + 1e-9) / (wished + 1e-9).sum()
    new = limited_shares(old, wished, max_step)
    assert new.sum() == pytest.approx(1.0, abs=1e-9)
    assert (np.abs(new - old) <= max_step * old * (1 + 1e-12)).all()


def test_limited_shares_reach_a_wish_that_is_near_and_lean_to_one_that_is_far() -> None:
    old = np.array([0.5, 0.3, 0.2])
    near = np.array([0.52, 0.29, 0.19])
    assert limited_shares(old, near, 0.15) is near
    far = limited_shares(old, np.array([0.0, 0.1, 0.9]), 0.15)
    assert far[2] == pytest.approx(0.23)
    assert far[0] == pytest.approx(0.425, abs=0.01)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_step_limit_holds_in_every_period(seed: int) -> None:
    """OPT-74"""
    relatives = market(seed)
    for allocator in (
        ExponentiatedGradientAllocator(eta=20.0),
        PolicyAllocator(CompositePolicy(), relatives, window=20),
    ):
        free = run_allocation(relatives, allocator)
        held = run_allocation(relatives, allocator, max_step=0.05)
        assert free.max_step_fraction > 0.05
        assert 0.04 < held.max_step_fraction <= 0.05


@pytest.mark.parametrize("period", [60, 150])
def test_no_allocator_sees_the_period_it_invests_in(period: int) -> None:
    """OPT-89: changing a later period changes nothing before it."""
    relatives = market(3)
    changed = relatives.copy()
    changed[period:] *= np.linspace(0.5, 1.5, 4)
    for kind in ("gradient", "composite"):
        runs = []
        for table in (relatives, changed):
            allocator = (
                ExponentiatedGradientAllocator()
                if kind == "gradient"
                else PolicyAllocator(CompositePolicy(), table, window=20)
            )
            shares = np.full(4, 0.25)
            seen = []
            for t in range(period):
                seen.append(shares)
                shares = allocator.wish(t, shares, table)
            runs.append((np.array(seen), shares))
        assert (runs[0][0] == runs[1][0]).all()
        assert (runs[0][1] == runs[1][1]).all(), "decided before the changed period"


def test_the_composite_policy_leans_to_the_asset_with_the_better_record() -> None:
    """OPT-84"""
    rng = np.random.default_rng(5)
    relatives = np.exp(rng.normal([0.006, 0.0, -0.006], 0.02, (400, 3)))
    allocator = PolicyAllocator(CompositePolicy(), relatives)
    shares = allocator.wish(399, np.full(3, 1 / 3), relatives)
    assert shares[0] > shares[2]
    assert run_allocation(relatives, allocator).final_wealth > references(relatives).uniform


def test_before_there_is_a_risk_there_is_no_opinion() -> None:
    relatives = market(6)
    allocator = PolicyAllocator(CompositePolicy(), relatives, window=50)
    shares = np.full(4, 0.25)
    assert allocator.wish(49, shares, relatives) == pytest.approx(shares)


@pytest.mark.parametrize("seed", range(5))
def test_exponentiated_gradient_keeps_its_published_bound(seed: int) -> None:
    """OPT-79: against the best constant rebalanced portfolio in hindsight."""
    relatives = market(seed, 400)
    run = run_allocation(relatives, ExponentiatedGradientAllocator(eta=0.05))
    best = math.log(references(relatives).best_constant_rebalanced)
    assert best - run.log_wealth <= gradient_regret_bound(relatives, 0.05)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_table_with_an_impossible_relative_is_refused(bad: float) -> None:
    table = market(1)
    table[7, 2] = bad
    with pytest.raises(AllocationError, match=rf"row 7: C was {bad}, allowed"):
        require_relatives(("A", "B", "C", "D"), table)
    with pytest.raises(AllocationError, match="periods were 0"):
        require_relatives(("A",), np.zeros((0, 1)))
