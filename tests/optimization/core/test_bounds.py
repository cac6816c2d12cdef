"""The limits of a weight's movement, checked by a second reading of every rule."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimization.core.bounds import (
    DAY_MS,
    Bound,
    HeldWeight,
    Move,
    WeightLimits,
    move_towards,
    normalised_shares,
)
from optimization.core.errors import WeightingError

HOUR_MS = 3_600_000
LIMITS = WeightLimits()


def move(held: HeldWeight, target: float, hour: float, trades: int) -> tuple[HeldWeight, object]:
    return move_towards(
        held,
        target,
        now_ms=round(hour * HOUR_MS),
        closed_trades=trades,
        total_r=0.0,
        limits=LIMITS,
    )


def test_one_update_moves_at_most_15_percent_of_the_old_weight() -> None:
    """OPT-74: the very number of the promise, up and down."""
    up, why_up = move(HeldWeight(1.0), 1.9, 0, 5)
    down, why_down = move(HeldWeight(1.0), 0.2, 0, 5)
    assert (up.weight, down.weight) == (pytest.approx(1.15), pytest.approx(0.85))
    assert up.weight <= 1.15
    assert down.weight >= 0.85
    assert (why_up, why_down) == (Bound.STEP, Bound.STEP)


def test_a_target_within_the_step_is_reached_and_nothing_held_it_back() -> None:
    """OPT-74"""
    held, why = move(HeldWeight(1.0), 1.07, 0, 5)
    assert (held.weight, why) == (1.07, None)
    assert held.moves == (Move(0, 1.0, 1.07),)


def test_weights_end_at_the_range() -> None:
    """OPT-75: 0.1 to 2.0, and the range is named as what held it back."""
    assert move(HeldWeight(1.95), 9.0, 0, 5)[0].weight == 2.0
    high, why = move(HeldWeight(2.0), 9.0, 0, 5)
    assert (high.weight, why) == (2.0, Bound.RANGE)
    low, why = move(HeldWeight(0.105), 0.0, 0, 5)
    assert (low.weight, why) == (0.1, Bound.RANGE)


def test_no_move_without_five_new_closed_trades_since_the_last() -> None:
    """D-17: four wait, the fifth moves; what waits is not lost."""
    held, _ = move(HeldWeight(1.0), 1.1, 0, 5)
    waiting, why = move(held, 1.2, 1, 9)
    assert (waiting, why) == (held, Bound.EVIDENCE)
    moved, _ = move(waiting, 1.2, 2, 10)
    assert moved.weight == 1.2
    assert moved.trades_seen == 10


def test_a_day_of_hourly_updates_moves_30_percent_at_most() -> None:
    """D-17: without it 15 % an hour would go from 1.0 to 2.0 in five hours."""
    held, weights = HeldWeight(1.0), [1.0]
    for hour in range(1, 24):
        held, why = move(held, 2.0, hour, 5 * hour)
        weights.append(held.weight)
    assert weights[-1] == pytest.approx(1.3, rel=1e-12)
    assert weights[-1] <= 1.3
    assert why is Bound.DAY


def test_the_day_counts_movement_both_ways() -> None:
    """D-17: up 15 %, down again, and the budget is spent although the weight stands still."""
    held, _ = move(HeldWeight(1.0), 1.15, 0, 5)
    held, _ = move(held, 1.0, 1, 10)
    stuck, why = move(held, 1.15, 2, 15)
    assert stuck.weight == pytest.approx(1.0, abs=1e-12)
    assert why is Bound.DAY
    freed, _ = move(held, 1.15, 24.001, 15)
    assert freed.weight == pytest.approx(1.15)


def breaches(path: list[tuple[int, float]]) -> list[str]:
    """Every promise a path of (time, weight) breaks, read from the weights alone."""
    found = []
    steps = [(now, old, new) for (_, old), (now, new) in pairwise(path)]
    for now, old, new in steps:
        if abs(new - old) > 0.15 * old:
            found.append(f"step {old} to {new}")
        if not 0.1 <= new <= 2.0:
            found.append(f"range {new}")
        day = [step for step in steps if now - DAY_MS <= step[0] <= now]
        moved = sum(abs(after - before) for _, before, after in day)
        if moved > 0.30 * min(before for _, before, _ in day) * (1 + 1e-12):
            found.append(f"day {moved} from {day}")
        for _, before, _ in day:
            if abs(new - before) > 0.30 * before * (1 + 1e-12):
                found.append(f"net {before} to {new}")
    return found


targets = st.one_of(
    st.floats(0.0, 3.0), st.sampled_from([0.0, 0.1, 2.0, 1e300, -1e300, 5e-324, 1.15, 0.85])
)


@settings(max_examples=200, deadline=None)
@given(
    st.floats(0.1, 2.0),
    st.lists(st.tuples(targets, st.integers(0, 30 * HOUR_MS), st.integers(0, 12)), max_size=40),
)
def test_no_sequence_of_targets_breaks_a_promise(
    begin: float, asked: list[tuple[float, int, int]]
) -> None:
    """OPT-74, OPT-75, CTL-20, D-17: any start, targets, times and trades."""
    held, now, trades = HeldWeight(begin), 0, 0
    path = [(0, begin)]
    seen = 0
    for target, later, more in asked:
        now, trades = now + later, trades + more
        new, _ = move_towards(
            held, target, now_ms=now, closed_trades=trades, total_r=0.0, limits=LIMITS
        )
        if new.weight != held.weight:
            assert trades - seen >= 5
            seen = trades
            path.append((now, new.weight))
        held = new
    assert breaches(path) == []


def test_the_checker_of_the_fuzz_sees_each_kind_of_breach() -> None:
    """A checker that cannot fail proves nothing."""
    assert breaches([(0, 1.0), (0, 1.16)])
    assert breaches([(0, 0.11), (0, 0.095)])
    assert breaches([(0, 1.0), (0, 1.15), (1, 1.0), (2, 1.01)])
    assert breaches([(0, 1.0), (0, 1.15), (DAY_MS, 1.3), (DAY_MS + 1, 1.45), (DAY_MS + 2, 1.6)])
    assert breaches([(0, 1.0), (0, 1.15)]) == []


def test_eight_thousand_seeded_steps_break_no_promise() -> None:
    """OPT-74, OPT-75, CTL-20: hostile targets (jumps between the ends, tiny moves, reversals)."""
    rng = np.random.default_rng(74)
    for _ in range(20):
        held, now, trades = HeldWeight(float(rng.uniform(0.1, 2.0))), 0, 0
        path = [(0, held.weight)]
        wishes = rng.choice([0.0, 3.0, 1.0, -5.0], 400) + rng.normal(0.0, 0.3, 400)
        for target, later in zip(wishes.tolist(), rng.integers(0, 4 * HOUR_MS, 400), strict=True):
            now, trades = now + int(later), trades + 5
            held, _ = move_towards(
                held, target, now_ms=now, closed_trades=trades, total_r=0.0, limits=LIMITS
            )
            if held.weight != path[-1][1]:
                path.append((now, held.weight))
        assert len(path) > 50
        assert breaches(path) == []


@pytest.mark.parametrize("target", [math.nan, math.inf, -math.inf])
def test_a_target_that_is_no_number_is_refused(target: float) -> None:
    with pytest.raises(WeightingError, match=f"must be finite, was {target}"):
        move(HeldWeight(1.0), target, 0, 5)


def test_a_weight_outside_a_tightened_range_walks_inside_step_by_step() -> None:
    """OPT-74: a person lowers the ceiling from 2.0 to 1.2; the weight of 1.9 does not jump."""
    tight, held, path = WeightLimits(max_weight=1.2), HeldWeight(1.9), [(0, 1.9)]
    for day in range(1, 8):
        held, why = move_towards(
            held, 1.9, now_ms=day * 2 * DAY_MS, closed_trades=5 * day, total_r=0.0, limits=tight
        )
        path.append((day * 2 * DAY_MS, held.weight))
    assert path[1][1] == pytest.approx(1.9 * 0.85)
    assert (held.weight, why) == (1.2, Bound.RANGE)
    assert breaches(path) == []


def test_time_does_not_go_back() -> None:
    held, _ = move(HeldWeight(1.0), 1.1, 5, 5)
    with pytest.raises(WeightingError, match="back in time"):
        move(held, 1.2, 4, 10)


@pytest.mark.parametrize(
    "looser",
    [
        {"max_step_fraction": 0.16},
        {"max_step_fraction": 0.0},
        {"max_day_fraction": 1.5},
        {"min_new_trades": 0},
        {"min_weight": 0.05},
        {"max_weight": 2.1},
        {"min_weight": 1.5, "max_weight": 1.0},
        {"max_step_fraction": math.nan},
    ],
)
def test_limits_may_be_tightened_and_never_loosened(looser: dict[str, float]) -> None:
    """OPT-74, OPT-75"""
    with pytest.raises(WeightingError):
        WeightLimits(**looser)  # type: ignore[arg-type]
    assert WeightLimits(max_step_fraction=0.05, min_weight=0.5).clamp(0.2) == 0.5


def test_shares_are_of_tradable_strategies_and_sum_to_one() -> None:
    """OPT-64: 1.15 and 0.92 share 0.556 and 0.444."""
    weights = {"ema-trend": 1.15, "fair-value-gap": 0.92, "breakout": 2.0}
    shares = normalised_shares(weights, {"ema-trend", "fair-value-gap"})
    assert {code: round(share, 3) for code, share in shares.items()} == {
        "ema-trend": 0.556,
        "fair-value-gap": 0.444,
    }
    assert sum(shares.values()) == pytest.approx(1.0, abs=1e-15)


def test_shares_of_nothing_are_none_and_zero_weights_share_equally() -> None:
    assert normalised_shares({"a": 1.0}, set()) == {}
    assert normalised_shares({"a": 0.0, "b": 0.0}, {"a", "b"}) == {"a": 0.5, "b": 0.5}
    with pytest.raises(WeightingError, match="weight of a must be 0 or more, was -1"):
        normalised_shares({"a": -1.0}, {"a"})


def test_a_target_exactly_at_a_limit_is_reached_and_nothing_held_it_back() -> None:
    """OPT-74, OPT-75: step, day and both ends of the range are allowed themselves."""
    eighth = WeightLimits(max_step_fraction=0.125, max_day_fraction=0.125, min_new_trades=1)
    for begin, target, limits in (
        (1.0, 1.125, eighth),
        (1.0, 0.875, eighth),
        (1.9, 2.0, LIMITS),
        (0.11, 0.1, LIMITS),
    ):
        held, why = move_towards(
            HeldWeight(begin), target, now_ms=0, closed_trades=5, total_r=0.0, limits=limits
        )
        assert (held.weight, why) == (target, None)


def test_a_move_counts_for_exactly_a_day() -> None:
    """D-17: any 24 hours include both of their ends, and not a millisecond more."""
    spent = HeldWeight(1.0, (Move(0, 1.15, 1.0), Move(0, 1.0, 1.15), Move(0, 1.15, 1.0)))
    for later_ms, is_free in ((0, False), (1, True)):
        held, why = move_towards(
            spent, 1.1, now_ms=DAY_MS + later_ms, closed_trades=5, total_r=2.5, limits=LIMITS
        )
        assert (held.weight, why) == ((1.1, None) if is_free else (1.0, Bound.DAY))
    assert DAY_MS == 24 * HOUR_MS
    assert (held.moves, held.total_r_seen) == ((Move(DAY_MS + 1, 1.0, 1.1),), 2.5)


def test_a_day_without_any_movement_is_no_limit_and_infinite_weights_have_no_share() -> None:
    with pytest.raises(WeightingError, match="max day must be in"):
        WeightLimits(max_day_fraction=0.0)
    assert WeightLimits(max_day_fraction=1.0).min_new_trades == 5
    with pytest.raises(WeightingError, match="weight of a must be 0 or more, was inf"):
        normalised_shares({"a": math.inf}, {"a"})
    assert normalised_shares({"a": 0.25, "b": 0.75}, {"a", "b"}) == {"a": 0.25, "b": 0.75}
