"""Three-bar gaps, measured from the edge where price comes back in."""

from __future__ import annotations

import numpy as np
import pytest

from engine.types.bars import BarColumns, ColumnStore
from engine.types.opinions import RuleColumns
from strategies.core.rules.fair_value_gap import FairValueGap, FairValueGapParams
from tests.bar_factory import candles

CALM = [(100.0, 100.5, 99.5, 100.0)] * 30
# Bar 30 ends at 100.5, bar 31 runs away, bar 32 stays above 102: the gap is 100.5..102.
RUN = [(100.0, 100.5, 99.8, 100.3), (100.3, 103.5, 100.3, 103.2), (103.2, 103.8, 102.0, 103.0)]
ABOVE = (103.0, 103.4, 102.5, 103.0)


def bars_of(*tail: tuple[float, float, float, float]) -> BarColumns:
    return candles([*CALM, *RUN, *tail])


def columns_of(*tail: tuple[float, float, float, float], **params: float) -> RuleColumns:
    rule = FairValueGap(FairValueGapParams(**params))  # type: ignore[arg-type]
    return rule.columns(ColumnStore(bars_of(*tail)))


def test_first_touch_from_above_is_bought() -> None:
    touch = (103.0, 103.1, 101.9, 102.5)
    columns = columns_of(ABOVE, touch, ABOVE)
    assert np.flatnonzero(columns.side).tolist() == [34]
    assert columns.side[34] == 1
    assert columns.probability_up[34] > 0.5


def test_gap_that_nothing_touches_proposes_nothing() -> None:
    columns = columns_of(ABOVE, ABOVE, ABOVE)
    assert not columns.side.any()
    assert (columns.probability_up == 0.5).all()


def test_second_touch_is_not_bought_again() -> None:
    touch = (103.0, 103.1, 101.9, 102.5)
    assert np.flatnonzero(columns_of(touch, ABOVE, touch).side).tolist() == [33]


def test_filling_is_measured_from_the_upper_edge() -> None:
    """A first touch reads almost nothing, not all: confidence is then highest."""
    shallow = columns_of((103.0, 103.1, 101.99, 102.5)).confidence[33]
    deep = columns_of((103.0, 103.1, 100.51, 102.5)).confidence[33]
    assert shallow == pytest.approx(0.75, abs=0.01)
    assert deep == pytest.approx(0.50, abs=0.01)


def test_stop_lies_below_the_lower_edge() -> None:
    columns = columns_of((103.0, 103.1, 101.9, 102.5), stop_atr=0.0)
    assert columns.stop_price[33] == 100.5


def test_close_through_the_gap_ends_it_and_asks_to_leave() -> None:
    through = (103.0, 103.0, 100.0, 100.2)
    columns = columns_of(ABOVE, through, ABOVE, (103.0, 103.1, 101.9, 102.5))
    assert columns.exit_long[34]
    assert not (columns.side[34:] == 1).any()


def test_opinion_fades_and_old_gaps_are_forgotten() -> None:
    touch = (103.0, 103.1, 101.9, 102.5)
    lean = columns_of(touch, *[ABOVE] * 14).probability_up[33:] - 0.5
    assert (np.diff(lean[:12]) < 0).all()
    assert lean[12] == 0.0
    late = columns_of(*[ABOVE] * 10, touch, max_age_bars=5)
    assert not late.side.any()


def test_gap_too_small_for_the_market_is_none() -> None:
    touch = (103.0, 103.1, 101.9, 102.5)
    assert not columns_of(touch, min_gap_atr=5.0).side.any()
