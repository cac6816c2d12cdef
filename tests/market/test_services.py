"""History kept as candles: the last of it, each bar once, nothing the gate refuses."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from engine.quality import bar_at
from engine.types.bars import Bar, BarColumns
from market.models import Candle, Instrument
from market.services import candles_backfill, candles_keep, candles_prune
from tests.bar_factory import MINUTE_MS, random_walk

pytestmark = pytest.mark.django_db
WHERE = {"venue": "binance", "symbol": "BTC/USDT"}


@pytest.fixture(autouse=True)
def instrument() -> Instrument:
    one = Decimal(1)
    return Instrument.objects.create(
        **WHERE,
        base="BTC",
        quote="USDT",
        tick_size=one,
        lot_size=one,
        min_notional_quote=one,
        min_quantity_base=one,
        maker_fee_fraction=one,
        taker_fee_fraction=one,
        updated_at=timezone.now(),
    )


def opened_minutes() -> list[int]:
    rows = Candle.objects.order_by("opened_at").values_list("opened_at", flat=True)
    return [round(at.timestamp() * 1000) // MINUTE_MS for at in rows]


def rows(bars: BarColumns, start: int, end: int) -> BarColumns:
    names = ("ts_ms", "open", "high", "low", "close", "volume")
    return replace(bars, **{name: getattr(bars, name)[start:end] for name in names})


def test_only_the_last_bars_are_kept() -> None:
    assert candles_backfill(**WHERE, bars=random_walk(1, 50), limit=20) == 20
    assert opened_minutes() == list(range(30, 50))


def test_a_second_backfill_closes_the_hole_and_doubles_nothing() -> None:
    bars = random_walk(1, 60)
    candles_backfill(**WHERE, bars=rows(bars, 0, 40))
    candles_backfill(**WHERE, bars=rows(bars, 20, 60))
    assert opened_minutes() == list(range(60))


def test_a_candle_once_written_stays_as_it_is() -> None:
    bars = random_walk(1, 3)
    candles_backfill(**WHERE, bars=bars)
    before = list(Candle.objects.values_list("close", flat=True))
    candles_backfill(**WHERE, bars=replace(bars, close=bars.open.copy()))
    assert list(Candle.objects.values_list("close", flat=True)) == before


def test_a_bar_that_the_gate_refuses_is_left_out() -> None:
    """F-069: backfill uses the same gate as the loop."""
    bars = random_walk(1, 10)
    close = bars.close.copy()
    close[4] = np.nan
    assert candles_backfill(**WHERE, bars=replace(bars, close=close)) == 9
    assert 4 not in opened_minutes()


def test_no_history_is_no_candle() -> None:
    assert candles_backfill(**WHERE, bars=rows(random_walk(1, 3), 0, 0)) == 0
    assert not Candle.objects.exists()


def test_old_candles_go_but_for_the_newest_that_columns_remember() -> None:
    bars = random_walk(1, 100)
    candles_backfill(**WHERE, bars=bars)
    first = opened_minutes()[0]
    hour = 1 / 24
    assert candles_prune(days=hour, keep=60, dry_run=True) == 39
    assert candles_prune(days=hour, keep=200) == 0
    assert candles_prune(days=hour, keep=80) == 20
    assert opened_minutes()[0] == first + 20
    assert candles_prune(days=hour, keep=10) == 19
    assert (Candle.objects.count(), opened_minutes()[0]) == (61, first + 39)


def test_a_bar_that_no_candle_may_be_is_told_and_takes_the_others_with_it() -> None:
    """I-15: the database's own word is the last one; a bar known already is left as it is."""
    known, other = random_walk(1, 2), Bar(9 * MINUTE_MS, 5.0, 4.0, 6.0, 5.0, 1.0)
    where = Instrument.objects.get(**WHERE)
    candles_backfill(**WHERE, bars=known)
    before = list(Candle.objects.order_by("opened_at").values_list("open", "close"))
    changed = replace(bar_at(known, 0), open=bar_at(known, 0).close)
    candles_keep(instrument=where, timeframe_ms=MINUTE_MS, bars=[changed])
    with pytest.raises(IntegrityError), transaction.atomic():
        candles_keep(
            instrument=where,
            timeframe_ms=MINUTE_MS,
            bars=[replace(bar_at(known, 1), ts_ms=7 * MINUTE_MS), other],
        )
    assert list(Candle.objects.order_by("opened_at").values_list("open", "close")) == before
