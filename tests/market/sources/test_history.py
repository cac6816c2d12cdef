"""Candle files: what is refused and how, what is emitted and in which order."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine.types.bars import BarColumns
from market.errors import DataError
from market.sources.files import parse_instant, read_bars
from market.sources.history import HistorySource, load_history
from market.sources.instruments import instrument_for
from market.sources.synthetic import synthetic_bars, synthetic_book, synthetic_flow

START_MS = 1_700_000_040_000
NAME = "binance_spot_BTCUSDT_1m_test.parquet"


def frame(n_bars: int = 10, symbol: str = "BTC/USDT", first: int = 0) -> pl.DataFrame:
    bars = synthetic_bars(5, symbol, START_MS, 60_000, first + n_bars)
    names = ("open", "high", "low", "close", "volume")
    columns = {"timestamp": bars.ts_ms, **{name: getattr(bars, name) for name in names}}
    return pl.DataFrame(columns)[first:]


def saved(folder: Path, table: pl.DataFrame, name: str = NAME) -> Path:
    path = folder / name
    table.write_parquet(path) if name.endswith(".parquet") else table.write_csv(path)
    return path


def changed(row: int, column: str, value: float) -> pl.DataFrame:
    table = frame()
    values = table[column].to_list()
    values[row] = value
    return table.with_columns(pl.Series(column, values))


def same(left: BarColumns, right: BarColumns) -> bool:
    names = ("ts_ms", "open", "high", "low", "close", "volume")
    return all(np.array_equal(getattr(left, n), getattr(right, n)) for n in names)


@pytest.mark.parametrize("name", [NAME, NAME.replace("parquet", "csv")])
def test_file_gives_back_the_bars_it_was_written_from(tmp_path: Path, name: str) -> None:
    file = read_bars(saved(tmp_path, frame(), name))
    assert (file.symbol, file.bars.timeframe_ms) == ("BTC/USDT", 60_000)
    assert same(file.bars, synthetic_bars(5, "BTC/USDT", START_MS, 60_000, 10))


def test_a_bad_row_of_a_text_file_is_named_by_its_line(tmp_path: Path) -> None:
    """F-069: as an editor counts them, the header included."""
    path = saved(tmp_path, changed(3, "close", -1.0), "binance_spot_BTCUSDT_1m_x.csv")
    with pytest.raises(DataError, match="line 5: NON_POSITIVE_PRICE"):
        read_bars(path)
    assert "-1.0" in path.read_text().splitlines()[5 - 1]


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (frame().drop("close"), "column close is missing"),
        (frame(0), "rows were 0"),
        (changed(3, "close", -1.0), "data row 4: NON_POSITIVE_PRICE"),
        (changed(4, "high", float("nan")), "data row 5: NON_FINITE_PRICE"),
        (changed(4, "low", float("inf")), "data row 5: NON_FINITE_PRICE"),
        (changed(2, "high", 1.0), "data row 3: HIGH_BELOW_LOW"),
        (changed(5, "volume", -3.0), "data row 6: BAD_VOLUME"),
        (changed(6, "timestamp", START_MS), "data row 7: OUT_OF_ORDER_BAR"),
        (changed(6, "timestamp", START_MS + 5 * 60_000), "data row 7: DUPLICATE_BAR"),
        (changed(6, "timestamp", START_MS + 6 * 60_000 + 7), "data row 7: MISALIGNED_BAR"),
        (
            changed(0, "timestamp", START_MS // 1000),
            "data row 1: timestamp was 1700000040",
        ),
        (frame().with_columns(pl.lit("x").alias("open")), "column open was String"),
        (
            frame().with_columns(pl.col("timestamp").cast(pl.Float64)),
            "column timestamp was Float64",
        ),
        (
            frame().with_columns(
                pl.when(pl.col("timestamp") == START_MS + 60_000)
                .then(None)
                .otherwise(pl.col("volume"))
                .alias("volume")
            ),
            "data row 2: volume was empty",
        ),
    ],
)
def test_malformed_file_is_refused_with_one_line_naming_file_and_place(
    tmp_path: Path, table: pl.DataFrame, line: str
) -> None:
    """F-069."""
    path = saved(tmp_path, table)
    with pytest.raises(DataError) as caught:
        read_bars(path)
    assert str(path) in str(caught.value)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unreadable_or_unknown_files_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / NAME
    broken.write_text("not parquet")
    text = tmp_path / "binance_spot_BTCUSDT_1m.txt"
    text.write_text("")
    for path, line in (
        (broken, "not readable as parquet"),
        (text, "ending was '.txt'"),
        (tmp_path / "none.csv", "no such file"),
    ):
        with pytest.raises(DataError, match=line):
            read_bars(path)


def test_name_that_says_nothing_needs_symbol_and_timeframe(tmp_path: Path) -> None:
    path = saved(tmp_path, frame(), "bars.parquet")
    with pytest.raises(DataError, match="symbol was not given"):
        read_bars(path)
    with pytest.raises(DataError, match="timeframe was not given"):
        read_bars(path, symbol="BTC/USDT")
    assert read_bars(path, symbol="BTC/USDT", timeframe="1m").symbol == "BTC/USDT"
    with pytest.raises(DataError, match=r"bars.parquet: timeframe was '1y'"):
        read_bars(path, symbol="BTC/USDT", timeframe="1y")


def test_metadata_of_the_file_names_what_its_name_does_not(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    frame().write_parquet(path, metadata={"symbol": "ETH/USDT", "timeframe": "1m"})
    assert read_bars(path).symbol == "ETH/USDT"


def test_bars_that_are_missing_stay_missing(tmp_path: Path) -> None:
    table = frame(20)
    history = load_history([saved(tmp_path, pl.concat([table[:5], table[9:]]))])
    assert len(history.bars["BTC/USDT"]) == 16


def test_symbols_are_emitted_on_one_clock_in_time_order(tmp_path: Path) -> None:
    btc = saved(tmp_path, frame(20))
    eth = saved(tmp_path, frame(10, "ETH/USDT", 5), NAME.replace("BTC", "ETH"))
    source = HistorySource(load_history([btc, eth]))
    events = list(source.events())
    assert len(events) == len(source) == 30
    keys = [(e.ts_ms, e.symbol) for e in events]
    assert keys == sorted(keys)
    assert all(e.bar is not None and e.ts_ms == e.bar.ts_ms + 60_000 for e in events)
    assert all(e.now_ms == e.ts_ms and e.book is None and e.flow is None for e in events)


def test_from_and_to_cut_the_events_and_leave_the_rest_as_history(tmp_path: Path) -> None:
    history = load_history([saved(tmp_path, frame(20))])
    source = HistorySource(history, from_ms=START_MS + 8 * 60_000, to_ms=START_MS + 12 * 60_000)
    opens = [e.bar.ts_ms for e in source.events() if e.bar is not None]
    assert opens == [START_MS + i * 60_000 for i in range(8, 12)]
    assert source.history("BTC/USDT", 5).ts_ms.tolist() == [
        START_MS + i * 60_000 for i in range(3, 8)
    ]
    assert len(source.history("BTC/USDT", 100)) == 8
    assert len(source.columns("BTC/USDT")) == 12
    assert source.first_row("BTC/USDT") == 8


def test_synthetic_book_and_flow_come_with_the_bar_when_asked(tmp_path: Path) -> None:
    """D-25: the practice exchange shows the same book after the same bar."""
    history = load_history([saved(tmp_path, frame())])
    instrument = history.instruments["BTC/USDT"]
    for event in HistorySource(history, book_seed=7).events():
        assert event.bar is not None
        assert event.book == synthetic_book(7, instrument, event.bar, event.ts_ms)
        assert event.flow == synthetic_flow(7, instrument, event.bar)


def test_files_of_one_symbol_are_joined_and_overlaps_refused(tmp_path: Path) -> None:
    first = saved(tmp_path, frame(10), NAME)
    second = saved(tmp_path, frame(10, first=10), NAME.replace("test", "later"))
    assert len(load_history([second, first]).bars["BTC/USDT"]) == 20
    overlap = saved(tmp_path, frame(10, first=9), NAME.replace("test", "overlap"))
    with pytest.raises(DataError, match="allowed: after"):
        load_history([first, overlap])


def test_different_bar_lengths_are_refused(tmp_path: Path) -> None:
    hours = frame().with_columns((pl.col("timestamp") // 3_600_000 * 3_600_000).alias("timestamp"))
    paths = [
        saved(tmp_path, frame()),
        saved(tmp_path, hours[:1], "binance_spot_ETHUSDT_1h_x.parquet"),
    ]
    with pytest.raises(DataError, match="bar length was 3600000 ms, allowed: 60000 ms"):
        load_history(paths)


def test_tick_is_fine_enough_for_every_price_of_a_file() -> None:
    columns = synthetic_bars(5, "XRP/USDT", START_MS, 60_000, 50)
    fine = BarColumns(
        columns.ts_ms,
        columns.open + 0.00001,
        columns.high,
        columns.low,
        columns.close,
        columns.volume,
        60_000,
    )
    assert str(instrument_for("XRP/USDT", columns).tick_size) == "0.0001"
    assert instrument_for("XRP/USDT", fine).tick_size <= instrument_for("XRP/USDT").tick_size / 10


def test_instants_are_utc_unless_they_say_otherwise() -> None:
    assert parse_instant("2024-01-01", "--from") == 1_704_067_200_000
    assert parse_instant("2024-01-01T01:00+01:00", "--from") == 1_704_067_200_000
    with pytest.raises(DataError, match="--from was 'soon', allowed: ISO 8601"):
        parse_instant("soon", "--from")


def market_data() -> Path:
    named = os.environ.get("TRADEPLATFORM_MARKET_DATA", "")
    folder = Path(named) if named else Path(__file__).parents[4] / "shared" / "market"
    if not folder.is_dir():
        pytest.skip(f"no market data at {folder}; set TRADEPLATFORM_MARKET_DATA")
    return folder / "ohlcv"


def test_every_real_candle_file_is_read_and_its_prices_are_on_its_tick() -> None:
    files = sorted(market_data().glob("*.parquet"))
    assert files
    for path in files:
        history = load_history([path])
        (symbol,) = history.bars
        tick = history.instruments[symbol].tick_size
        steps = history.bars[symbol].close / float(tick)
        assert np.allclose(steps, np.rint(steps), atol=1e-3), path.name
