"""A close beyond the channel of earlier bars, with volume and range behind it."""

from __future__ import annotations

import numpy as np

from engine.types.bars import ColumnStore
from engine.types.opinions import RuleColumns
from strategies.core.rules.breakout import Breakout
from tests.bar_factory import from_close

QUIET = 100.0 + 0.2 * np.sin(np.arange(100))


def columns_of(tail: list[float], *, surge: float) -> RuleColumns:
    close = np.concatenate((QUIET, tail))
    volume = np.ones(len(close))
    volume[100:] = surge
    return Breakout().columns(ColumnStore(from_close(close, wick=0.02, volume=volume)))


def test_close_beyond_the_channel_on_volume_is_bought_once() -> None:
    columns = columns_of([101.0, 101.2, 101.4], surge=4.0)
    assert np.flatnonzero(columns.side).tolist() == [100]
    assert columns.side[100] == 1
    assert columns.probability_up[100] > 0.5


def test_same_close_without_volume_is_left_alone() -> None:
    assert not columns_of([101.0, 101.2, 101.4], surge=1.0).side.any()


def test_close_within_the_channel_is_no_breakout() -> None:
    assert not columns_of([100.1, 100.15], surge=4.0).side.any()


def test_fall_back_through_the_shorter_channel_asks_to_leave() -> None:
    columns = columns_of([101.0, 101.2, 99.0], surge=4.0)
    assert columns.exit_long[102]
    assert not columns.exit_long[100:102].any()
