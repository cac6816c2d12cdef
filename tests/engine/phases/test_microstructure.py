"""Phase 3: the supplied book, or nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.order_flow import OrderFlowTape, book_flow
from engine.phases.microstructure import (
    INPUT_NAMES,
    INPUTS_VERSION,
    NO_BOOK,
    advice,
    describe,
    liquidity_score,
    read_order_flow,
)
from engine.phases.quiet import ReplayPipeline
from engine.types.bars import BarColumns, Book, ColumnStore, TradeFlow
from engine.types.opinions import FeatureView, Missing, OrderFlowView
from tests.bar_factory import cut
from tests.engine.phases.scene import BARS, CONFIG, ROW, Rule, book_at, pipeline, snapshot

CLOSE = float(BARS.close[ROW])
Side = tuple[tuple[float, float], ...]

# up to beyond the reach of 5 %, where levels stop to count
gaps = st.lists(st.floats(1e-5, 2e-2), min_size=1, max_size=8)
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


@settings(max_examples=150, deadline=None)
@given(gaps, sizes, gaps, sizes, st.floats(1e-9, 1e3), st.floats(0.0, 0.99))
def test_a_better_level_never_lowers_liquidity(
    bid_gaps: list[float],
    bid_sizes: list[float],
    ask_gaps: list[float],
    ask_sizes: list[float],
    size: float,
    closer: float,
) -> None:
    """ORC-09: however little stands there; it moves the middle and must not move the measure."""
    bids, asks = side_of(bid_gaps, bid_sizes, -1), side_of(ask_gaps, ask_sizes, 1)

    def improved(side: Side) -> Side:
        best = side[0][0]
        return ((best + closer * (CLOSE - best), size), *side)

    before = view_of(bids, asks).liquidity_score
    assert view_of(improved(bids), asks).liquidity_score >= before - 1e-12
    assert view_of(bids, improved(asks)).liquidity_score >= before - 1e-12


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
        (replace(book_at(CLOSE), ts_ms=1), "stale book"),
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


# -- what flowed since the bar before --------------------------------------------------------------


def books_of(n: int, seed: int = 5) -> list[Book]:
    """Books around the closes of the last ``n`` bars up to ROW, uneven from level to level."""
    rng = np.random.default_rng(seed)
    found = []
    for row in range(ROW - n + 1, ROW + 1):
        plain = book_at(float(BARS.close[row]))
        sizes = rng.uniform(5.0, 95.0, (2, len(plain.bids)))
        sides = (plain.bids, plain.asks)
        bids, asks = (
            tuple((price, float(size)) for (price, _), size in zip(side, row_sizes, strict=True))
            for side, row_sizes in zip(sides, sizes, strict=True)
        )
        found.append(Book(0, bids, asks))
    return found


def seen_by(tape: OrderFlowTape, books: list[Book], first: int, bars: BarColumns = BARS) -> Any:
    """The last view of a session that sees ``books`` bar by bar from row ``first`` on."""
    view: Any = None
    store = ColumnStore(bars)
    for number, given_book in enumerate(books):
        flow = TradeFlow(3.0, 1.0, 4)
        at = snapshot(first + number, bars=bars, store=store, book=given_book, flow=flow)
        view = read_order_flow(at, CONFIG, tape.observe(at.event, bars.timeframe_ms))
    return view


def test_the_view_tells_flow_volatility_and_takers_by_hand() -> None:
    """ORC-09: order flow is that between the last two books, level by level."""
    books = books_of(40)
    view = seen_by(OrderFlowTape(), books, ROW - 39)
    assert view.ofi_levels == book_flow(books[-2], books[-1])
    assert view.taker_imbalance == 0.5
    moves = np.diff(np.log(BARS.close[ROW - 8 : ROW + 1]))
    assert view.short_volatility_bps == pytest.approx(1e4 * np.sqrt(np.mean(moves**2)))
    assert view.ofi_impact.observations == 39
    (band, bid, ask), *_ = view.depth_bands
    assert (band, bid + ask) == (CONFIG.depth_band_bps, pytest.approx(view.depth_quote))
    depths = [bid + ask for _, bid, ask in view.depth_bands]
    assert depths == sorted(depths)


def test_what_is_not_known_is_missing_and_makes_the_inputs_unready() -> None:
    """ORC-09: the first book; no trade flow; fewer bars than volatility needs."""
    first = read_order_flow(snapshot(), CONFIG)
    assert isinstance(first, OrderFlowView) and isinstance(first.inputs, FeatureView)
    assert isinstance(first.ofi_levels, Missing) and isinstance(first.taker_imbalance, Missing)
    assert not first.inputs.ready
    young = seen_by(OrderFlowTape(), books_of(3), 4)
    assert isinstance(young.short_volatility_bps, Missing)
    assert not young.inputs.ready


def test_a_book_that_is_gone_is_told_from_a_source_without_books() -> None:
    """D-22"""
    tape = OrderFlowTape()
    seen_by(tape, books_of(2), ROW - 1)
    at = snapshot(ROW + 1, book=None)
    lost = read_order_flow(at, CONFIG, tape.observe(at.event, BARS.timeframe_ms))
    assert isinstance(lost, Missing) and lost != NO_BOOK
    assert read_order_flow(snapshot(book=None), CONFIG) == NO_BOOK


@settings(max_examples=100, deadline=None)
@given(gaps, sizes, gaps, sizes)
def test_inputs_are_finite_bounded_and_named(
    bid_gaps: list[float], bid_sizes: list[float], ask_gaps: list[float], ask_sizes: list[float]
) -> None:
    """ORC-08, ORC-09: whatever two books follow each other."""
    tape = OrderFlowTape()
    odd = Book(0, side_of(bid_gaps, bid_sizes, -1), side_of(ask_gaps, ask_sizes, 1))
    view = seen_by(tape, [book_at(CLOSE), odd], ROW - 1)
    assert view.inputs.names == INPUT_NAMES
    assert view.inputs.version == INPUTS_VERSION
    assert view.inputs.values.shape == (len(INPUT_NAMES),)
    assert np.isfinite(view.inputs.values).all()
    assert (np.abs(view.inputs.values) <= 5.0).all()
    assert view.inputs.ready


def test_every_input_follows_the_market() -> None:
    """ORC-81: none is a constant."""
    tape, rows = OrderFlowTape(), []
    store = ColumnStore(BARS)
    rng = np.random.default_rng(2)
    for number, plain in enumerate(books_of(60)):
        best = plain.asks[0][0] * (1.0 + rng.uniform(0.0, 2e-4))
        wider = replace(plain, asks=((best, plain.asks[0][1]),))
        flow = TradeFlow(float(rng.uniform(1.0, 9.0)), 5.0, 9)
        at = snapshot(ROW - 59 + number, store=store, book=wider, flow=flow)
        view = read_order_flow(at, CONFIG, tape.observe(at.event, BARS.timeframe_ms))
        assert isinstance(view, OrderFlowView) and isinstance(view.inputs, FeatureView)
        rows.append(view.inputs.values)
    assert (np.std(np.array(rows[1:])[:, [0, 1, 2, 3, 4, 5, 10, 11]], axis=0) > 1e-3).all()
    ten = [seen_by(OrderFlowTape(), books_of(60)[i : i + 2], ROW - 59 + i) for i in range(10)]
    assert (np.std([view.inputs.values[5:10] for view in ten], axis=0) > 1e-2).all()


def test_a_window_and_the_whole_history_read_the_same() -> None:
    """ORC-08, I-26: what is cut off before the window does not show."""
    books = books_of(40)
    part = cut(BARS, ROW - 200, len(BARS))
    whole = seen_by(OrderFlowTape(), books, ROW - 39)
    window = seen_by(OrderFlowTape(), books, 200 - 39, part)
    np.testing.assert_allclose(window.inputs.values, whole.inputs.values, rtol=0, atol=1e-9)
    assert replace(window, inputs=Missing("")) == replace(whole, inputs=Missing(""))


def test_a_restart_between_two_bars_changes_nothing() -> None:
    """I-26: the book of the bar before is part of the stored state of the pipeline."""
    books = books_of(40)
    never = seen_by(OrderFlowTape(), books, ROW - 39)
    before, after = OrderFlowTape(), OrderFlowTape()
    seen_by(before, books[:25], ROW - 39)
    after.restore(json.loads(json.dumps(before.state())))
    again = seen_by(after, books[25:], ROW - 14)
    assert again.inputs.values.tolist() == never.inputs.values.tolist()
    assert replace(again, inputs=Missing("")) == replace(never, inputs=Missing(""))
    # and it can be seen: a session that forgot reads something else
    forgot = seen_by(OrderFlowTape(), books[39:], ROW)
    assert forgot.inputs.values.tolist() != never.inputs.values.tolist()


def test_the_pipeline_stores_and_restores_its_last_books() -> None:
    """I-26: two pipelines, one rebuilt from the other's state, and one from an older version's."""
    books = books_of(3)
    store = ColumnStore(BARS)
    bars = [snapshot(ROW - 2 + i, store=store, book=b) for i, b in enumerate(books)]
    kept, rebuilt, older = (pipeline(rules=(Rule(),)) for _ in range(3))
    for at in bars[:2]:
        kept.analyse(at)
    state = json.loads(json.dumps(kept.state()))
    rebuilt.restore(state)
    older.restore({name: part for name, part in state.items() if name != "order_flow"})
    expected, found, fresh = (p.analyse(bars[2]).order_flow for p in (kept, rebuilt, older))
    assert isinstance(expected, OrderFlowView) and isinstance(found, OrderFlowView)
    assert isinstance(fresh, OrderFlowView)
    assert found.ofi_levels == expected.ofi_levels == book_flow(books[1], books[2])
    assert isinstance(fresh.ofi_levels, Missing)


def test_a_quiet_bar_of_a_replay_leaves_its_book_behind() -> None:
    """I-26: the bar after it compares with its book, as in a session that runs every phase."""
    books = books_of(2)
    store = ColumnStore(BARS)
    first, second = (snapshot(ROW - 1 + i, store=store, book=b) for i, b in enumerate(books))
    silent = Rule(probability=0.5)
    replay = pipeline(rules=(silent,), kind=ReplayPipeline)
    assert replay.quiet(first, {}) is not None
    view = replay.analyse(second).order_flow
    assert isinstance(view, OrderFlowView)
    assert view.ofi_levels == book_flow(books[0], books[1])


def test_what_is_unavailable_is_recorded_as_its_reason() -> None:
    """ORC-59: and everything recorded is plain JSON."""
    view = read_order_flow(snapshot(), CONFIG)
    assert isinstance(view, OrderFlowView)
    record = json.loads(json.dumps(describe(view)))
    assert record["ofi_levels"] == "no book of the bar before"
    assert record["taker_imbalance"] == "no trade flow"
    assert record["execution"][:2] == [1, "once"]
    known = json.loads(json.dumps(describe(seen_by(OrderFlowTape(), books_of(40), ROW - 39))))
    assert len(known["ofi_levels"]) == 5 and len(known["ofi_impact"]) == 3
