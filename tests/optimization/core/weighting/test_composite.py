"""The composite score: scale-free, honest about losers, slow to believe few trades."""

from __future__ import annotations

from itertools import pairwise

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
    with pytest.raises(WeightingError, match="full scales must be above 0"):
        CompositeSettings(full_expectancy_r=0.0)
    with pytest.raises(WeightingError, match="min trades 1 or more"):
        CompositeSettings(min_trades=0)


def test_only_the_window_matters() -> None:
    """OPT-33: a terrible past beyond 50 trades changes nothing."""
    recent = [1.0, -0.5] * 25
    assert target([-3.0] * 100 + recent) == pytest.approx(target(recent), abs=1e-12)
