"""The seeded market: reproducible, exact through text, consistent within each bar."""

from __future__ import annotations

import itertools
from decimal import Decimal

import numpy as np
import pytest

from engine.quality import bar_at, validate_columns
from engine.types.bars import Bar, Instrument
from engine.types.opinions import REGIMES, Regime
from market.sources.history import iterate_bars
from market.sources.instruments import instrument_for
from market.sources.synthetic import (
    SyntheticPath,
    synthetic_bars,
    synthetic_book,
    synthetic_flow,
    synthetic_trades,
)

START_MS = 1_704_067_200_000
SYMBOLS = ("BTC/USDT", "ETH/USDT", "XRP/USDT", "FOO/BTC")


def some_bars(symbol: str, n_bars: int = 400, seed: int = 3) -> list[Bar]:
    return list(iterate_bars(synthetic_bars(seed, symbol, START_MS, 60_000, n_bars), 0, n_bars))


def test_bars_do_not_depend_on_how_they_were_asked_for() -> None:
    whole = SyntheticPath(3, "BTC/USDT", START_MS, 60_000).columns(0, 5000)
    piecewise = SyntheticPath(3, "BTC/USDT", START_MS, 60_000)
    for first, last in ((0, 1), (4000, 4100), (1, 700)):
        part = piecewise.columns(first, last)
        for name in ("ts_ms", "open", "high", "low", "close", "volume"):
            assert np.array_equal(getattr(part, name), getattr(whole, name)[first:last])


def test_seed_and_symbol_make_different_markets() -> None:
    closes = [
        synthetic_bars(seed, symbol, START_MS, 60_000, 50).close.tolist()
        for seed, symbol in ((1, "BTC/USDT"), (2, "BTC/USDT"), (1, "ETH/USDT"))
    ]
    assert closes[0] != closes[1]
    assert closes[0] != closes[2]


@pytest.mark.parametrize("timeframe_ms", [60_000, 300_000, 3_600_000])
def test_ten_thousand_bars_pass_the_quality_gate(timeframe_ms: int) -> None:
    bars = synthetic_bars(9, "BTC/USDT", START_MS, timeframe_ms, 10_000)
    assert validate_columns(bars) == []


def test_prices_are_on_tick_and_volumes_on_lot_exactly() -> None:
    """Parity: the decimal a venue prints is the float everybody computes with."""
    for symbol in SYMBOLS:
        instrument = instrument_for(symbol)
        for bar in some_bars(symbol):
            for price in (bar.open, bar.high, bar.low, bar.close):
                assert Decimal(repr(price)) % instrument.tick_size == 0
            assert Decimal(repr(bar.volume)) % instrument.lot_size == 0


def test_every_regime_occurs_and_they_differ_as_named() -> None:
    path = SyntheticPath(5, "BTC/USDT", START_MS, 60_000)
    bars, regimes = path.columns(0, 40_000), path.regimes(0, 40_000)
    returns = np.log(bars.close / bars.open)
    spread = {r: float(np.std(returns[regimes == i])) for i, r in enumerate(REGIMES)}
    assert spread[Regime.VOLATILE] > 2 * spread[Regime.RANGING] > 4 * spread[Regime.QUIET]
    starts = np.flatnonzero(np.diff(regimes)) + 1
    segments = np.split(np.arange(40_000), starts)
    net = {r: [] for r in REGIMES}
    for rows in segments:
        moved = abs(np.log(bars.close[rows[-1]] / bars.open[rows[0]]))
        walked = np.sum(np.abs(returns[rows]))
        net[REGIMES[regimes[rows[0]]]].append(moved / walked)
    assert np.mean(net[Regime.TRENDING]) > 2 * np.mean(net[Regime.RANGING])


def test_prices_gap_between_bars_now_and_then() -> None:
    bars = synthetic_bars(3, "BTC/USDT", START_MS, 60_000, 20_000)
    share = float(np.mean(bars.open[1:] != bars.close[:-1]))
    assert 0.0005 < share < 0.01


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_book_is_ordered_positive_and_on_the_grid(symbol: str) -> None:
    instrument = instrument_for(symbol)
    for bar in some_bars(symbol):
        book = synthetic_book(3, instrument, bar)
        bids, asks = [p for p, _ in book.bids], [p for p, _ in book.asks]
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert 0 < bids[0] < asks[0]
        assert len(bids) >= 10 and len(asks) >= 10
        for price, quantity in (*book.bids, *book.asks):
            assert quantity > 0
            assert Decimal(repr(price)) % instrument.tick_size == 0
            assert Decimal(repr(quantity)) % instrument.lot_size == 0


