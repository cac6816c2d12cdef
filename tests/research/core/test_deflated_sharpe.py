"""The Sharpe ratio of the best of many: the paper's own numbers, and chance that stays chance."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from research.core.deflated_sharpe import (
    DAY_MS,
    Sample,
    best_by_chance,
    daily_returns,
    deflated_sharpe,
    probabilistic_sharpe,
    sample_of,
)

# Bailey and Lopez de Prado (2014), "A numerical example": five years of days, a Sharpe of 2.5 a
# year, trials whose yearly Sharpe ratios vary by 1/2, skew -3, kurtosis 10.
PAPER = Sample(n=1250, sharpe=2.5 / sqrt(250), skew=-3.0, kurtosis=10.0)
VARIANCE = 0.5 / 250


def test_the_example_of_the_paper_is_met_to_its_digits():
    assert best_by_chance(100, VARIANCE) == pytest.approx(0.1132, abs=5e-5)
    assert probabilistic_sharpe(PAPER, best_by_chance(100, VARIANCE)) == pytest.approx(
        0.9004, abs=5e-5
    )
    assert probabilistic_sharpe(PAPER, best_by_chance(46, VARIANCE)) == pytest.approx(
        0.9505, abs=2e-4
    )
    normal = Sample(n=1250, sharpe=PAPER.sharpe, skew=0.0, kurtosis=3.0)
    assert probabilistic_sharpe(normal, best_by_chance(88, VARIANCE)) == pytest.approx(
        0.9505, abs=2e-4
    )


def test_more_trials_make_the_same_sharpe_worth_less():
    worth = [probabilistic_sharpe(PAPER, best_by_chance(n, VARIANCE)) for n in (1, 10, 100, 1000)]
    assert worth == sorted(worth, reverse=True)
    assert worth[0] - worth[-1] > 0.1


def test_the_best_of_many_coins_is_not_believed():
    """Two hundred series without skill: the winner looks good alone and is not when counted."""
    rng = np.random.default_rng(3)
    samples = [sample_of(rng.normal(0.0, 0.01, 500)) for _ in range(200)]
    best = max(samples, key=lambda sample: sample.sharpe)
    assert probabilistic_sharpe(best) > 0.98
    found = deflated_sharpe(best, [sample.sharpe for sample in samples])
    assert found.n_trials == 200
    assert found.probability < 0.8


def test_skill_that_is_there_survives_the_counting():
    rng = np.random.default_rng(4)
    skilled = sample_of(rng.normal(0.002, 0.01, 1_000))
    others = [sample_of(rng.normal(0.0, 0.01, 1_000)).sharpe for _ in range(50)]
    assert deflated_sharpe(skilled, [skilled.sharpe, *others]).probability > 0.95


def test_too_few_days_or_no_spread_have_no_sharpe():
    assert sample_of(np.full(29, 0.01)) is None
    assert sample_of(np.zeros(100)) is None
    with pytest.raises(ValueError, match="trials were 0"):
        best_by_chance(0, 1.0)


def test_days_are_cut_at_midnight_utc():
    hours = np.arange(0, 72, dtype=np.int64) * 3_600_000
    equity = np.where(hours < DAY_MS, 100.0, np.where(hours < 2 * DAY_MS, 110.0, 99.0))
    assert daily_returns(hours, equity) == pytest.approx([0.1, -0.1])
    assert len(daily_returns(hours[:1], equity[:1])) == 0
