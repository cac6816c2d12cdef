"""Order flow between two books, and what a rebuilt session remembers of the last one."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from engine.order_flow import OrderFlowTape, ask_flow, bid_flow, book_flow
from engine.types.bars import Book, EventKind, MarketEvent
from engine.types.opinions import Missing, OfiImpact

MINUTE = 60_000
SYMBOL = "BTC/USDT"


def book(middle: float = 100.0, bid_size: float = 2.0, ask_size: float = 3.0) -> Book:
    return Book(
        0,
        tuple((middle - 0.5 - i, bid_size + i) for i in range(6)),
        tuple((middle + 0.5 + i, ask_size + i) for i in range(6)),
    )


def event(number: int, given: Book | None) -> MarketEvent:
    at_ms = number * MINUTE
    return MarketEvent(EventKind.BAR, SYMBOL, at_ms, at_ms, None, given)


def flowing(tape: OrderFlowTape, numbers: range, seed: int = 3) -> list[Book]:
    """Feed bars whose middle moves half a unit of price a unit of net orders at the best level."""
    rng = np.random.default_rng(seed)
    middle, books = 100.0, []
    for number in numbers:
        books.append(book(middle, *(rng.uniform(1.0, 9.0, 2))))
        tape.observe(event(number, books[-1]), MINUTE)
        middle += 0.1 * rng.standard_normal()
    return books


@pytest.mark.parametrize(
    ("before", "after", "flow"),
    [
        ((100.0, 5.0), (101.0, 2.0), 2.0),
        ((100.0, 5.0), (99.0, 9.0), -5.0),
        ((100.0, 5.0), (100.0, 7.0), 2.0),
        ((100.0, 5.0), (100.0, 1.0), -4.0),
        ((100.0, 5.0), (100.0, 5.0), 0.0),
    ],
)
def test_the_flow_of_one_event_is_that_of_the_paper(
    before: tuple[float, float], after: tuple[float, float], flow: float
) -> None:
    """ORC-09: Cont, Kukanov, Stoikov (2014), equation 10; an ask mirrors a bid."""
    assert bid_flow(*before, *after) == flow
    # the ask's price axis runs the other way
    assert ask_flow(-before[0], before[1], -after[0], after[1]) == -flow


def test_flow_between_books_adds_both_sides_level_by_level() -> None:
    """ORC-09: one level more is bought into, the other side thins by 1."""
    before, after = book(bid_size=2.0, ask_size=3.0), book(bid_size=4.0, ask_size=2.0)
    assert book_flow(before, after) == (3.0,) * 5
    assert len(book_flow(before, Book(0, after.bids[:2], after.asks))) == 2


def test_the_first_book_has_no_order_flow() -> None:
    """ORC-09: unavailable, never 0."""
    reading = OrderFlowTape().observe(event(1, book()), MINUTE)
    assert reading.levels == Missing("no book of the bar before")
    assert isinstance(reading.impact, Missing)


def test_only_the_bar_directly_before_counts() -> None:
    """ORC-09: after a gap, or a bar without a readable book, one bar has no order flow."""
    tape = OrderFlowTape()
    tape.observe(event(1, book()), MINUTE)
    assert tape.observe(event(2, book()), MINUTE).levels == (0.0,) * 5
    assert tape.observe(event(4, book()), MINUTE).levels == Missing(
        "last book is 120000 ms old, not one bar"
    )
    crossed = Book(0, ((102.0, 1.0),), ((101.0, 1.0),))
    assert isinstance(tape.observe(event(5, crossed), MINUTE).levels, Missing)
    assert isinstance(tape.observe(event(6, book()), MINUTE).levels, Missing)
    assert tape.observe(event(7, book()), MINUTE).levels == (0.0,) * 5


def test_the_same_bar_twice_is_taken_in_once() -> None:
    """I-26: whoever looks at a bar again sees what was seen first."""
    tape = OrderFlowTape()
    flowing(tape, range(1, 40))
    once = tape.state()
    first = tape.observe(event(40, book(101.0)), MINUTE)
    again = tape.observe(event(40, book(101.0)), MINUTE)
    assert first == again
    assert tape.state() != once


def test_a_symbol_whose_books_stop_is_told_from_one_that_never_had_any() -> None:
    """D-22: a missing book is a denial only where there should be one."""
    tape = OrderFlowTape()
    assert not tape.observe(event(1, None), MINUTE).expected
    tape.observe(event(2, book()), MINUTE)
    assert tape.observe(event(3, None), MINUTE).expected


def test_impact_per_unit_of_flow_is_the_slope_of_what_was_seen() -> None:
    """ORC-09: the decayed regression equals a weighted fit over all bars, half-life 120 bars."""
    tape = OrderFlowTape()
    books = flowing(tape, range(300))
    flows = [book_flow(a, b)[0] for a, b in pairwise(books)]
    middles = np.array([(b.bids[0][0] + b.asks[0][0]) / 2 for b in books])
    moves = (middles[1:] / middles[:-1] - 1.0) * 1e4
    weights = 0.5 ** (np.arange(len(flows))[::-1] / 120.0)
    slope = np.polyfit(flows, moves, 1, w=np.sqrt(weights))[0]
    impact = tape.observe(event(299, books[-1]), MINUTE).impact
    assert isinstance(impact, OfiImpact)
    assert impact.bps_per_unit == pytest.approx(slope, rel=1e-9)
    assert impact.bps_per_unit > 0.0 and 0.0 < impact.r2 < 1.0


def test_impact_is_unavailable_until_thirty_bars_have_flowed() -> None:
    """ORC-09"""
    tape, size = OrderFlowTape(), 500.0
    for number in range(32):
        size += 1.0 + number % 3
        still = Book(0, ((99.5, size),), ((100.5, 500.0),))
        impact = tape.observe(event(number, still), MINUTE).impact
        assert isinstance(impact, OfiImpact) == (number >= 30)
    # orders came and the middle never moved: no impact, and nothing explained
    assert isinstance(impact, OfiImpact)
    assert (impact.bps_per_unit, impact.r2, impact.observations) == (0.0, 0.0, 31)


def test_a_restored_tape_reads_the_next_bar_to_the_last_bit() -> None:
    """I-26: a session rebuilt between two bars compares with the same book."""
    kept, tape = OrderFlowTape(), OrderFlowTape()
    flowing(kept, range(50))
    tape.restore(json.loads(json.dumps(kept.state())))
    following = book(101.3, 2.25, 7.75)
    assert tape.observe(event(50, following), MINUTE) == kept.observe(event(50, following), MINUTE)
    assert tape.state() == kept.state()


@pytest.mark.parametrize(
    "change",
    [
        {"at_ms": "soon"},
        {"sums": [1.0]},
        {"sums": [1.0, 2.0, 3.0, 4.0, 5.0, float("nan")]},
        {"bids": [[1.0]]},
        {"bids": [[200.0, 1.0]]},
        {"bids": "none"},
    ],
)
def test_a_state_that_nobody_wrote_is_refused_whole(change: dict[str, object]) -> None:
    """I-26"""
    tape = OrderFlowTape()
    flowing(tape, range(3))
    good = tape.state()
    row = good[SYMBOL]
    assert isinstance(row, dict)
    with pytest.raises(ValueError, match=SYMBOL):
        tape.restore({SYMBOL: {**row, **change}})  # type: ignore[dict-item]
    assert tape.state() == good
