"""Statistics of one row's window: against brute force and scipy (ORC-08)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from engine import windows
from engine.types.bars import FloatColumn

N = 40
VALUES = arrays(np.float64, N, elements=st.floats(-1e3, 1e3, width=32))


@given(VALUES, st.integers(3, 30))
@settings(deadline=None)
def test_sums_and_deviations_equal_brute_force(values: FloatColumn, window: int) -> None:
    own = values[-window:]
    assert windows.total(values, N - 1, window) == pytest.approx(own.sum(), rel=1e-9, abs=1e-6)
    assert windows.deviation(values, N - 1, window) == pytest.approx(own.std(), rel=1e-6, abs=1e-6)
    rms = float(np.sqrt((own**2).mean()))
    assert windows.root_mean_square(values, N - 1, window) == pytest.approx(rms, rel=1e-9)


@given(VALUES, st.integers(3, 30))
@settings(deadline=None)
def test_slope_equals_a_least_squares_fit(values: FloatColumn, window: int) -> None:
    want = np.polyfit(np.arange(window), values[-window:], 1)[0]
    assert windows.slope(values, N - 1, window) == pytest.approx(want, rel=1e-6, abs=1e-6)


def test_moments_and_correlation_are_those_of_scipy() -> None:
    rng = np.random.default_rng(3)
    left, right = rng.gamma(2.0, 1.0, 200), rng.normal(size=200)
    mixed = left + right
    skewness, kurtosis = windows.moments(left, 199, 48)
    assert skewness == pytest.approx(stats.skew(left[-48:]))
    assert kurtosis == pytest.approx(stats.kurtosis(left[-48:], fisher=False))
    want = np.corrcoef(left[-33:-1], mixed[-32:])[0, 1]
    assert windows.correlation(left, 198, mixed, 199, 32) == pytest.approx(want)
    assert windows.normal_share(1.0) == pytest.approx(stats.norm.cdf(1.0))


def test_constant_window_has_no_deviation_and_no_moments() -> None:
    values = np.full(50, 0.1)
    assert windows.deviation(values, 49, 20) == 0.0
    assert windows.moments(values, 49, 20) == (0.0, 0.0)
    assert windows.autocorrelation(values, 49, 20) == 0.0
    assert windows.correlation(values, 49, np.arange(50.0), 49, 20) == 0.0


def test_autocorrelation_tells_alternation_from_persistence() -> None:
    alternating = np.tile([1.0, -1.0], 30)
    assert windows.autocorrelation(alternating, 59, 20) < -0.9
    assert windows.autocorrelation(np.arange(60.0), 59, 20) > 0.8


def test_ratios_to_nothing_are_nothing() -> None:
    assert windows.ratio(3.0, 2.0, 0.0) == 1.5
    assert windows.ratio(3.0, 1e-10, 1e-9) == 0.0
    assert windows.log_ratio(0.0, 1.0) == windows.log_ratio(1.0, 0.0) == 0.0
    assert windows.log_ratio(np.e, 1.0) == pytest.approx(1.0)


def test_what_left_the_window_leaves_no_trace() -> None:
    """Running sums would keep its rounding error."""
    values = np.full(300, 1.0)
    values[50] = 1e12
    assert windows.deviation(values, 299, 20) == 0.0
    assert windows.total(values, 299, 20) == 20.0
