"""Stretches of candles: whole, or joined on a grid, against a loop over the rows."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from market.models import Candle
from market.selectors import candle_columns, candle_span
from tests.monitoring.factories import MINUTE, START, VENUE, make_candles

pytestmark = pytest.mark.django_db
OF = {"venue": VENUE, "symbol": "BTC/USDT", "timeframe_ms": 60_000}


def loop(rows, width_ms):
    """Join rows the slow way: one after the other into the bar of their grid cell."""
    bars = {}
    for row in rows:
        at = round(row.opened_at.timestamp() * 1000) // width_ms * width_ms
        known = bars.get(at)
        if known is None:
            bars[at] = [row.open, row.high, row.low, row.close, row.volume]
        else:
            known[1], known[2] = max(known[1], row.high), min(known[2], row.low)
            known[3] = row.close
            known[4] += row.volume
    return bars


def test_a_short_stretch_comes_bar_by_bar():
    make_candles("BTC/USDT", 50)
    found = candle_columns(
        **OF, since=START + 10 * MINUTE, until=START + 20 * MINUTE, max_bars=2_000
    )
    rows = list(Candle.objects.order_by("opened_at"))[10:20]
    assert found.timeframe_ms == 60_000
    assert found.close.tolist() == [row.close for row in rows]
    assert found.ts_ms[0] == round(rows[0].opened_at.timestamp() * 1000)


@pytest.mark.parametrize(("most", "joined"), [(150, 2), (70, 5), (31, 10), (7, 60), (1, 480)])
def test_a_long_stretch_comes_joined_as_a_loop_would_join_it(most, joined):
    make_candles("BTC/USDT", 300)
    gap = Candle.objects.filter(
        opened_at__gte=START + 41 * MINUTE, opened_at__lt=START + 78 * MINUTE
    )
    gap.delete()
    found = candle_columns(**OF, since=START, until=START + 300 * MINUTE, max_bars=most)
    expected = loop(Candle.objects.order_by("opened_at"), joined * 60_000)
    assert found.timeframe_ms == joined * 60_000
    assert found.ts_ms.tolist() == list(expected)
    # a price is one of those stored, to its last digit
    for i, name in enumerate(("open", "high", "low", "close")):
        assert getattr(found, name).tolist() == [bar[i] for bar in expected.values()]
    assert found.volume == pytest.approx([bar[4] for bar in expected.values()])


def test_a_stretch_cut_within_a_bar_has_no_candle_from_outside():
    make_candles("BTC/USDT", 300)
    since, until = START + 63.5 * MINUTE, START + 210.5 * MINUTE
    found = candle_columns(**OF, since=since, until=until, max_bars=10)
    rows = Candle.objects.filter(opened_at__gte=since, opened_at__lt=until).order_by("opened_at")
    expected = loop(rows, 15 * 60_000)
    assert found.ts_ms.tolist() == list(expected)
    for i, name in enumerate(("open", "high", "low", "close")):
        assert getattr(found, name).tolist() == [bar[i] for bar in expected.values()]


@pytest.mark.parametrize("bars", [1, 1_999, 2_000, 2_001, 100_000, 1_000_000, 50_000_000])
def test_however_long_the_stretch_about_so_many_bars_are_drawn(bars):
    """A million bars are no more on the screen than two thousand."""
    found = candle_columns(**OF, since=START - bars * MINUTE, until=START, max_bars=2_000)
    joined = found.timeframe_ms // 60_000
    assert bars <= joined * 2_000
    assert joined == 1 or bars > 2_000


def test_an_unknown_symbol_has_no_span_and_no_bars():
    make_candles("BTC/USDT", 3)
    assert candle_span(**OF) == (START, START + 2 * MINUTE)
    other = {**OF, "symbol": "DOGE/USDT"}
    assert candle_span(**other) is None
    empty = candle_columns(**other, since=START, until=START + timedelta(days=9), max_bars=10)
    assert len(empty) == 0
    assert empty.close.dtype == np.float64
