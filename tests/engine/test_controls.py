"""Controls of the market an order would meet, and what they make of a decision."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest

from engine import controls
from engine.limits import RiskLimits
from engine.types.bars import BarColumns, Book, ColumnStore, Snapshot
from engine.types.opinions import Missing, Side
from tests.bar_factory import candles, flat
from tests.engine.books import D, instrument
from tests.engine.phases.scene import book_at, entry, order_flow, risk, snapshot
from tests.engine.phases.sizing import ask, denial_of

LIMITS = RiskLimits()


def at(bars: BarColumns, row: int = -1) -> Snapshot:
    """The market at the close of one of these bars, without a book."""
    row = row % len(bars)
    return snapshot(row, bars=bars, store=ColumnStore(bars), book=None)


# -- volume (CTL-2) --------------------------------------------------------------------------------


def test_an_order_takes_at_most_a_hundredth_of_an_average_minute() -> None:
    """CTL-2: by hand: 1,440 minutes of 1,440 units each minute allow 14.4 units."""
    rooms = dict(controls.volume_rooms(at(flat(1_500, volume=1_440.0)), Side.BUY, LIMITS))
    assert rooms == {"VOLUME_SHARE": D("14.4")}


def test_only_the_last_day_counts_and_a_bar_of_an_hour_is_sixty_minutes() -> None:
    """CTL-2"""
    loud = flat(1_500, volume=600.0)
    loud.volume[:60] = 1e9
    assert controls.minute_volume(at(loud)) == 600.0
    hourly = replace(flat(30, volume=600.0), timeframe_ms=3_600_000)
    hourly = replace(hourly, ts_ms=np.arange(30, dtype=np.int64) * 3_600_000)
    assert controls.minute_volume(at(hourly)) == 10.0


def test_an_order_takes_at_most_a_tenth_of_the_five_levels_on_its_side() -> None:
    """CTL-2: the sixth level does not count, nor does the other side."""
    bids = tuple((99.9 - i, 2.0) for i in range(9))
    asks = tuple((100.1 + i, 7.0) for i in range(9))
    market = at(flat(50, volume=1e9))
    market = replace(market, event=replace(market.event, book=Book(0, bids, asks)))
    assert dict(controls.volume_rooms(market, Side.BUY, LIMITS))["BOOK_SHARE"] == D("3.5")
    assert dict(controls.volume_rooms(market, Side.SELL, LIMITS))["BOOK_SHARE"] == D("1")


@pytest.mark.parametrize("volume", [0.0, nan, inf])
def test_a_volume_that_cannot_be_judged_leaves_no_room(volume: float) -> None:
    """CTL-2, D-22: what cannot be evaluated is denied."""
    assert dict(controls.volume_rooms(at(flat(50, volume=volume)), Side.BUY, LIMITS)) == {
        "VOLUME_SHARE": D("0")
    }


def test_the_final_size_is_cut_by_the_market_and_the_cut_is_on_record() -> None:
    """CTL-2, I-10: whatever the multiplier, with the code and the room in the trace."""
    usual = ask().sizing
    thin = ask(at=snapshot(book=book_at(snapshot().close, quantity=0.5))).sizing
    assert 0 < thin.quantity_base == D("0.25") < usual.quantity_base
    step = next(step for step in thin.steps if step.code == "BOOK_SHARE")
    assert (step.after_base, step.before_base > 0.25) == (0.25, True)
    dry = replace(snapshot().store.bars, volume=np.zeros(700))
    none = ask(at=snapshot(bars=dry, store=ColumnStore(dry)))
    assert denial_of(none) == "VOLUME_SHARE"
    assert none.sizing.denied is not None and none.sizing.denied.limit == 0.0


# -- collar (CTL-3) --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "within", "beyond"), [("BTC", 1.0199, 1.0201), ("SOL", 1.0499, 1.0501)]
)
def test_a_price_is_at_most_two_percent_from_its_reference_on_majors_and_five_elsewhere(
    symbol: str, within: float, beyond: float
) -> None:
    """CTL-3, D-03: on both sides; the denial has the distance and its limit."""
    traded = replace(instrument(), base=symbol)
    most = 0.02 if symbol == "BTC" else 0.05
    for price in (100.0 * within, 100.0 * (2.0 - within)):
        assert controls.collar_denial(price, 100.0, traded, LIMITS) is None
    for price in (100.0 * beyond, 100.0 * (2.0 - beyond)):
        denied = controls.collar_denial(price, 100.0, traded, LIMITS)
        assert denied is not None
        assert (denied.code, denied.limit) == ("PRICE_COLLAR", most)
        assert denied.value == pytest.approx(beyond - 1.0)


@pytest.mark.parametrize("reference", [nan, inf, 0.0, -1.0])
def test_without_a_reference_nothing_is_entered(reference: float) -> None:
    """CTL-3: missing or not finite = deny."""
    denied = controls.collar_denial(100.0, reference, instrument(), LIMITS)
    assert denied is not None and denied.code == "NO_REFERENCE"


def test_a_price_that_is_no_number_is_outside_every_collar() -> None:
    """CTL-3, F-075"""
    for price in (nan, inf):
        denied = controls.collar_denial(price, 100.0, instrument(), LIMITS)
        assert denied is not None and denied.code == "PRICE_COLLAR"


def test_a_decision_is_judged_by_the_middle_of_its_book() -> None:
    """CTL-3: the close says one thing, the book another: nothing is entered on the close."""
    close = snapshot().close
    assert denial_of(ask(at=snapshot(book=book_at(close * 1.03)))) == "PRICE_COLLAR"
    assert ask(at=snapshot(book=book_at(close * 1.01))).sizing.quantity_base > 0


# -- jumps and spread (CTL-11) ---------------------------------------------------------------------


def spiked(extreme: float, *, rows_ago: int, rows: int = 60) -> BarColumns:
    """A still market in which one bar reached ``extreme`` and came back."""
    table = [(100.0, 100.0, 100.0, 100.0)] * rows
    high, low = max(100.0, extreme), min(100.0, extreme)
    table[rows - 1 - rows_ago] = (100.0, high, low, 100.0)
    return candles(table, volume=1e6)


@pytest.mark.parametrize("extreme", [150.0, 50.0, 105.0, 95.0])
def test_a_spike_that_came_back_ends_entries_for_fifteen_minutes(extreme: float) -> None:
    """CTL-11, F-071: up or down, the bar that shows it and the fourteen after it."""
    for rows_ago in range(15):
        denied = controls.jump_denial(at(spiked(extreme, rows_ago=rows_ago)), LIMITS)
        assert denied is not None and denied.code == "PRICE_JUMP", rows_ago
        assert (denied.value, denied.limit) == (pytest.approx(abs(extreme / 100.0 - 1.0)), 0.05)
    assert controls.jump_denial(at(spiked(extreme, rows_ago=15)), LIMITS) is None


def test_a_move_below_the_limit_is_the_market() -> None:
    """CTL-11"""
    assert controls.jump_denial(at(spiked(104.9, rows_ago=0)), LIMITS) is None
    assert controls.worst_jump(at(spiked(104.0, rows_ago=0)), LIMITS)[0] == pytest.approx(0.04)


def test_ten_percent_in_five_minutes_ends_entries_though_no_minute_jumped() -> None:
    """CTL-11"""
    closes = [100.0] * 20 + [102.1, 104.2, 106.4, 108.6, 110.9] + [110.9] * 5
    rows = [(b, max(a, b), min(a, b), a) for b, a in zip([100.0, *closes], closes, strict=False)]
    denied = controls.jump_denial(at(candles(rows)), LIMITS)
    assert denied is not None and denied.limit == 0.10
    assert denied.value == pytest.approx(0.109)


def test_a_bar_of_an_hour_tells_of_the_step_at_its_open_alone() -> None:
    """CTL-11: an hour that moved by 8 % is no jump; an open 8 % off the last close is."""
    hours = [(100.0, 100.0, 100.0, 100.0)] * 5
    slow, stepped = (100.0, 108.0, 100.0, 108.0), (108.0, 108.0, 108.0, 108.0)
    for last, code in ((slow, None), (stepped, "PRICE_JUMP")):
        bars = candles([*hours, last])
        bars = replace(bars, timeframe_ms=3_600_000, ts_ms=bars.ts_ms * 60)
        denied = controls.jump_denial(at(bars), LIMITS)
        assert (None if denied is None else denied.code) == code


def test_a_jump_stops_the_best_of_signals() -> None:
    """CTL-11, F-071: through phase 7, with an order book that looks well."""
    bars = snapshot().store.bars
    high = bars.high.copy()
    high[640] *= 1.5
    jumped = replace(bars, high=high)
    assert denial_of(ask(at=snapshot(bars=jumped, store=ColumnStore(jumped)))) == "PRICE_JUMP"


def test_a_spread_above_one_percent_stops_entries() -> None:
    """CTL-11; without a book it is left out (D-22)."""
    assert denial_of(ask(seen={"order_flow": order_flow(spread_bps=101.0)})) == "SPREAD"
    assert ask(seen={"order_flow": order_flow(spread_bps=100.0)}).sizing.quantity_base > 0
    bare = ask(at=snapshot(book=None), seen={"order_flow": Missing("no book")})
    assert bare.sizing.quantity_base > 0


def test_repeated_entries_are_the_last_word() -> None:
    """CTL-7: the fourth of 15 minutes and the sixth of a day, whatever the multiplier."""
    assert ask(risk=risk(entries_15m=2, entries_day=4)).sizing.quantity_base > 0
    assert denial_of(ask(risk=risk(entries_15m=3))) == "REPEATED_ENTRIES"
    denied = ask(entry(), risk=risk(entries_day=5)).sizing.denied
    assert denied is not None
    assert (denied.code, denied.value, denied.limit) == ("REPEATED_ENTRIES_DAY", 6.0, 5.0)
