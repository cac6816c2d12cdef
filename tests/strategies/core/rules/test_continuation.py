"""Impulse, pullback of the right depth, break; nothing is faked where no pullback formed."""

from __future__ import annotations

import numpy as np

from engine.types.bars import ColumnStore
from engine.types.opinions import RuleColumns
from strategies.core.rules.continuation import Continuation, ContinuationParams
from tests.bar_factory import from_close

CALM = [100.0, 100.2] * 20
IMPULSE = [100.5, 101.5, 102.5, 103.5]
PULLBACK = [103.1, 102.7, 102.4, 102.3]
BREAK = [103.3]


def columns_of(*parts: list[float], **params: float) -> RuleColumns:
    close = np.array([price for part in parts for price in part])
    rule = Continuation(ContinuationParams(**params))  # type: ignore[arg-type]
    return rule.columns(ColumnStore(from_close(close, wick=0.05)))


def test_break_after_a_pullback_is_bought_with_the_stop_below_it() -> None:
    columns = columns_of(CALM, IMPULSE, PULLBACK, BREAK)
    assert np.flatnonzero(columns.side).tolist() == [48]
    assert columns.side[48] == 1
    assert columns.stop_price[48] < 102.3 - 0.05
    assert columns.probability_up[48] > 0.5


def test_impulse_without_a_pullback_is_not_bought() -> None:
    rally = [104.0, 104.5, 105.0, 105.5, 106.0]
    assert not columns_of(CALM, IMPULSE, rally).side.any()


def test_pullback_that_is_too_deep_fails_and_asks_to_leave() -> None:
    columns = columns_of(CALM, IMPULSE, [102.0, 100.6, 100.4], [102.0, 103.0])
    assert not columns.side.any()
    assert columns.exit_long[44:47].any()


def test_pullback_that_lasts_too_long_is_forgotten() -> None:
    resting = [102.6, 102.5] * 15
    assert not columns_of(CALM, IMPULSE, PULLBACK, resting, BREAK).side.any()


def test_move_that_is_small_for_this_market_is_no_impulse() -> None:
    assert not columns_of(CALM, IMPULSE, PULLBACK, BREAK, impulse_atr=20.0).side.any()
