"""What one book says by itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.book import (
    capacity_base,
    depth_within,
    impact_bps,
    microprice,
    middle,
    share,
    weighted_imbalance,
)

CENTRE = 100.0
Side = tuple[tuple[float, float], ...]
asks = st.lists(
    st.tuples(st.floats(1e-5, 5e-3), st.floats(1e-3, 50.0)), min_size=1, max_size=10
).map(
    lambda steps: tuple(
        (CENTRE * (1.0 + sum(gap for gap, _ in steps[: i + 1])), size)
        for i, (_, size) in enumerate(steps)
    )
)


def mean_worse_bps(side: Side, quantity: float) -> float:
    """What ``quantity`` pays beyond the best price on average, level by level."""
    left, paid = quantity, 0.0
    for price, size in side:
        part = min(left, size)
        paid += part * abs(price - side[0][0])
        left -= part
    assert left <= 1e-9 * quantity
    return paid / quantity / CENTRE * 1e4


@settings(max_examples=200, deadline=None)
@given(asks, st.floats(0.5, 60.0))
def test_a_capacity_costs_exactly_its_limit_or_is_all_there_is(side: Side, limit: float) -> None:
    """ORC-86: no larger order stays within the limit; behind the last level nothing is assumed."""
    room, everything = capacity_base(side, CENTRE, limit), sum(size for _, size in side)
    assert side[0][1] <= room * (1.0 + 1e-12) and room <= everything * (1.0 + 1e-12)
    cost = mean_worse_bps(side, min(room, everything))
    assert cost <= limit * (1.0 + 1e-9)
    if room < everything * (1.0 - 1e-9):
        assert cost == pytest.approx(limit, rel=1e-6)


@settings(max_examples=100, deadline=None)
@given(asks, st.integers(0, 9), st.floats(0.0, 100.0))
def test_a_deeper_side_never_takes_less(side: Side, level: int, more: float) -> None:
    """ORC-09, ORC-86"""
    at = level % len(side)
    deeper = tuple((p, q + more) if i == at else (p, q) for i, (p, q) in enumerate(side))
    before, after = (capacity_base(s, CENTRE, 8.0) for s in (side, deeper))
    assert after >= before * (1.0 - 1e-12)


def test_capacity_by_hand() -> None:
    """ORC-86: 2 at the best, the rest 10 bps worse: a mean of 5 bps allows 2 more."""
    side = ((100.0, 2.0), (100.1, 50.0))
    assert capacity_base(side, CENTRE, 5.0) == pytest.approx(4.0)
    bids = ((100.0, 2.0), (99.9, 50.0))
    assert capacity_base(bids, CENTRE, 5.0) == pytest.approx(4.0)


def test_depth_is_counted_within_its_band() -> None:
    """ORC-09: 10 bps around 100 reach 99.9 and 100.1."""
    bids, offers = ((99.95, 1.0), (99.5, 2.0)), ((100.05, 3.0), (100.3, 4.0))
    assert depth_within(bids, offers, 10.0) == pytest.approx((99.95, 300.15))
    assert depth_within(bids, offers, 60.0) == pytest.approx((99.95 + 199.0, 300.15 + 401.2))


def test_imbalances_lean_to_the_larger_side_and_near_levels_count_most() -> None:
    """ORC-09"""
    assert share(0.0, 0.0) is None
    assert share(3.0, 1.0) == 0.5
    bids, offers = ((99.99, 5.0), (99.8, 1.0)), ((100.01, 1.0), (100.2, 5.0))
    assert weighted_imbalance(bids, offers) > 0.5
    assert weighted_imbalance(((99.99, 1.0),), ((100.01, 1.0),)) == pytest.approx(0.0, abs=1e-9)


def test_the_microprice_leans_towards_the_thinner_side() -> None:
    """ORC-09: much demand below, little supply above: the next price is more likely up."""
    bids, offers = ((99.0, 9.0),), ((101.0, 1.0),)
    assert microprice(bids, offers) == pytest.approx(100.8)
    assert middle(bids, offers) == 100.0


def test_impact_counts_what_the_book_cannot_fill_at_five_percent() -> None:
    """ORC-09: half of 10 units at 1 bps, half at 500 bps, on the worse side."""
    bids, offers = ((99.99, 1e6),), ((100.01, 5.0),)
    assert impact_bps(bids, offers, 1_000.0) == pytest.approx((1.0 + 500.0) / 2.0)
