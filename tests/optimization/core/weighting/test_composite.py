"""The composite score: scale-free, honest about losers, slow to believe few trades."""

from __future__ import annotations

from itertools import pairwise
from math import inf, log2, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.performance import Cut
from optimization.core.errors import WeightingError
from optimization.core.evidence import StrategyEvidence, strategy_evidence
from optimization.core.performance import Decomposition
from optimization.core.weighting import CompositePolicy, CompositeSettings
from optimization.core.weighting.composite import composite_score
from tests.optimization.core.trades import closed

POLICY = CompositePolicy()
results = st.lists(st.floats(-3.0, 5.0), min_size=1, max_size=60)


def evidence(r: list[float], risk_quote: str = "10") -> StrategyEvidence:
    book = Decomposition()
    for number, one in enumerate(r):
        book.add(closed(number, one, risk_quote=risk_quote))
    return strategy_evidence(book, "ema-trend", None)


def target(r: list[float], weight: float = 1.0, policy: CompositePolicy = POLICY) -> float:
    return policy.propose({"ema-trend": weight}, {"ema-trend": evidence(r)})["ema-trend"]


def score(r: list[float]) -> float:
    return composite_score(evidence(r).recent, CompositeSettings()).score


def test_break_even_is_not_raised() -> None:
    """OPT-79: a predecessor gave break-even 1.15 and doubled it within a day (AW-15, AW-16)."""
    assert target([1.0, -1.0] * 20) <= 1.0
    assert target([2.0, -1.0, -1.0] * 15) <= 1.0
    assert target([0.0] * 40) == 1.0


@settings(max_examples=150, deadline=None)
@given(results)
def test_no_strategy_without_a_gain_is_ever_raised_and_no_loser_spared(r: list[float]) -> None:
    """OPT-79: the sign of the total R decides; PF 0.5 once scored above 1 (AW-15)."""
    total = float(np.sum(evidence(r).recent.total_r))
    if total <= 0.0:
        assert score(r) <= 0.0
    if total < -1e-6:
        assert score(r) < 0.0


def test_winners_rise_and_losers_fall_in_order_of_their_edge() -> None:
    """OPT-84: a better edge is never wished less."""
    rng = np.random.default_rng(84)
    noise = rng.normal(0.0, 1.0, 50)
    noise -= noise.mean()
    targets = [target((noise + edge).tolist()) for edge in (-0.4, -0.2, 0.0, 0.1, 0.2, 0.4)]
    assert all(a < b for a, b in pairwise(targets))
    assert targets[1] < 0.9
    assert targets[4] > 1.1


@settings(max_examples=60, deadline=None)
@given(results, st.sampled_from(["0.01", "20", "1000000"]))
def test_the_size_of_the_account_changes_nothing(r: list[float], risk_quote: str) -> None:
    """OPT-79: a predecessor divided money by 100 units (AW-14)."""
    small, large = evidence(r), evidence(r, risk_quote)
    assert POLICY.propose({"a": 1.0}, {"a": small}) == POLICY.propose({"a": 1.0}, {"a": large})


def test_doubling_the_account_in_mid_window_changes_nothing() -> None:
    """OPT-79: R of each trade is of its own risk."""
    book, same = Decomposition(), Decomposition()
    for number in range(40):
        r = 1.5 if number % 2 else -1.0
        book.add(closed(number, r, risk_quote="10" if number < 20 else "20"))
        same.add(closed(number, r))
    assert book.lifetime(Cut()).pnl_quote != same.lifetime(Cut()).pnl_quote
    found = [strategy_evidence(one, "ema-trend", None) for one in (book, same)]
    assert POLICY.propose({"a": 1.0}, {"a": found[0]}) == POLICY.propose(
        {"a": 1.0}, {"a": found[1]}
    )


def test_few_trades_say_little_and_fewer_than_the_minimum_nothing() -> None:
    """OPT-79: the same record, told by 9, 10, 30 and 50 trades."""
    record = [1.5, -1.0]
    assert target((record * 5)[:9], weight=1.3) == 1.3
    raised = [target(record * half) for half in (5, 15, 25)]
    assert 1.0 < raised[0] < raised[1] < raised[2]


def test_a_deeper_drawdown_scores_lower_with_the_same_results() -> None:
    """OPT-79: a predecessor's drawdown was always 0 (AW-17)."""
    mixed = [2.0, -1.0] * 15
    sorted_badly = [-1.0] * 15 + [2.0] * 15
    assert score(sorted_badly) < score(mixed)


def test_winners_without_a_loss_have_a_finite_score() -> None:
    """OPT-78: no loss leaves the profit factor undefined; the prior's losses stand in."""
    assert 1.0 < target([1.0] * 50) <= 1.8
    assert target([-1.0] * 50) >= 0.01
    bare = CompositeSettings(prior_trades=0.0)
    assert 1.0 < target([1.0] * 50, policy=CompositePolicy(settings=bare)) <= 1.8


