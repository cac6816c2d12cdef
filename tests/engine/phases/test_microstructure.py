"""Phase 3: ORC-09, ORC-86."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.phases.config import PipelineConfig
from engine.phases.microstructure import advice, describe, liquidity_score, read_order_flow
from engine.types.bars import Book
from engine.types.opinions import Missing, OrderFlowView
from tests.engine.phases import scene

CONFIG = PipelineConfig()
Levels = tuple[tuple[float, float], ...]


def read(bids: Levels, asks: Levels, config: PipelineConfig = CONFIG) -> OrderFlowView:
    found = read_order_flow(scene.snapshot(book=Book(0, bids, asks)), config)
    assert isinstance(found, OrderFlowView)
    return found


def test_without_a_book_it_is_missing_and_never_constants() -> None:
    """ORC-09"""
    assert read_order_flow(scene.snapshot(), CONFIG) == Missing("no book")


@pytest.mark.parametrize(
    ("bids", "asks", "fault"),
    [
        ((), ((100.0, 1.0),), "one-sided book: 0 bids, 1 asks"),
        (((100.0, 1.0),), ((99.0, 1.0),), "crossed book: bid was 100.0, ask was 99.0"),
        (((99.0, math.nan),), ((100.0, 1.0),), "book level must be positive and finite"),
        (((99.0, -1.0),), ((100.0, 1.0),), "book level must be positive and finite"),
        (((99.0, 1.0),), ((math.inf, 1.0),), "book level must be positive and finite"),
    ],
)
def test_a_book_that_cannot_be_read_is_missing_with_its_fault(
    bids: Levels, asks: Levels, fault: str
) -> None:
    """ORC-09"""
    found = read_order_flow(scene.snapshot(book=Book(0, bids, asks)), CONFIG)
    assert isinstance(found, Missing)
    assert fault in found.reason


def test_the_numbers_of_a_hand_made_book() -> None:
    """ORC-09: best 99.99 x 1 and 100.01 x 3; 1,000 quote are 10 base; 100.50 is out of the band."""
    found = read(((99.99, 1.0), (99.95, 20.0)), ((100.01, 3.0), (100.05, 20.0), (100.5, 99.0)))
    assert found.spread_bps == pytest.approx(2.0)
    assert found.microprice == pytest.approx((99.99 * 3 + 100.01 * 1) / 4)
    bid_depth, ask_depth = 99.99 + 99.95 * 20, 100.01 * 3 + 100.05 * 20
    assert found.depth_quote == pytest.approx(bid_depth + ask_depth)
    assert found.imbalance == pytest.approx((bid_depth - ask_depth) / (bid_depth + ask_depth))
    # selling ten: 1 at 99.99 and 9 at 99.95; dearer than buying 3 at 100.01 and 7 at 100.05
    assert found.impact_bps == pytest.approx((100.0 - (99.99 + 9 * 99.95) / 10) / 100.0 * 1e4)
    assert describe(found)["advice"] == found.advice


def test_a_spread_wider_than_the_band_compares_the_best_levels() -> None:
    found = read(((99.0, 3.0),), ((101.0, 1.0),))
    assert found.depth_quote == 0.0
    assert found.imbalance == pytest.approx(0.5)


def levels(side: int) -> st.SearchStrategy[Levels]:
    """Up to six levels on one side of 100, best first."""
    level = st.tuples(
        st.floats(0.0001, 0.08).map(lambda away: 100.0 * (1.0 + side * away)),
        st.floats(0.001, 500.0),
    )
    return st.lists(level, min_size=1, max_size=6).map(
        lambda found: tuple(sorted(found, key=lambda pair: side * pair[0]))
    )


@given(levels(-1), levels(1), st.integers(0, 5), st.floats(0.0, 1000.0), st.booleans())
def test_a_deeper_book_never_lowers_liquidity(
    bids: Levels, asks: Levels, at: int, more: float, on_bids: bool
) -> None:
    """ORC-09: quantity added to any level."""
    side = list(bids if on_bids else asks)
    price, quantity = side[at % len(side)]
    side[at % len(side)] = (price, quantity + more)
    deeper = (tuple(side), asks) if on_bids else (bids, tuple(side))
    before = liquidity_score(bids, asks, 100.0, 10.0)
    assert liquidity_score(*deeper, 100.0, 10.0) >= before - 1e-12
    assert 0.0 <= before <= 1.0


@given(levels(-1), levels(1), st.floats(0.0, 0.999), st.floats(0.001, 500.0), st.booleans())
def test_a_tighter_book_never_lowers_liquidity(
    bids: Levels, asks: Levels, part: float, quantity: float, on_bids: bool
) -> None:
    """ORC-09: a better level inside the spread, however small."""
    middle = (bids[0][0] + asks[0][0]) / 2.0
    best = (bids if on_bids else asks)[0][0]
    better = ((best + (middle - best) * part, quantity),)
    tighter = ((*better, *bids), asks) if on_bids else (bids, (*better, *asks))
    before = liquidity_score(bids, asks, 100.0, 10.0)
    assert liquidity_score(*tighter, 100.0, 10.0) >= before - 1e-12


def test_liquidity_tells_a_deep_tight_book_from_a_thin_wide_one() -> None:
    """ORC-09: both ends are reached, so the score is not a constant."""
    deep = liquidity_score(((99.999, 1e5),), ((100.001, 1e5),), 100.0, 10.0)
    thin = liquidity_score(((96.0, 0.01),), ((104.0, 0.01),), 100.0, 10.0)
    assert deep > 0.95
    assert thin < 0.05


@pytest.mark.parametrize(
    ("spread_bps", "impact_bps", "score", "expected"),
    [
        (1.0, 1.0, 0.9, "market"),
        (8.0, 4.0, 0.9, "limit"),
        (1.0, 20.0, 0.9, "split"),
        (1.0, 1.0, 0.05, "wait"),
    ],
)
def test_advice_follows_from_spread_impact_and_liquidity(
    spread_bps: float, impact_bps: float, score: float, expected: str
) -> None:
    """ORC-86"""
    assert advice(spread_bps, impact_bps, score, CONFIG) == expected


def test_every_advice_is_reached_by_some_book() -> None:
    """ORC-86: from books, not from made-up numbers."""
    books: dict[str, tuple[Levels, Levels]] = {
        "market": (((99.99, 500.0),), ((100.01, 500.0),)),
        "limit": (((99.95, 5000.0),), ((100.05, 5000.0),)),
        "split": (
            ((99.99, 1.0), (99.6, 5000.0)),
            ((100.01, 1.0), (100.4, 5000.0)),
        ),
        "wait": (((97.0, 0.1),), ((103.0, 0.1),)),
    }
    for expected, (bids, asks) in books.items():
        at = scene.snapshot(book=Book(0, bids, asks))
        scaled = at.close / 100.0
        found = read(
            tuple((p * scaled, q) for p, q in bids), tuple((p * scaled, q) for p, q in asks)
        )
        assert found.advice == expected
