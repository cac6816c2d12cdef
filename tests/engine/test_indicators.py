"""Causal columns: against brute force, under truncation (ORC-08, architecture section 8)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine import indicators
from engine.types.bars import FloatColumn
from tests.bar_factory import random_walk

BARS = random_walk(11, 6_000)
Column = Callable[[slice], FloatColumn]

COLUMNS: dict[str, Column] = {
    "ema": lambda s: indicators.ema(BARS.close[s], 48),
    "wilder_mean": lambda s: indicators.wilder_mean(BARS.close[s], 30),
    "sma": lambda s: indicators.sma(BARS.close[s], 32),
    "rolling_std": lambda s: indicators.rolling_std(BARS.close[s], 32),
    "log_returns": lambda s: indicators.log_returns(BARS.close[s], 5),
    "true_range": lambda s: indicators.true_range(BARS.high[s], BARS.low[s], BARS.close[s]),
    "atr": lambda s: indicators.atr(BARS.high[s], BARS.low[s], BARS.close[s]),
    "rsi": lambda s: indicators.rsi(BARS.close[s]),
    "rolling_max": lambda s: indicators.rolling_max(BARS.close[s], 48),
    "rolling_min": lambda s: indicators.rolling_min(BARS.close[s], 48),
    "signed_efficiency": lambda s: indicators.signed_efficiency(BARS.close[s], 64),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_last_row_of_a_window_equals_the_whole_history(name: str) -> None:
    """I-26 in small: live's 2,500 bars and replay's history agree."""
    column = COLUMNS[name]
    full = column(slice(0, 6_000))
    for end in (2_600, 3_777, 6_000):
        window = column(slice(end - 2_500, end))
        np.testing.assert_allclose(window[-1], full[end - 1], rtol=1e-9)


@pytest.mark.parametrize("name", COLUMNS)
def test_no_row_sees_the_future(name: str) -> None:
    """ORC-08: cutting the history short changes no earlier row, to the last bit."""
    column = COLUMNS[name]
    np.testing.assert_array_equal(column(slice(0, 700)), column(slice(0, 6_000))[:700])


@pytest.mark.parametrize("name", COLUMNS)
def test_once_warm_a_column_stays_finite(name: str) -> None:
    values = COLUMNS[name](slice(0, 6_000))
    first = int(np.isfinite(values).argmax())
    assert first <= 64
    assert np.isfinite(values[first:]).all()


@pytest.mark.parametrize("name", COLUMNS)
def test_history_shorter_than_the_warm_up_gives_only_nan(name: str) -> None:
    values = COLUMNS[name](slice(0, 1))
    assert values.shape == (1,)
    assert np.isnan(values).all() or name == "true_range"
    assert COLUMNS[name](slice(0, 0)).shape == (0,)


VALUES = arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e3, 1e3, width=32))


@given(VALUES, st.integers(1, 12))
@settings(deadline=None)
def test_windowed_columns_equal_brute_force(values: FloatColumn, window: int) -> None:
    expected: dict[str, Callable[[FloatColumn], float]] = {
        "sma": lambda w: float(w.mean()),
        "rolling_std": lambda w: float(w.std()),
        "rolling_max": lambda w: float(w.max()),
        "rolling_min": lambda w: float(w.min()),
    }
    for name, brute in expected.items():
        column = getattr(indicators, name)(values, window)
        for row in range(len(values)):
            if row < window - 1:
                assert np.isnan(column[row])
            else:
                want = brute(values[row - window + 1 : row + 1])
                assert column[row] == pytest.approx(want, rel=1e-9, abs=1e-6)


def test_ema_of_a_constant_is_that_constant() -> None:
    assert set(indicators.ema(np.full(100, 7.5), 12)[11:]) == {7.5}


def test_ema_follows_its_definition() -> None:
    got = indicators.ema(np.array([1.0, 2.0, 4.0]), 3)
    # alpha = 1/2: 1, 1.5, 2.75; warm from the third value on.
    np.testing.assert_allclose(got, [np.nan, np.nan, 2.75])


def test_nan_prefix_delays_warm_up_by_its_length() -> None:
    values = np.concatenate(([np.nan, np.nan], np.arange(10.0)))
    for column in (indicators.ema(values, 4), indicators.sma(values, 4)):
        assert int(np.isfinite(column).argmax()) == 5
    assert int(np.isfinite(indicators.rolling_max(values, 4)).argmax()) == 5


def test_atr_of_bars_with_one_range_is_that_range() -> None:
    n = 60
    atr = indicators.atr(np.full(n, 102.0), np.full(n, 100.0), np.full(n, 101.0))
    np.testing.assert_allclose(atr[13:], 2.0)


def test_true_range_counts_the_gap_from_the_previous_close() -> None:
    spread = indicators.true_range(
        np.array([11.0, 21.0]), np.array([9.0, 19.0]), np.array([10.0, 20.0])
    )
    np.testing.assert_array_equal(spread, [2.0, 11.0])


def test_rsi_is_100_for_a_rise_0_for_a_fall_and_50_for_a_standstill() -> None:
    line = np.arange(1.0, 61.0)
    assert indicators.rsi(line)[-1] == 100.0
    assert indicators.rsi(line[::-1].copy())[-1] == 0.0
    assert set(indicators.rsi(np.full(60, 5.0))[14:]) == {50.0}


def test_rsi_of_a_market_that_stopped_long_ago_is_50() -> None:
    """One rise, then thousands of still bars: what is left of the rise is rounding."""
    values = np.concatenate(([1.0, 2.0], np.full(4_000, 2.0)))
    assert indicators.rsi(values)[-1] == 50.0


def test_efficiency_is_1_on_a_line_and_0_where_flat() -> None:
    line = np.arange(1.0, 40.0)
    assert indicators.signed_efficiency(line, 10)[-1] == pytest.approx(1.0)
    assert indicators.signed_efficiency(line[::-1].copy(), 10)[-1] == pytest.approx(-1.0)
    assert indicators.signed_efficiency(np.full(40, 3.0), 10)[-1] == 0.0


def test_a_spike_that_left_the_window_leaves_no_trace() -> None:
    """Running sums would keep its rounding error."""
    values = np.full(300, 1.0)
    values[50] = 1e12
    assert indicators.rolling_std(values, 20)[-1] == 0.0
    assert indicators.sma(values, 20)[-1] == 1.0


@pytest.mark.parametrize("window", [0, -3])
def test_window_below_one_is_refused(window: int) -> None:
    with pytest.raises(ValueError, match=f"window must be at least 1, was {window}"):
        indicators.sma(np.ones(5), window)