def test_the_target_follows_the_record_and_does_not_compound() -> None:
    """OPT-34: the wish depends on the base weight, not on where the weight stands."""
    record = [1.0, 1.0, -1.0] * 15
    assert target(record, weight=0.5) == target(record, weight=1.9)
    heavy = CompositePolicy(base_weights={"ema-trend": 0.5})
    assert target(record, policy=heavy) == pytest.approx(0.5 * target(record))


def test_a_strategy_without_evidence_keeps_its_weight() -> None:
    assert POLICY.propose({"a": 0.7, "b": 1.3}, {}) == {"a": 0.7, "b": 1.3}


def test_settings_that_make_no_sense_are_refused() -> None:
    for scale in (0.0, -1.0, inf):
        with pytest.raises(WeightingError, match="full scales must be above 0"):
            CompositeSettings(full_expectancy_r=scale)
    with pytest.raises(WeightingError, match=r"min trades 1 or more, was 20\.0 and 0"):
        CompositeSettings(min_trades=0)
    with pytest.raises(WeightingError, match=r"prior trades must be 0 or more .* was -0\.1 and 10"):
        CompositeSettings(prior_trades=-0.1)
    assert CompositeSettings(min_trades=1, prior_trades=0.0).min_trades == 1


def test_the_score_is_the_documented_sum_of_four_terms_worked_by_hand() -> None:
    """OPT-79: ten losses of 1 R and ten gains of 1.2 R in turn, with twenty trades mixed in.

    In all 2 R over 40 trades; gains of 12 + 10 R to losses of 10 + 10 R; squares about the mean of
    20 * 1.1 ** 2 and the prior's 20; the deepest fall is one loss of 1 R.
    """
    found = composite_score(evidence([-1.0, 1.2] * 10).recent, CompositeSettings())
    assert found.expectancy == pytest.approx(2 / 40 / 0.5)
    assert found.profit_factor == pytest.approx(log2(22 / 20))
    assert found.sharpe == pytest.approx(2 / 40 / sqrt((24.2 + 20) / 40) / 0.5)
    assert found.drawdown == pytest.approx(1 / 20 * 20 / 40)
    terms = (found.expectancy, found.profit_factor, found.sharpe, found.drawdown)
    shares = (0.4, 0.3, 0.1, -0.2)
    assert found.score == pytest.approx(sum(a * b for a, b in zip(shares, terms, strict=True)))


def test_a_mild_loser_is_not_scored_as_the_worst() -> None:
    """OPT-79: each term follows how much was lost."""
    found = composite_score(evidence([-1.2, 1.0] * 10).recent, CompositeSettings())
    assert found.profit_factor == pytest.approx(log2(20 / 22))
    assert -0.2 < found.score < 0.0


def test_no_term_goes_beyond_its_full_scale() -> None:
    """OPT-79: one term cannot outweigh the importance it was given."""
    best = composite_score(evidence([5.0] * 50).recent, CompositeSettings())
    assert (best.expectancy, best.profit_factor, best.sharpe, best.drawdown) == (1, 1, 1, 0)
    bare = CompositeSettings(prior_trades=0.0)
    worst = composite_score(evidence([-3.0] * 50).recent, bare)
    assert (worst.expectancy, worst.profit_factor, worst.sharpe, worst.drawdown) == (-1, -1, -1, 1)
    assert worst.score == pytest.approx(-1.0)


def test_results_that_are_all_the_same_have_the_spread_of_the_prior_alone() -> None:
    """OPT-79: and with no prior a spread of one R, so that nothing is divided by zero."""
    same = evidence([0.1] * 30).recent
    mixed_in = composite_score(same, CompositeSettings()).sharpe
    assert mixed_in == pytest.approx(3 / 50 / sqrt(20 / 50) / 0.5)
    bare = composite_score(same, CompositeSettings(prior_trades=0.0)).sharpe
    assert bare == pytest.approx(0.1 / 0.5)


def test_no_trade_says_nothing_and_one_says_something() -> None:
    """OPT-79"""
    nothing = composite_score(evidence([]).recent, CompositeSettings())
    terms = (nothing.expectancy, nothing.profit_factor, nothing.sharpe, nothing.drawdown)
    assert (*terms, nothing.score) == (0.0, 0.0, 0.0, 0.0, 0.0)
    assert score([1.0]) > 0.0 > score([-1.0])


def test_only_the_window_matters() -> None:
    """OPT-33: a terrible past beyond 50 trades changes nothing."""
    recent = [1.0, -0.5] * 25
    assert target([-3.0] * 100 + recent) == pytest.approx(target(recent), abs=1e-12)
