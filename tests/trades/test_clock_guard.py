"""Our clock against the venue's."""

from __future__ import annotations

import pytest

from market.errors import SourceUnavailable
from trades.alerts import Alert
from trades.clock_guard import ClockGuard
from trades.core.operating_limits import OperatingLimits

NOW_MS = 1_700_000_000_000


class Clocks:
    """A venue's clock, our wall clock and the monotonic one; each is moved by hand."""

    def __init__(self, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms
        self.monotonic_s = 50.0
        self.asked = 0
        self.way_s = 0.0
        self.is_down = False
        self.alerts: list[Alert] = []
        self.guard = ClockGuard(
            self.venue_ms,
            OperatingLimits(),
            self.alerts.append,
            subject="7",
            wall_ms=lambda: NOW_MS + self.offset_ms,
            monotonic=lambda: self.monotonic_s,
        )

    def venue_ms(self) -> int:
        self.asked += 1
        if self.is_down:
            raise SourceUnavailable("down")
        self.monotonic_s += self.way_s
        return NOW_MS + round(self.way_s * 500)

    def code(self) -> str:
        refusal = self.guard()
        return "" if refusal is None else refusal.code


@pytest.mark.parametrize(
    ("offset_ms", "alerts", "code"),
    [
        (0, 0, ""),
        (1_000, 0, ""),
        (-1_001, 1, ""),
        (3_000, 1, ""),
        (-3_000, 1, ""),
        (5_000, 1, ""),
        (5_001, 1, "CLOCK_OFFSET"),
        (-3_600_000, 1, "CLOCK_OFFSET"),
    ],
)
def test_a_second_is_told_and_five_end_entries(offset_ms: int, alerts: int, code: str) -> None:
    """CTL-12, F-058, F-072: to either side; an hour too, as after a step of the clock."""
    clocks = Clocks(offset_ms)
    assert clocks.code() == code
    assert [alert.code for alert in clocks.alerts] == ["CLOCK_OFFSET"] * alerts


def test_the_refusal_has_its_numbers() -> None:
    """CTL-12"""
    refusal = Clocks(-7_000).guard()
    assert refusal is not None
    assert (refusal.value, refusal.limit, refusal.by_venue) == (7_000.0, 5_000.0, False)
    assert "-7000 ms" in refusal.message


def test_it_is_measured_at_once_and_every_ten_minutes_of_monotonic_time() -> None:
    """CTL-12, F-072: whatever the wall clock says of how long that was."""
    clocks = Clocks()
    assert (clocks.code(), clocks.asked) == ("", 1)
    clocks.offset_ms = 3_600_000
    clocks.monotonic_s += 599
    assert (clocks.code(), clocks.asked) == ("", 1), "not due, whatever the wall clock says"
    clocks.monotonic_s += 1
    assert (clocks.code(), clocks.asked) == ("CLOCK_OFFSET", 2)
    clocks.offset_ms = 0
    clocks.monotonic_s += 600
    assert (clocks.code(), clocks.asked) == ("", 3), "it ends by itself"


def test_half_of_the_way_is_no_offset() -> None:
    """CTL-12: an answer that took 4 s is compared with the middle of it."""
    clocks = Clocks()
    clocks.way_s = 4.0
    assert clocks.code() == ""
    assert clocks.alerts == []


def test_without_an_answer_entries_wait_and_the_last_answer_holds_on() -> None:
    """CTL-12, D-03: never compared = deny; asked again soon."""
    clocks = Clocks()
    clocks.is_down = True
    assert clocks.code() == "CLOCK_UNKNOWN"
    clocks.is_down = False
    clocks.monotonic_s += 10
    assert clocks.code() == ""
    clocks.is_down = True
    clocks.monotonic_s += 600
    assert clocks.code() == ""
