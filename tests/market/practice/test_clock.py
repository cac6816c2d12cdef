"""The virtual clock, on hand-made wall time."""

from __future__ import annotations

from market.practice.clock import VirtualClock


class Wall:
    """Monotonic seconds that move when told."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def test_time_runs_evenly_inside_the_bar_and_never_reaches_the_close() -> None:
    """D-24, F-066: no candle may look closed before its step."""
    wall = Wall()
    clock = VirtualClock(wall, 60_000, 120_000, speed=2.0)
    assert clock.now_ms() == 60_000
    wall.s += 0.25
    assert clock.now_ms() == 90_000
    wall.s += 100.0
    assert clock.now_ms() == 119_999


def test_stepped_clock_stands_still_between_steps() -> None:
    wall = Wall()
    clock = VirtualClock(wall, 60_000, 120_000, speed=0.0)
    wall.s += 1000.0
    assert (clock.now_ms(), clock.due_in_s()) == (60_000, None)
    clock.stepped(120_000, 180_000)
    assert clock.now_ms() == 120_000


def test_next_step_is_due_one_bar_after_the_last() -> None:
    wall = Wall()
    clock = VirtualClock(wall, 60_000, 120_000, speed=4.0)
    wall.s += 0.1
    assert clock.due_in_s() == 0.25 - (wall.s - 100.0)
    clock.stepped(120_000, None)
    assert clock.due_in_s() is None


def test_restart_inside_a_bar_does_not_turn_time_back() -> None:
    clock = VirtualClock(Wall(), 60_000, 120_000, speed=1.0, floor_ms=95_000)
    assert clock.now_ms() == 95_000
