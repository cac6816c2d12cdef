"""Exponentiated gradient: its step, its regret bounds on hostile streams, sleeping strategies."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimization.core.errors import WeightingError
from optimization.core.evidence import StrategyEvidence, strategy_evidence
from optimization.core.performance import Decomposition
from optimization.core.weighting import ExponentiatedGradientPolicy
from optimization.core.weighting.exponentiated_gradient import (
    hedge_regret_bound,
    multiplicative_step,
    portfolio_regret_bound,
)
from tests.optimization.core.trades import every

Floats = npt.NDArray[np.float64]
Adversary = Callable[[int, Floats, np.random.Generator], Floats]


def punish_the_leader(t: int, weights: Floats, rng: np.random.Generator) -> Floats:
    rewards = np.ones(len(weights))
    rewards[int(weights.argmax())] = 0.0
    return rewards


def alternate(t: int, weights: Floats, rng: np.random.Generator) -> Floats:
    return np.array([(i + t) % 2 for i in range(len(weights))], dtype=np.float64)


def swap_in_blocks(t: int, weights: Floats, rng: np.random.Generator) -> Floats:
    rewards = np.zeros(len(weights))
    rewards[(t // 50) % len(weights)] = 1.0
    return rewards


def coin(t: int, weights: Floats, rng: np.random.Generator) -> Floats:
    return (rng.uniform(size=len(weights)) < 0.5).astype(np.float64)


def one_good(t: int, weights: Floats, rng: np.random.Generator) -> Floats:
    rewards = np.zeros(len(weights))
    rewards[-1] = 1.0
    return rewards


@pytest.mark.parametrize(
    "adversary", [punish_the_leader, alternate, swap_in_blocks, coin, one_good]
)
@pytest.mark.parametrize("n_experts", [2, 7])
@pytest.mark.parametrize("eta", [0.02, 0.2, 1.0])
def test_hedge_keeps_its_regret_bound_against_adversaries(
    adversary: Adversary, n_experts: int, eta: float
) -> None:
    """OPT-79: ln N / eta + eta T / 8 on every stream, also one that sees our weights."""
    rng = np.random.default_rng(7)
    weights = np.full(n_experts, 1.0 / n_experts)
    ours, theirs, n_rounds = 0.0, np.zeros(n_experts), 2_000
    for t in range(n_rounds):
        rewards = adversary(t, weights, rng)
        ours += float(weights @ rewards)
        theirs += rewards
        weights = multiplicative_step(weights, rewards, eta)
    assert theirs.max() - ours <= hedge_regret_bound(n_experts, n_rounds, eta)


def test_the_bound_is_tight_enough_to_be_broken_by_a_worse_rule() -> None:
    """Follow-the-leader loses half of all rounds to the same adversary: the bound can fail."""
    weights, theirs, ours = np.array([1.0, 0.0]), np.zeros(2), 0.0
    for t in range(2_000):
        rewards = punish_the_leader(t, weights, np.random.default_rng(0))
        ours += float(weights @ rewards)
        theirs += rewards
        weights = np.eye(2)[int(theirs.argmax())]
    assert theirs.max() - ours > hedge_regret_bound(2, 2_000, 0.05)


def test_the_portfolio_rule_keeps_its_bound() -> None:
    """OPT-79: log wealth against every constant rebalanced portfolio of two assets."""
    rng = np.random.default_rng(54)
    relatives = np.exp(rng.normal(0.0, 0.05, (400, 2)))
    eta = 0.05
    shares, ours = np.array([0.5, 0.5]), 0.0
    for period in relatives:
        ours += math.log(shares @ period)
        shares = multiplicative_step(shares, period / (shares @ period), eta)
    best = max(np.log(relatives @ [b, 1 - b]).sum() for b in np.linspace(0, 1, 1001))
    smallest = float((relatives / relatives.max(axis=1, keepdims=True)).min())
    assert best - ours <= portfolio_regret_bound(2, 400, eta, smallest)


def test_the_bounds_are_those_of_the_papers_at_their_best_rate() -> None:
    """OPT-79: with the rate that makes it smallest, sqrt(T ln N / 2), over r for a portfolio."""
    n, rounds, smallest = 7, 2_000, 0.5
    least = math.sqrt(rounds * math.log(n) / 2)
    best_eta = math.sqrt(8 * math.log(n) / rounds)
    assert hedge_regret_bound(n, rounds, best_eta) == pytest.approx(least)
    found = portfolio_regret_bound(n, rounds, smallest * best_eta, smallest)
    assert found == pytest.approx(least / smallest)
    for eta in (best_eta * 1.1, best_eta / 1.1):
        assert hedge_regret_bound(n, rounds, eta) > least
        assert portfolio_regret_bound(n, rounds, smallest * eta, smallest) > least / smallest


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 5.0), st.floats(-50.0, 800.0)), min_size=1, max_size=12))
def test_a_step_keeps_the_whole_and_the_order_of_rewards(pairs: list[tuple[float, float]]) -> None:
    """No overflow at exp(800); a larger reward never raises a weight by a smaller factor."""
    weights, rewards = (np.array(column) for column in zip(*pairs, strict=True))
    new = multiplicative_step(weights, rewards, 1.0)
    assert new.sum() == pytest.approx(weights.sum())
    factors = new / weights
    order = np.argsort(rewards)
    assert (np.diff(factors[order]) >= -1e-12).all()


def _evidence(strategy: str, r: list[float]) -> StrategyEvidence:
    book = Decomposition()
    for trade in every(r, strategy=strategy):
        book.add(trade)
    return strategy_evidence(book, strategy, None)


def test_more_goes_to_the_strategy_with_the_better_new_trades() -> None:
    """OPT-84"""
    found = {"a": _evidence("a", [0.5] * 6), "b": _evidence("b", [-0.5] * 6)}
    policy = ExponentiatedGradientPolicy(eta=0.4)
    targets = policy.propose({"a": 1.0, "b": 1.0}, found)
    assert targets["a"] / targets["b"] == pytest.approx(math.exp(0.4 * 0.5))
    assert sum(targets.values()) == pytest.approx(2.0)


def test_who_sleeps_keeps_its_weight_and_nobody_takes_it() -> None:
    """D-17: four new trades are no evidence, silence neither pays nor costs."""
    found = {
        "a": _evidence("a", [1.0] * 6),
        "b": _evidence("b", [-1.0] * 6),
        "c": _evidence("c", [5.0] * 4),
    }
    policy = ExponentiatedGradientPolicy()
    targets = policy.propose({"a": 1.0, "b": 1.0, "c": 0.7, "d": 1.2}, found)
    assert (targets["c"], targets["d"]) == (0.7, 1.2)
    assert sum(targets.values()) == pytest.approx(4.0), "four base weights of one"


def test_five_new_trades_are_enough_and_a_full_r_apart_is_one_step_of_the_rate() -> None:
    """D-17: and the default rate is that of the documentation, a half."""
    found = {"a": _evidence("a", [1.0] * 5), "b": _evidence("b", [-1.0] * 5)}
    targets = ExponentiatedGradientPolicy().propose({"a": 1.0, "b": 1.0}, found)
    assert targets["a"] / targets["b"] == pytest.approx(math.exp(0.5))


def test_where_the_sleeping_hold_all_the_base_weights_the_awake_keep_theirs() -> None:
    """A whole of nothing to share would be a wish for no weight at all."""
    policy = ExponentiatedGradientPolicy()
    targets = policy.propose({"a": 0.3, "asleep": 2.0}, {"a": _evidence("a", [0.1] * 6)})
    assert targets["a"] == pytest.approx(0.3)


def test_the_whole_comes_back_to_the_base_weights() -> None:
    """Limits hold back one side more than the other; the next wish makes up for it."""
    found = {code: _evidence(code, [0.1] * 6) for code in ("a", "b")}
    policy = ExponentiatedGradientPolicy(base_weights={"a": 0.8, "b": 0.4})
    assert sum(policy.propose({"a": 0.3, "b": 0.2}, found).values()) == pytest.approx(1.2)
    crowded = policy.propose({"a": 0.3, "c": 2.0, "d": 2.0, "e": 2.0}, found)
    assert crowded["a"] == pytest.approx(0.3), "nothing is left: it keeps what it has"


def test_one_lucky_trade_cannot_take_everything() -> None:
    """R is cut at one: 100 R and 1 R are the same reward."""
    policy = ExponentiatedGradientPolicy()
    assert policy.reward(100.0) == policy.reward(1.0) == 1.0
    assert policy.reward(-100.0) == 0.0
    assert policy.reward(0.0) == 0.5


def test_parameters_that_make_no_sense_are_refused() -> None:
    with pytest.raises(WeightingError, match=r"must be above 0, was 0\.0"):
        ExponentiatedGradientPolicy(eta=0.0)
    with pytest.raises(WeightingError, match="must be above 0, was nan"):
        ExponentiatedGradientPolicy(eta=math.nan)
    with pytest.raises(WeightingError, match=r"must be above 0, was 0\.5, 0\.0, 5"):
        ExponentiatedGradientPolicy(full_r=0.0)
    with pytest.raises(WeightingError, match=r"must be above 0, was 0\.5, 1\.0, 0"):
        ExponentiatedGradientPolicy(min_new_trades=0)
    smallest = ExponentiatedGradientPolicy(eta=0.01, full_r=0.1, min_new_trades=1)
    assert smallest.reward(0.05) == pytest.approx(0.75), "half of a full R"
