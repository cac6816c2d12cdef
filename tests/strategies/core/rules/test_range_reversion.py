"""Fade the edges of a range, leave trends alone."""

from __future__ import annotations

import numpy as np

from engine.types.bars import ColumnStore
from engine.types.opinions import RuleColumns
from strategies.core.rules.range_reversion import RangeReversion, RangeReversionParams
from tests.bar_factory import from_close

WAVE = 100.0 + 2.0 * np.sin(np.arange(400) * 2.0 * np.pi / 40.0)


def columns_of(close: np.ndarray, **params: float) -> RuleColumns:
    rule = RangeReversion(RangeReversionParams(**params))
    return rule.columns(ColumnStore(from_close(close, wick=0.05)))


def test_troughs_of_a_wave_are_bought_and_crests_sold() -> None:
    columns = columns_of(WAVE)
    longs, shorts = WAVE[columns.side == 1], WAVE[columns.side == -1]
    assert len(longs) >= 5 and (longs < 99.0).all()
    assert len(shorts) >= 5 and (shorts > 101.0).all()


def test_target_is_the_middle_and_the_stop_lies_beyond_the_edge() -> None:
    columns = columns_of(WAVE)
    row = int(np.flatnonzero(columns.side == 1)[0])
    assert abs(columns.target_price[row] - 100.0) < 0.1
    assert columns.stop_price[row] < 98.0


def test_falling_trend_is_not_bought() -> None:
    assert not (
        columns_of(100.0 - np.arange(300) * 0.05 + 0.02 * np.sin(np.arange(300))).side > 0
    ).any()


def test_opinion_is_highest_at_the_trough_and_lowest_at_the_crest() -> None:
    opinion = columns_of(WAVE).probability_up[200:240]
    assert abs(int(opinion.argmax()) - int(WAVE[200:240].argmin())) <= 3
    assert abs(int(opinion.argmin()) - int(WAVE[200:240].argmax())) <= 3


def test_long_is_left_on_the_upper_side_of_the_range() -> None:
    columns = columns_of(WAVE)
    assert (WAVE[columns.exit_long] > 100.5).all() and columns.exit_long.any()


def test_poor_reward_is_not_worth_an_entry() -> None:
    assert not columns_of(WAVE, min_reward=50.0).side.any()
