"""Polling a real practice exchange: each closed bar once, in order, as a replay gives it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ccxt
import numpy as np
import pytest

from engine.quality import validate_event
from engine.types.bars import MarketEvent
from market.errors import DataError, SourceUnavailable, SymbolRefused
from market.sources.ccxt_poll import CcxtPollSource, flow_of_trades
from market.sources.history import History, HistorySource, load_history
from market.sources.instruments import instrument_for
from market.sources.synthetic import synthetic_bars
from tests.practice_process import PracticeProcess, practice_process

SYMBOLS = ("BTC/USDT", "ETH/USDT")
START_MS = 1_704_067_200_000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PracticeProcess]:
    with practice_process(tmp_path_factory.mktemp("poll")) as process:
        yield process


@pytest.fixture
def practice(running: PracticeProcess) -> Iterator[PracticeProcess]:
    yield running
    running.clear_faults()


def polled(process: PracticeProcess, **options: Any) -> CcxtPollSource:
    source = CcxtPollSource(process.client(), SYMBOLS, "1m", **options)
    source.instruments()
    return source


def keys(events: Any) -> list[tuple[int, str]]:
    return [(event.ts_ms, event.symbol) for event in events]


def test_events_equal_those_of_a_replay_bar_book_and_flow(practice: PracticeProcess) -> None:
    """I-26, D-25: what went over the wire is what replay generates, to the last bit."""
    source = polled(practice)
    list(source.events())
    seen: list[MarketEvent] = []
    first_ms = practice.status()["close_ms"]
    for _ in range(20):
        practice.step()
        seen += source.events()
    count = practice.status()["bars"]["BTC/USDT"]
    bars = {s: synthetic_bars(1, s, START_MS, 60_000, count) for s in SYMBOLS}
    history = History(bars, {s: instrument_for(s) for s in SYMBOLS}, 60_000)
    assert seen == list(HistorySource(history, from_ms=first_ms, book_seed=1).events())
    assert len(seen) == 40


def test_instruments_equal_those_of_a_replay(practice: PracticeProcess, tmp_path: Path) -> None:
    """Parity of filters and fees: both sides quantise alike, for odd ticks too."""
    assert polled(practice).instruments() == {s: instrument_for(s) for s in SYMBOLS}
    lines = ["timestamp,open,high,low,close,volume"]
    for i in range(20):
        lines.append(f"{START_MS + i * 60_000},0.0004567,0.0004571,0.0004561,0.000457,5.5")
    path = tmp_path / "binance_spot_ATOMBTC_1m.csv"
    path.write_text("\n".join(lines))
    with practice_process(tmp_path / "s", "--data", str(path)) as process:
        source = CcxtPollSource(process.client(), ["ATOM/BTC"], "1m")
        assert source.instruments() == load_history([path]).instruments


def test_nothing_is_emitted_before_its_bar_has_closed(practice: PracticeProcess) -> None:
    """F-066."""
    source = polled(practice)
    assert list(source.events()) == []
    assert list(source.events()) == []
    practice.step()
    events = list(source.events())
    assert keys(events) == [(practice.status()["close_ms"], symbol) for symbol in SYMBOLS]
    assert list(source.events()) == []
    assert all(validate_event(event, None, 60_000) is None for event in events)


def test_missed_bars_come_in_order_and_only_the_newest_has_a_book(
    practice: PracticeProcess,
) -> None:
    source = polled(practice)
    list(source.events())
    practice.step(1500)
    events = list(source.events())
    assert len(events) == 3000
    assert keys(events) == sorted(keys(events))
    assert [event.book is not None for event in events] == [False] * 2998 + [True] * 2
    assert [event.flow is not None for event in events] == [False] * 2998 + [True] * 2


def test_a_new_source_goes_on_after_the_last_bar_handled(practice: PracticeProcess) -> None:
    source = polled(practice)
    list(source.events())
    practice.step(3)
    stream = source.events()
    handled = [next(stream), next(stream)]
    stream.close()  # type: ignore[attr-defined]
    again = polled(practice, last_close_ms=source.last_close_ms())
    rest = list(again.events())
    assert len(handled) + len(rest) == 6
    assert not set(keys(handled)) & set(keys(rest))


def test_history_is_closed_and_meets_the_first_event(practice: PracticeProcess) -> None:
    source = polled(practice)
    bars = source.history("BTC/USDT", 2500)
    assert len(bars) == 2500
    assert np.all(np.diff(bars.ts_ms) == 60_000)
    assert bars.ts_ms[-1] + 60_000 == practice.status()["close_ms"]
    practice.step()
    first = next(event for event in source.events() if event.symbol == "BTC/USDT")
    assert first.bar is not None
    assert first.bar.ts_ms == bars.ts_ms[-1] + 60_000


def test_history_ends_where_the_venues_history_begins(practice: PracticeProcess) -> None:
    bars = polled(practice).history("BTC/USDT", 100_000)
    assert bars.ts_ms[0] == START_MS


def test_repeated_and_shuffled_candles_are_emitted_once(practice: PracticeProcess) -> None:
    """F-068."""
    source = polled(practice)
    list(source.events())
    practice.step(4)
    practice.fault("klines", "dup_bars")
    events = list(source.events())
    assert len(keys(events)) == len(set(keys(events))) == 8


def test_bad_candle_reaches_the_gate_which_refuses_it(practice: PracticeProcess) -> None:
    """F-069."""
    source = polled(practice)
    list(source.events())
    practice.step()
    practice.fault("klines", "bad_bar", times=1, field="low", value="NaN")
    events = list(source.events())
    reasons = [validate_event(event, None, 60_000) for event in events]
    assert [reason is None for reason in reasons] == [False, True]


@pytest.mark.parametrize("verb", ["5xx", "429", "418", "drop", "html", "truncate", "empty"])
@pytest.mark.parametrize("op", ["time", "klines", "depth"])
def test_unavailable_venue_is_said_with_its_reason_and_loses_nothing(
    practice: PracticeProcess, op: str, verb: str
) -> None:
    """F-048, F-049, F-051."""
    source = polled(practice)
    list(source.events())
    practice.step()
    practice.fault(op, verb, nth=1)
    with pytest.raises(SourceUnavailable, match=r"."):
        list(source.events())
    practice.clear_faults()
    assert len(list(source.events())) == 2


def test_symbol_that_the_venue_refuses_takes_no_other_one_with_it(
    practice: PracticeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-055: delisted while we run: the others are answered first, then it is said."""
    source = polled(practice)
    list(source.events())
    practice.step()
    true = source._client.fetch_ohlcv

    def delisted(symbol: str, *rest: Any) -> Any:
        if symbol == "BTC/USDT":
            raise ccxt.BadSymbol('binance {"code":-1121,"msg":"Invalid symbol."}')
        return true(symbol, *rest)

    monkeypatch.setattr(source._client, "fetch_ohlcv", delisted)
    seen = []
    with pytest.raises(SymbolRefused, match="BTC/USDT -1121"):
        for event in source.events():
            seen.append(event)
    assert [event.symbol for event in seen] == ["ETH/USDT"]