def test_book_is_wider_and_thinner_after_a_wider_bar() -> None:
    instrument = instrument_for("BTC/USDT")
    calm = Bar(START_MS, 60_000.0, 60_010.0, 59_990.0, 60_000.0, 10.0)
    wild = Bar(START_MS, 60_000.0, 60_900.0, 59_100.0, 60_000.0, 10.0)
    books = [synthetic_book(3, instrument, bar) for bar in (calm, wild)]
    spreads = [book.asks[0][0] - book.bids[0][0] for book in books]
    depths = [sum(quantity for _, quantity in book.bids) for book in books]
    assert spreads[1] > spreads[0]
    assert depths[1] < depths[0]


def test_book_imbalance_says_nothing_about_the_next_bar() -> None:
    """The generator must not leak the future: correlation within noise of 5,000 bars."""
    instrument = instrument_for("BTC/USDT")
    bars = some_bars("BTC/USDT", 5001)
    imbalance, following = [], []
    for bar, after in itertools.pairwise(bars):
        book = synthetic_book(3, instrument, bar)
        bid, ask = (sum(q for _, q in side) for side in (book.bids, book.asks))
        imbalance.append((bid - ask) / (bid + ask))
        following.append(after.close / bar.close - 1)
    correlation = float(np.corrcoef(imbalance, following)[0, 1])
    assert np.std(imbalance) > 0.05
    assert abs(correlation) < 3 / np.sqrt(5000)


def test_book_flow_and_trades_depend_on_seed_symbol_and_bar_only() -> None:
    instrument = instrument_for("BTC/USDT")
    bar = some_bars("BTC/USDT", 1)[0]
    assert synthetic_book(3, instrument, bar) == synthetic_book(3, instrument, bar)
    assert synthetic_book(3, instrument, bar) != synthetic_book(4, instrument, bar)
    assert synthetic_flow(3, instrument, bar) == synthetic_flow(3, instrument, bar)


def assert_trades_make_the_bar(instrument: Instrument, bar: Bar) -> None:
    trades = synthetic_trades(3, instrument, bar, 60_000)
    flow = synthetic_flow(3, instrument, bar)
    total = sum((t.quantity_base for t in trades), Decimal(0))
    bought = sum((t.quantity_base for t in trades if t.taker_bought), Decimal(0))
    assert total == Decimal(repr(bar.volume))
    assert float(bought) == flow.buy_volume_base
    assert float(total - bought) == flow.sell_volume_base
    assert len(trades) == flow.trade_count
    assert all(t.quantity_base > 0 for t in trades)
    assert all(bar.ts_ms <= t.ts_ms < bar.ts_ms + 60_000 for t in trades)
    if len(trades) >= 4:
        prices = [t.price for t in trades]
        assert (prices[0], prices[-1]) == (bar.open, bar.close)
        assert (max(prices), min(prices)) == (bar.high, bar.low)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_trades_touch_the_bar_and_sum_to_its_volume_and_flow(symbol: str) -> None:
    for bar in some_bars(symbol):
        assert_trades_make_the_bar(instrument_for(symbol), bar)


@pytest.mark.parametrize("volume", [0.0, 0.00001, 0.00002, 0.00003, 0.00007, 12.345678912])
def test_thin_and_off_grid_volumes_of_real_files_still_add_up(volume: float) -> None:
    bar = Bar(START_MS, 60_000.0, 60_010.0, 59_990.0, 60_005.0, volume)
    assert_trades_make_the_bar(instrument_for("BTC/USDT"), bar)


def test_flat_bar_has_a_book_and_trades() -> None:
    bar = Bar(START_MS, 100.0, 100.0, 100.0, 100.0, 1.0)
    instrument = instrument_for("SOL/USDT")
    assert_trades_make_the_bar(instrument, bar)
    book = synthetic_book(3, instrument, bar)
    assert book.bids[0][0] <= 100.0 <= book.asks[0][0]


def test_bar_at_reads_what_iterate_bars_reads() -> None:
    columns = synthetic_bars(3, "BTC/USDT", START_MS, 60_000, 20)
    assert list(iterate_bars(columns, 3, 20)) == [bar_at(columns, row) for row in range(3, 20)]
