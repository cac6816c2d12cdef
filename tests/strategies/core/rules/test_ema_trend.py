"""Entries on a cross and on a pullback that turns; exit on the opposite cross."""

from __future__ import annotations

import numpy as np

from engine.types.bars import ColumnStore
from engine.types.opinions import RuleColumns
from strategies.core.rules.ema_trend import EmaTrend, EmaTrendParams
from tests.bar_factory import from_close


def columns_of(close: np.ndarray, **params: float) -> RuleColumns:
    bars = from_close(close, wick=0.1)
    return EmaTrend(EmaTrendParams(**params)).columns(ColumnStore(bars))  # type: ignore[arg-type]


def vee() -> np.ndarray:
    """A fall to bar 150, then a rise."""
    return 200.0 + np.abs(np.arange(300.0) - 150.0) * 0.2


def test_turn_of_the_market_is_one_cross_and_one_long_entry() -> None:
    columns = columns_of(vee())
    crosses = np.flatnonzero(columns.exit_short)
    assert len(crosses) == 1 and 150 < crosses[0] < 200
    assert columns.side[crosses[0]] == 1
    assert not columns.exit_long.any()


def test_opinion_follows_the_gap_of_the_means() -> None:
    columns = columns_of(vee())
    assert columns.probability_up[140] < 0.5 < columns.probability_up[290]


def test_levels_are_the_stated_multiples_of_the_average_range() -> None:
    close = vee()
    columns = columns_of(close, stop_atr=1.0, target_atr=4.0)
    row = int(np.flatnonzero(columns.side)[0])
    risk, reward = close[row] - columns.stop_price[row], columns.target_price[row] - close[row]
    assert abs(reward / risk - 4.0) < 1e-9


def test_dip_below_the_fast_mean_that_turns_is_bought_in_a_trend_only() -> None:
    close = 100.0 + np.arange(300.0) * 0.2
    close[200:203] -= (1.5, 2.0, 1.0)
    columns = columns_of(close)
    assert np.flatnonzero(columns.side[150:]).tolist() == [52]
    # The same dip in a market that goes nowhere.
    still = np.full(300, 100.0) + np.where(np.arange(300) % 2, 0.1, -0.1)
    still[200:202] -= (1.5, 2.0)
    assert not (columns_of(still).side[202:206] == 1).any()
