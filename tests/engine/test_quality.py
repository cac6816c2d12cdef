"""The gate of step 2 in the life of an event: F-065 to F-069, I-15."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.quality import (
    bar_at,
    gap_bars,
    stale_reason,
    validate_bar,
    validate_columns,
    validate_event,
)
from engine.types.bars import Bar, EventKind, MarketEvent
from tests.bar_factory import MINUTE_MS, cut, random_walk, real_bars

GOOD = Bar(600_000, 100.0, 101.0, 99.0, 100.5, 3.0)
PREVIOUS = Bar(540_000, 100.0, 101.0, 99.0, 100.0, 3.0)


def event_of(bar: Bar | None, *, late_ms: int = 0, kind: EventKind = EventKind.BAR) -> MarketEvent:
    close_ms = (bar.ts_ms if bar else 0) + MINUTE_MS
    return MarketEvent(kind, "BTC/USDT", close_ms, close_ms + late_ms, bar)


def code_of(bar: Bar, previous: Bar | None = PREVIOUS, *, late_ms: int = 0) -> str | None:
    reason = validate_event(event_of(bar, late_ms=late_ms), previous, MINUTE_MS)
    return None if reason is None else reason.code


def test_good_bar_passes_with_and_without_a_predecessor() -> None:
    assert code_of(GOOD) is None
    assert code_of(GOOD, None) is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"open": 0.0, "low": 0.0}, "NON_POSITIVE_PRICE"),
        ({"low": -1.0}, "NON_POSITIVE_PRICE"),
        ({"close": float("nan")}, "NON_FINITE_PRICE"),
        ({"high": float("inf")}, "NON_FINITE_PRICE"),
        ({"high": 1e12}, "ABSURD_PRICE"),
        ({"high": 98.0, "open": 98.5, "close": 98.5}, "HIGH_BELOW_LOW"),
        ({"open": 101.5}, "OUTSIDE_RANGE"),
        ({"close": 98.9}, "OUTSIDE_RANGE"),
        ({"volume": -0.1}, "BAD_VOLUME"),
        ({"volume": float("nan")}, "BAD_VOLUME"),
        ({"volume": float("inf")}, "BAD_VOLUME"),
        ({"ts_ms": 600_001}, "MISALIGNED_BAR"),
        ({"ts_ms": 540_000}, "DUPLICATE_BAR"),
        ({"ts_ms": 480_000}, "OUT_OF_ORDER_BAR"),
        ({"open": 1001.0, "high": 1002.0, "low": 1000.5, "close": 1001.0}, "PRICE_JUMP"),
        ({"open": 9.9, "high": 9.9, "low": 9.9, "close": 9.9}, "PRICE_JUMP"),
    ],
)
def test_each_kind_of_broken_bar_is_refused_with_its_code(
    changes: dict[str, float], code: str
) -> None:
    """F-068, F-069."""
    assert code_of(replace(GOOD, **changes)) == code


def test_reason_carries_the_numbers() -> None:
    reason = validate_bar(replace(GOOD, volume=-0.25), PREVIOUS, MINUTE_MS)
    assert reason is not None
    assert reason.value == -0.25
    assert "was -0.25" in reason.text


def test_bar_is_stale_only_beyond_two_timeframes_and_ten_seconds() -> None:
    """F-065, I-15: the boundary itself still passes."""
    on_time, late = event_of(GOOD, late_ms=130_000), event_of(GOOD, late_ms=130_001)
    assert stale_reason(on_time, MINUTE_MS) is None
    reason = stale_reason(late, MINUTE_MS)
    assert reason is not None and reason.code == "STALE_BAR"
    # a late bar is still a true one: it is kept, so that catching up leaves no gap (D-25)
    assert validate_event(late, PREVIOUS, MINUTE_MS) is None


def test_forming_bar_is_not_taken_for_a_closed_one() -> None:
    """F-066: venue time before the close, or an event time that is not the close."""
    assert code_of(GOOD, late_ms=-1) == "UNCLOSED_BAR"
    early = replace(event_of(GOOD), ts_ms=GOOD.ts_ms)
    reason = validate_event(early, PREVIOUS, MINUTE_MS)
    assert reason is not None and reason.code == "CLOSE_TIME_MISMATCH"


def test_bar_event_without_a_bar_is_refused_and_a_clock_event_passes() -> None:
    reason = validate_event(event_of(None), None, MINUTE_MS)
    assert reason is not None and reason.code == "NO_BAR"
    assert validate_event(event_of(None, kind=EventKind.CLOCK), None, MINUTE_MS) is None


def test_gap_is_accepted_and_counted() -> None:
    """F-067: three bars missing."""
    later = replace(GOOD, ts_ms=GOOD.ts_ms + 3 * MINUTE_MS)
    assert code_of(later) is None
    assert gap_bars(later, PREVIOUS, MINUTE_MS) == 3
    assert gap_bars(GOOD, PREVIOUS, MINUTE_MS) == 0
    assert gap_bars(GOOD, None, MINUTE_MS) == 0


def test_good_columns_pass_and_empty_columns_pass() -> None:
    bars = random_walk(1, 500)
    assert validate_columns(bars) == []
    assert validate_columns(cut(bars, 0, 0)) == []


def test_bad_rows_are_named_and_do_not_condemn_their_neighbours() -> None:
    bars = random_walk(2, 200)
    bars.close[50] = float("nan")
    bars.ts_ms[100] = bars.ts_ms[99]
    bars.volume[150] = -1.0
    found = [(row, reason.code) for row, reason in validate_columns(bars)]
    assert found == [(50, "NON_FINITE_PRICE"), (100, "DUPLICATE_BAR"), (150, "BAD_VOLUME")]


def test_spike_is_refused_once_and_the_return_to_normal_is_accepted() -> None:
    """A refused row does not become the standard for the next one."""
    bars = random_walk(3, 100)
    for column in (bars.open, bars.high, bars.low, bars.close):
        column[40] *= 1000.0
    assert [(row, r.code) for row, r in validate_columns(bars)] == [(40, "PRICE_JUMP")]


FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=64)


@given(FLOATS, FLOATS, FLOATS, FLOATS, FLOATS)
def test_whatever_passes_is_a_possible_bar(
    opened: float, high: float, low: float, close: float, volume: float
) -> None:
    """F-069: nothing that passes can poison an indicator."""
    bar = Bar(600_000, opened, high, low, close, volume)
    passed = validate_bar(bar, None, MINUTE_MS) is None
    possible = (
        all(np.isfinite([opened, high, low, close, volume]))
        and 0 < low <= min(opened, close)
        and max(opened, close) <= high <= 1e11
        and volume >= 0
    )
    assert passed == possible


def test_columns_and_single_bars_agree_on_corrupted_history() -> None:
    bars = random_walk(4, 300)
    rng = np.random.default_rng(4)
    for row in rng.choice(300, 40, replace=False):
        column = (bars.open, bars.high, bars.low, bars.close, bars.volume)[int(rng.integers(5))]
        column[row] = float(rng.choice([-1.0, 0.0, np.nan, np.inf, 1e13]))
    refused = dict(validate_columns(bars))
    previous: Bar | None = None
    for row in range(300):
        reason = validate_bar(bar_at(bars, row), previous, MINUTE_MS)
        assert (reason is None) == (row not in refused)
        if reason is None:
            previous = bar_at(bars, row)
    assert 0 < len(refused) <= 40


def test_real_history_passes() -> None:
    bars = real_bars("binance_spot_BTCUSDT_1h.parquet", 3_600_000, 70_000)
    assert validate_columns(bars) == []


@pytest.mark.slow
def test_good_bar_costs_a_few_microseconds_at_most() -> None:
    """The budget is 2 us; the limit here leaves room for a busy machine."""
    event = event_of(GOOD)
    best = min(_seconds_of(event) for _ in range(5))
    assert best / 20_000 < 10e-6


def _seconds_of(event: MarketEvent) -> float:
    started = time.perf_counter()
    for _ in range(20_000):
        validate_event(event, PREVIOUS, MINUTE_MS)
    return time.perf_counter() - started