def test_unlisted_symbol_is_bad_data(practice: PracticeProcess) -> None:
    with pytest.raises(DataError, match="symbol was 'NOPE/USDT'"):
        CcxtPollSource(practice.client(), ["NOPE/USDT"], "1m").instruments()


def test_a_bar_and_its_flow_are_read_in_one_request(
    practice: PracticeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ORC-75: a closed bar costs its candles and its book; one look asks for the time once."""
    source = polled(practice)
    list(source.events())
    practice.step()
    asked: list[str] = []
    fetch = source._client.fetch

    def counted(url: str, *rest: Any) -> Any:
        asked.append(url.split("?")[0].rpartition("/")[2])
        return fetch(url, *rest)

    monkeypatch.setattr(source._client, "fetch", counted)
    assert all(event.flow is not None for event in source.events())
    assert asked == ["time", "klines", "depth", "klines", "depth"]


def test_what_must_happen_between_two_symbols_happens_and_may_end_the_poll(
    practice: PracticeProcess,
) -> None:
    """F-011: a lease that was lost while a slow venue answered ends the poll before its events."""
    seen: list[str] = []

    class Lost(Exception):
        pass

    def between() -> None:
        seen.append("asked")
        if len(seen) == 4:
            raise Lost

    source = polled(practice, between_symbols=between)
    list(source.events())
    assert len(seen) == 2
    practice.step()
    with pytest.raises(Lost):
        list(source.events())
    assert len(list(source.events())) == 2


def test_flow_can_be_summed_from_trades_where_candles_do_not_tell_it(
    practice: PracticeProcess,
) -> None:
    """Other venues: the same numbers by another road."""
    client = practice.client()
    source = polled(practice)
    list(source.events())
    practice.step()
    event = next(iter(source.events()))
    assert event.bar is not None and event.flow is not None
    flow = flow_of_trades(client, event.symbol, event.bar, event.ts_ms)
    assert flow is not None
    assert flow.trade_count == event.flow.trade_count
    assert flow.buy_volume_base == pytest.approx(event.flow.buy_volume_base)


def test_bars_absent_from_the_venue_are_paged_around(tmp_path: Path) -> None:
    """F-067: 30 bars asked, 10 missing in between: still 30 bars."""
    lines = ["timestamp,open,high,low,close,volume"]
    for i in [*range(40), *range(50, 70)]:
        lines.append(f"{START_MS + i * 60_000},100,101,99,100,5")
    path = tmp_path / "binance_spot_SOLUSDT_1m_gap.csv"
    path.write_text("\n".join(lines))
    with practice_process(tmp_path / "s", "--data", str(path), "--warmup-bars", "55") as process:
        source = CcxtPollSource(process.client(), ["SOL/USDT"], "1m")
        bars = source.history("SOL/USDT", 30)
        assert len(bars) == 30
        assert int(np.max(np.diff(bars.ts_ms))) == 11 * 60_000
