"""Figures of a window in R, by hand."""

from __future__ import annotations

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
