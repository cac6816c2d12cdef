"""Execution advice from realistic books: each of its values, and what it hangs on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.phases.microstructure import read_order_flow
from engine.types.bars import BarColumns, Book, ColumnStore
from engine.types.opinions import ExecutionAdvice, OrderFlowView
from tests.engine.phases.scene import BARS, CONFIG, ROW, snapshot

CLOSE = float(BARS.close[ROW])


def book(
    spread_bps: float, quote_a_level: float, *, step_bps: float = 1.0, levels: int = 20
) -> Book:
    """A ladder around the close: ``quote_a_level`` stands at each level of both sides."""
    half = spread_bps / 2.0

    def side(sign: int) -> tuple[tuple[float, float], ...]:
        prices = (CLOSE * (1.0 + sign * (half + i * step_bps) / 1e4) for i in range(levels))
        return tuple((price, quote_a_level / price) for price in prices)

    return Book(0, side(-1), side(1))


def advice(given: Book, volumes: np.ndarray | None = None) -> ExecutionAdvice:
    bars: BarColumns = BARS if volumes is None else replace(BARS, volume=volumes)
    view = read_order_flow(snapshot(bars=bars, store=ColumnStore(bars), book=given), CONFIG)
    assert isinstance(view, OrderFlowView)
    assert view.advice == view.execution.style
    return view.execution


EVEN = np.full(len(BARS), 100.0)
BURSTS = np.where(np.arange(len(BARS)) % 8 == 0, 800.0, 1.0)


def test_a_tight_and_deep_book_is_taken_at_once() -> None:
    """ORC-86: 1 bps wide, 5,000 quote a level."""
    found = advice(book(1.0, 5_000.0))
    assert (found.style, found.slices, found.schedule) == ("market", 1, "once")


def test_a_wide_and_deep_book_deserves_a_resting_order() -> None:
    """ORC-86: 12 bps wide, but deep."""
    found = advice(book(12.0, 5_000.0))
    assert (found.style, found.slices) == ("limit", 1)
    assert "12.00 bps" in found.reason


def shelf(quote_at_best: float) -> Book:
    """Little at the best price, and a deep book 12 bps behind it: a touch that was just eaten."""
    deep = book(1.0, 20_000.0, step_bps=12.0, levels=10)
    bids, asks = (
        ((side[0][0], quote_at_best / side[0][0]), *side[1:]) for side in (deep.bids, deep.asks)
    )
    return Book(0, bids, asks)


def test_a_thin_touch_is_taken_in_slices_by_the_clock() -> None:
    """ORC-86: 200 quote at the best and 400 at 12 bps average 8: 1,000 quote take two slices."""
    found = advice(shelf(200.0), EVEN)
    assert (found.style, found.slices, found.schedule) == ("split", 2, "twap")
    assert "limit was 8" in found.reason


def test_slices_follow_the_volume_where_it_comes_in_bursts() -> None:
    """ORC-86: the same book, one bar in eight trades."""
    found = advice(shelf(200.0), BURSTS)
    assert (found.style, found.slices, found.schedule) == ("split", 2, "vwap")


def test_a_thinner_touch_needs_more_slices() -> None:
    """ORC-86: slices of 600, 180 and 60 quote."""
    assert [advice(shelf(quote), EVEN).slices for quote in (200.0, 60.0, 20.0)] == [2, 6, 17]


def test_a_book_wider_than_the_limit_is_waited_out() -> None:
    """ORC-86: as deep as the market book, 60 bps wide."""
    found = advice(book(60.0, 50_000.0))
    assert (found.style, found.slices) == ("wait", 0)
    assert "60.00 bps" in found.reason


def test_a_nearly_empty_book_is_waited_out() -> None:
    """ORC-86: 20 levels of 2 quote score below the minimum."""
    found = advice(book(30.0, 0.5, levels=3))
    assert found.style == "wait"
    assert "liquidity score" in found.reason


def test_more_slices_than_allowed_is_a_wait() -> None:
    """ORC-86: 4 quote at the best level would take more than 20."""
    found = advice(shelf(4.0), EVEN)
    assert found.style == "wait"
    assert "84 slices needed, maximum was 20" in found.reason


@pytest.mark.parametrize("style", ["market", "limit", "split", "wait"])
def test_a_deeper_book_is_never_advised_more_caution(style: str) -> None:
    """ORC-86: ten times the depth at the same prices."""
    caution = ["market", "limit", "split", "wait"]
    of_style = {
        "market": lambda times: book(1.0, 5_000.0 * times),
        "limit": lambda times: book(12.0, 5_000.0 * times),
        "split": lambda times: shelf(200.0 * times),
        "wait": lambda times: book(30.0, 0.5 * times, levels=3),
    }
    before, after = (advice(of_style[style](times), EVEN).style for times in (1.0, 10.0))
    assert before == style
    assert caution.index(after) <= caution.index(before)
