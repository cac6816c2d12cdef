"""Candles of our own: kept once, gated, gaps told, downloads that go on where they were."""

from __future__ import annotations

import numpy as np
import pytest

from engine.types.bars import BarColumns
from market.candle_download import CHUNK_BARS, candles_download
from market.candle_store import Gap, Shelf, gaps_of, merged_bars, missing_spans, shelves
from market.errors import DataError, SourceUnavailable
from tests.bar_factory import random_walk

MINUTE = 60_000
BARS = random_walk(3, 12_000)
START = 1_700_000_040_000
WHOLE = BarColumns(
    BARS.ts_ms + START, BARS.open, BARS.high, BARS.low, BARS.close, BARS.volume, MINUTE
)


def rows(*wanted: int) -> BarColumns:
    at = np.array(wanted)
    return BarColumns(
        *(
            getattr(WHOLE, n)[at].copy()
            for n in ("ts_ms", "open", "high", "low", "close", "volume")
        ),
        timeframe_ms=MINUTE,
    )


def shelf(tmp_path) -> Shelf:
    return Shelf(tmp_path / "candles", "binance", "BTC/USDT", MINUTE)


class Venue:
    """A venue that has every bar but some, and stops to answer after some calls."""

    def __init__(self, lacks: range = range(0), calls: int = 10**6) -> None:
        self.asked: list[tuple[int, int]] = []
        self._lacks, self._calls = lacks, calls

    def venue_ms(self) -> int:
        return START + 12_000 * MINUTE + 30_000

    def between(self, symbol: str, from_ms: int, to_ms: int) -> BarColumns:
        if len(self.asked) >= self._calls:
            raise SourceUnavailable("TIMEOUT: gone")
        self.asked.append((from_ms, to_ms))
        first, last = (from_ms - START) // MINUTE, (to_ms - START) // MINUTE
        return rows(*(row for row in range(max(0, first), last) if row not in self._lacks))


def test_a_kept_bar_stays_and_a_new_one_fills_the_gap(tmp_path):
    store = shelf(tmp_path)
    assert store.keep(rows(0, 1, 4)).new == 3
    again = rows(1, 2, 3)
    again.close[0] = again.open[0]
    kept = store.keep(again)
    assert (kept.new, kept.known, kept.refused) == (2, 1, 0)
    bars = store.read()
    assert bars.ts_ms.tolist() == WHOLE.ts_ms[:5].tolist()
    assert bars.close.tolist() == WHOLE.close[:5].tolist()
    ((path, symbol, _),) = shelves(tmp_path / "candles")
    assert (path.name, symbol) == ("binance_spot_BTCUSDT_1m.parquet", "BTC/USDT")


def test_a_bar_that_the_gate_refuses_is_not_kept(tmp_path):
    """High below low, and a price that lost its decimal point."""
    bad = rows(0, 1, 2)
    bad.high[1] = bad.low[1] / 2
    kept = shelf(tmp_path).keep(bad)
    assert (kept.new, kept.refused) == (2, 1)
    jump = rows(1)
    for name in ("open", "high", "low", "close"):
        getattr(jump, name)[:] *= 1_000
    assert merged_bars(rows(0, 2), jump)[1] == 1
    with pytest.raises(DataError, match="bar length was 120000 ms"):
        merged_bars(rows(0), BarColumns(*[np.zeros(0)] * 6, timeframe_ms=2 * MINUTE))


def test_gaps_are_told_with_their_ends_and_length():
    bars = rows(0, 1, 4, 5, 9)
    assert gaps_of(bars) == [
        Gap(START + 2 * MINUTE, START + 4 * MINUTE, 2),
        Gap(START + 6 * MINUTE, START + 9 * MINUTE, 3),
    ]
    assert gaps_of(rows(3)) == []
    spans = missing_spans(bars, START - MINUTE, START + 11 * MINUTE)
    minutes = [((a - START) // MINUTE, (b - START) // MINUTE) for a, b in spans]
    assert minutes == [(-1, 0), (2, 4), (6, 9), (10, 11)]
    assert missing_spans(bars, START, START) == []


def test_a_download_takes_every_closed_bar_and_says_what_the_venue_lacks(tmp_path):
    told: list[tuple[int, int]] = []
    venue = Venue(lacks=range(100, 110))
    found = candles_download(
        venue, shelf(tmp_path), since_ms=START, told=lambda *at: told.append(at)
    )
    assert (found.new, found.bars, found.refused) == (11_990, 11_990, 0)
    assert found.gaps == [Gap(START + 100 * MINUTE, START + 110 * MINUTE, 10)]
    assert told[-1] == (12_000, 12_000) and len(told) == len(venue.asked) == 3


def test_a_download_that_broke_off_goes_on_after_what_is_kept_and_repairs_gaps(tmp_path):
    store = shelf(tmp_path)
    with pytest.raises(SourceUnavailable):
        candles_download(Venue(calls=1, lacks=range(7, 9)), store, since_ms=START)
    assert len(store.read()) == CHUNK_BARS - 2
    healed = Venue()
    found = candles_download(healed, store, since_ms=START)
    assert found.bars == 12_000 and found.gaps == []
    assert healed.asked[0] == (START + 7 * MINUTE, START + 9 * MINUTE), "the gap alone"
    assert healed.asked[1][0] == START + CHUNK_BARS * MINUTE
    again = Venue()
    candles_download(again, store, since_ms=START)
    assert again.asked == [], "nothing is missing"


@pytest.mark.parametrize(("venue", "symbol"), [("../x", "BTC/USDT"), ("binance", "../BTC/USDT")])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, venue, symbol):
    with pytest.raises(DataError, match="allowed: "):
        Shelf(tmp_path, venue, symbol, MINUTE)
