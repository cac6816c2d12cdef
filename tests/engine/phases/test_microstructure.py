"""Phase 3: the supplied book, or nothing."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.phases.microstructure import advice, describe, liquidity_score, read_order_flow
from engine.types.bars import Book
from engine.types.opinions import Missing, OrderFlowView
from tests.engine.phases.scene import BARS, CONFIG, ROW, book_at, snapshot

CLOSE = float(BARS.close[ROW])
Side = tuple[tuple[float, float], ...]

gaps = st.lists(st.floats(1e-5, 5e-3), min_size=1, max_size=8)
sizes = st.lists(st.floats(1e-3, 500.0), min_size=8, max_size=8)


def side_of(gaps: list[float], sizes: list[float], sign: int) -> Side:
    """Levels away from the close, each further than the last."""
    levels, distance = [], 0.0
    for gap, size in zip(gaps, sizes, strict=False):
        distance += gap
        levels.append((CLOSE * (1.0 + sign * distance), size))
    return tuple(levels)


def view_of(bids: Side, asks: Side) -> OrderFlowView:
    view = read_order_flow(snapshot(book=Book(0, bids, asks)), CONFIG)
    assert isinstance(view, OrderFlowView)
    return view


@settings(max_examples=150, deadline=None)
@given(gaps, sizes, gaps, sizes, st.integers(0, 7), st.floats(0.0, 1e4))
def test_a_deeper_book_never_lowers_liquidity(
    bid_gaps: list[float],
    bid_sizes: list[float],
    ask_gaps: list[float],
    ask_sizes: list[float],
    level: int,
    more: float,
) -> None:
    """ORC-09: quantity added to any level of either side; depth does not fall either."""
    bids, asks = side_of(bid_gaps, bid_sizes, -1), side_of(ask_gaps, ask_sizes, 1)
    before = view_of(bids, asks)
    for side in (0, 1):
        pair = [list(bids), list(asks)]
        at = level % len(pair[side])
        price, size = pair[side][at]
        pair[side][at] = (price, size + more)
        after = view_of(tuple(pair[0]), tuple(pair[1]))
        assert after.liquidity_score >= before.liquidity_score - 1e-12
        assert after.depth_quote >= before.depth_quote * (1.0 - 1e-12)
        assert after.impact_bps <= before.impact_bps + 1e-9


@settings(max_examples=150, deadline=None)
@given(gaps, sizes, gaps, sizes, st.floats(0.0, 1.0))
def test_a_tighter_book_never_lowers_liquidity(
    bid_gaps: list[float],
    bid_sizes: list[float],
    ask_gaps: list[float],
    ask_sizes: list[float],
    closer: float,
) -> None:
    """ORC-09: every level of one side moved towards the close by the same share of its distance."""
    bids, asks = side_of(bid_gaps, bid_sizes, -1), side_of(ask_gaps, ask_sizes, 1)

    def moved(side: Side) -> Side:
        return tuple((price + 0.99 * closer * (CLOSE - price), size) for price, size in side)

    before = view_of(bids, asks).liquidity_score
    for tighter in ((moved(bids), asks), (bids, moved(asks)), (moved(bids), moved(asks))):
        assert view_of(*tighter).liquidity_score >= before - 1e-12


def test_liquidity_spans_its_range() -> None:
    """ORC-09: it is not a constant that never falls."""
    thin = view_of(((CLOSE * 0.99, 1e-3),), ((CLOSE * 1.01, 1e-3),)).liquidity_score
    deep = view_of(((CLOSE * 0.99999, 1e6),), ((CLOSE * 1.00001, 1e6),)).liquidity_score
    assert 0.0 < thin < 0.05 and 0.95 < deep <= 1.0


def test_spread_depth_imbalance_and_impact_by_hand() -> None:
    """ORC-09: 100 / 102 with 1 and 3 units; 10 bps around 101 hold neither level."""
    view = view_of(((100.0, 1.0),), ((102.0, 3.0),))
    assert view.spread_bps == pytest.approx(2.0 / 101.0 * 1e4)
    assert view.microprice == pytest.approx((100.0 * 3.0 + 102.0 * 1.0) / 4.0)
    assert view.depth_quote == 0.0
    assert view.imbalance == pytest.approx((1.0 - 3.0) / 4.0)
    narrow = view_of(((100.00, 4.0), (99.0, 9.0)), ((100.02, 1.0),))
    assert narrow.depth_quote == pytest.approx(400.0 + 100.02)
    assert narrow.imbalance == pytest.approx((400.0 - 100.02) / 500.02)


def test_impact_is_what_the_reference_notional_pays_beyond_the_middle() -> None:
    """ORC-09: 1,000 quote at 100 is 10 units: 4 at +1 bps, 6 at +11 bps make 7 bps."""
    asks = ((100.01, 4.0), (100.11, 100.0))
    view = view_of(((99.99, 1e6),), asks)
    assert view.impact_bps == pytest.approx(7.0, rel=1e-6)


@pytest.mark.parametrize(
    ("book", "word"),
    [
        (None, "no book"),
        (Book(0, (), ()), "one-sided"),
        (Book(0, ((CLOSE, 1.0),), ()), "one-sided"),
        (Book(0, ((101.0, 1.0),), ((100.0, 1.0),)), "crossed"),
        (Book(0, ((100.0, nan),), ((101.0, 1.0),)), "positive and finite"),
        (Book(0, ((100.0, 1.0),), ((inf, 1.0),)), "positive and finite"),
        (Book(0, ((100.0, 0.0),), ((101.0, 1.0),)), "positive and finite"),
        (Book(0, ((-1.0, 1.0),), ((101.0, 1.0),)), "positive and finite"),
    ],
)
def test_no_book_or_an_unreadable_one_is_missing_and_never_constants(
    book: Book | None, word: str
) -> None:
    """ORC-09, ORC-58"""
    view = read_order_flow(snapshot(book=book), CONFIG)
    assert isinstance(view, Missing)
    assert word in view.reason


def test_the_close_is_the_yardstick_and_not_the_middle_of_the_book() -> None:
    """ORC-09: one-sided improvement moves the middle, and must not move the measure."""
    bids = ((CLOSE * 0.9999, 5.0),)
    far, near = ((CLOSE * 1.002, 5.0),), ((CLOSE * 1.0001, 5.0),)
    quantity = 1.0
    assert liquidity_score(bids, near, CLOSE, quantity) > liquidity_score(
        bids, far, CLOSE, quantity
    )


@pytest.mark.parametrize(
    ("spread_bps", "impact_bps", "score", "expected"),
    [
        (1.0, 0.5, 0.09, "wait"),
        (1.0, 9.0, 0.5, "split"),
        (7.0, 3.5, 0.5, "limit"),
        (6.0, 3.0, 0.5, "market"),
    ],
)
def test_advice_follows_from_the_numbers(
    spread_bps: float, impact_bps: float, score: float, expected: str
) -> None:
    """ORC-86"""
    assert advice(spread_bps, impact_bps, score, CONFIG) == expected


def test_what_is_recorded_is_what_was_seen() -> None:
    """ORC-09, ORC-59"""
    view = read_order_flow(snapshot(book=book_at(CLOSE)), CONFIG)
    assert isinstance(view, OrderFlowView)
    record = describe(view)
    assert record["spread_bps"] == view.spread_bps
    assert record["liquidity_score"] == view.liquidity_score
    assert record["advice"] == view.advice
