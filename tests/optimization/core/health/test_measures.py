"""Figures of a window in R, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from optimization.core.config import HealthSettings
from optimization.core.health.measures import is_evident, measure, recovered, violations

SETTINGS = HealthSettings()


def test_the_figures_by_hand() -> None:
    """OPT-78, OPT-81: drawdown from the running peak, streak at the end, 0 is neither."""
    found = measure([2.0, -1.0, -1.0, 0.0, 3.0, -1.0, -0.5])
    assert found.trades == 7
    assert found.expectancy_r == pytest.approx(1.5 / 7)
    assert found.profit_factor == pytest.approx(5.0 / 3.5)
    assert found.win_rate_fraction == pytest.approx(2 / 7)
    assert (found.drawdown_r, found.losing_streak) == (2.0, 2)
    assert found.error_r == pytest.approx((15.928571 / 42) ** 0.5)


def test_what_is_not_defined_is_none() -> None:
    """OPT-78: never 0, infinity or NaN."""
    nothing = measure([])
    assert (nothing.expectancy_r, nothing.profit_factor, nothing.error_r) == (None, None, None)
    assert measure([1.0]).profit_factor is None and measure([1.0]).error_r is None
    assert not violations(nothing, SETTINGS) and not recovered(nothing, SETTINGS)
    assert not is_evident(measure([-1.0]), SETTINGS)


def test_a_drawdown_that_begins_at_once_counts() -> None:
    """OPT-81: the peak is at least 0."""
    assert measure([-4.0, 1.0]).drawdown_r == 4.0


def test_recovery_needs_more_than_no_violation() -> None:
    """OPT-36: hysteresis."""
    between = measure([-1.0, 0.95] * 10)
    assert not violations(between, SETTINGS) and not recovered(between, SETTINGS)
    assert recovered(measure([-1.0, 1.0] * 10), SETTINGS)
    assert recovered(measure([1.0] * 5), SETTINGS)


def test_the_error_of_the_mean_is_known_from_two_trades_on() -> None:
    """OPT-78: of equal ones it is nothing."""
    assert measure([1.0, 3.0]).error_r == 1.0
    assert measure([0.5, 0.5]).error_r == 0.0


def test_what_stands_exactly_at_a_limit_is_no_violation() -> None:
    """OPT-81: each threshold is the last value that is allowed."""
    at_once = replace(SETTINGS, evidence_errors=0.0)
    for rs, settings in (
        ([-0.25] * 4, replace(at_once, expectancy_r_min=-0.25, profit_factor_min=0.0)),
        ([1.0, -2.0], replace(at_once, expectancy_r_min=-0.5, profit_factor_min=0.5)),
        ([-15.0, 20.0], SETTINGS),
        ([-0.1] * 10, replace(SETTINGS, reference_r=-1.0)),
    ):
        assert violations(measure(rs), settings) == ()
    long = replace(SETTINGS, reference_r=-1.0)
    assert [text[:13] for text in violations(measure([-0.1] * 11), long)] == ["losing streak"]


def test_evidence_is_counted_in_errors_of_the_mean() -> None:
    """OPT-81: -3 R with an error of 2 R is below 0 by one and a half of them."""
    found = measure([-1.0, -5.0])
    assert (found.expectancy_r, found.error_r) == (-3.0, 2.0)
    for errors, is_bad in ((1.4, True), (1.5, False), (1.6, False)):
        assert is_evident(found, replace(SETTINGS, evidence_errors=errors)) is is_bad
