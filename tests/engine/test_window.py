"""Windows: what live keeps is what replay reads."""

from __future__ import annotations

import numpy as np
import pytest

from engine.quality import bar_at
from engine.window import HistoryWindow, RollingWindow
from tests.bar_factory import cut, random_walk


def test_rolling_window_holds_exactly_the_last_bars_whatever_it_moved() -> None:
    bars = random_walk(3, 700)
    window = RollingWindow(cut(bars, 0, 120), capacity=100)
    for row in range(120, 700):
        store, at = window.append(bar_at(bars, row))
        assert at == 99
        assert np.array_equal(store.bars.close, bars.close[row - 99 : row + 1])
        assert np.array_equal(store.bars.ts_ms, bars.ts_ms[row - 99 : row + 1])
        assert window.last_bar == bar_at(bars, row)


def test_rolling_window_starts_from_nothing() -> None:
    bars = random_walk(3, 5)
    window = RollingWindow(cut(bars, 0, 0), capacity=3)
    assert window.last_bar is None
    store, at = window.append(bar_at(bars, 0))
    assert (len(store.bars), at) == (1, 0)


def test_a_store_handed_out_does_not_change_when_the_window_moves_on() -> None:
    """Phases of a late thread may still read the store of an earlier bar."""
    bars = random_walk(3, 60)
    window = RollingWindow(cut(bars, 0, 10), capacity=10)
    store, _ = window.append(bar_at(bars, 10))
    before = store.bars.close.copy()
    for row in range(11, 60):
        window.append(bar_at(bars, row))
    assert np.array_equal(store.bars.close, before)


def test_history_window_reads_one_store_row_by_row() -> None:
    bars = random_walk(3, 20)
    window = HistoryWindow(bars, first_row=5)
    assert window.last_bar == bar_at(bars, 4)
    first, row = window.append(bar_at(bars, 5))
    second, next_row = window.append(bar_at(bars, 6))
    assert first is second
    assert (row, next_row) == (5, 6)


def test_history_window_refuses_a_bar_that_is_not_its_next() -> None:
    bars = random_walk(3, 20)
    window = HistoryWindow(bars)
    with pytest.raises(ValueError, match="out of step"):
        window.append(bar_at(bars, 1))
