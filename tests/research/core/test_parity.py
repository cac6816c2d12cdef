"""Labels of a day's differences that need no rows: lateness, orders, stretches of bars."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from research.core.parity import Decided, Ordered, of_bars, of_decision, of_orders
from trades.core.replay_report import DecisionReplay, Verdict

MINUTE_MS = 60_000
DECIDED = Decided(
    code="c0de",
    symbol="BTC/USDT",
    strategy="breakout",
    bar_close_ms=10 * MINUTE_MS,
    decided_ms=10 * MINUTE_MS + 300,
    acts=True,
    quantity_base=Decimal("0.5"),
)
ORDER = Ordered(
    at_once=True,
    status="FILLED",
    is_over=True,
    quantity_base=Decimal("0.5"),
    filled_base=Decimal("0.5"),
    average_price=100.1,
    limit_price=None,
    first_fill_ms=10 * MINUTE_MS + 400,
    refusal="",
)
VERDICT = Verdict("BUY", "0.5", "OK", 0.7, "digest")
SAME = DecisionReplay(VERDICT, "1.0", "1.0", verdict_now=VERDICT)


def orders(*given: Ordered, next_open: float | None = 100.0) -> list[tuple[str, bool]]:
    found = of_orders(DECIDED, given, next_open=next_open, timeframe_ms=MINUTE_MS)
    return [(one.label, one.is_explained) for one in found]


def test_a_decision_made_a_bar_late_is_timing_and_one_made_within_it_is_none():
    late = replace(DECIDED, decided_ms=DECIDED.bar_close_ms + 75_000)
    assert of_decision(DECIDED, SAME, MINUTE_MS) == []
    (one,) = of_decision(late, SAME, MINUTE_MS)
    assert (one.label, one.then, one.now) == ("timing", "75 s", "0 s")


def test_another_verdict_without_any_difference_on_the_way_is_code_that_nothing_explains():
    other = DecisionReplay(VERDICT, "1.0", "1.0", verdict_now=replace(VERDICT, digest="other"))
    (one,) = of_decision(DECIDED, other, MINUTE_MS)
    assert (one.label, one.is_explained) == ("code", False)


def test_orders_are_matched_by_quantity_price_and_time():
    assert orders(ORDER) == []
    assert orders(replace(ORDER, average_price=101.0)) == [("price", True)]
    assert orders(replace(ORDER, first_fill_ms=12 * MINUTE_MS)) == [("timing", True)]
    assert orders(ORDER, next_open=None) == [("data", True)]
    assert orders() == [("fill", False)]
    cut = replace(ORDER, filled_base=Decimal("0.2"), status="PARTIAL", is_over=False)
    assert orders(cut) == [("fill", True)]
    assert orders(replace(cut, status="CANCELED", is_over=True)) == [("fill", False)]
    assert orders(ORDER, ORDER) == [("fill", False)]
    two = replace(ORDER, filled_base=Decimal("0.25"))
    assert orders(two, two) == []


def test_a_fill_far_away_or_bars_late_is_explained_by_no_label():
    """Within 200 bps and five bars the label says why; 20 % and an hour want a person."""
    assert orders(replace(ORDER, average_price=101.9)) == [("price", True)]
    assert orders(replace(ORDER, average_price=120.0)) == [("price", False)]
    assert orders(replace(ORDER, average_price=80.0)) == [("price", False)]
    at_ms = ORDER.first_fill_ms or 0
    assert orders(replace(ORDER, first_fill_ms=15 * MINUTE_MS)) == [("timing", True)]
    assert orders(replace(ORDER, first_fill_ms=at_ms + 60 * MINUTE_MS)) == [("timing", False)]


def test_an_act_decided_an_hour_late_is_not_explained_and_a_hold_is():
    late = replace(DECIDED, decided_ms=DECIDED.bar_close_ms + 60 * MINUTE_MS)
    assert [one.is_explained for one in of_decision(late, SAME, MINUTE_MS)] == [False]
    held = replace(late, acts=False)
    assert [one.is_explained for one in of_decision(held, SAME, MINUTE_MS)] == [True]


def test_an_order_that_rests_is_matched_with_its_own_limit_whenever_it_fills():
    resting = replace(ORDER, at_once=False, limit_price=99.0, first_fill_ms=40 * MINUTE_MS)
    assert orders(replace(resting, average_price=99.0)) == []
    assert orders(replace(resting, average_price=98.0)) == [("price", True)]


def test_bars_that_nobody_decided_on_are_told_a_stretch_a_line():
    closes = [n * MINUTE_MS for n in range(1, 11)]
    decided = {n * MINUTE_MS for n in (1, 2, 6, 7, 8, 9)}
    found = of_bars("BTC/USDT", closes, decided, {10 * MINUTE_MS: "negative volume"}, MINUTE_MS)
    assert [(one.label, one.what) for one in found] == [
        ("timing", "3 bars of the day"),
        ("data", "1 bar of the day"),
    ]
    assert found[0].at_ms == 3 * MINUTE_MS
    assert of_bars("BTC/USDT", closes, set(closes), {}, MINUTE_MS) == []
