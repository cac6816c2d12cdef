"""Stretches of quiet bars leave behind what bars walked one by one leave."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.types.bars import BarColumns, Instrument
from market.sources.history import History, HistorySource
from market.sources.instruments import instrument_for
from research.core.traced_journal import ReportJournal
from tests.bar_factory import MINUTE_MS, random_walk, real_bars
from tradeplatform import bootstrap
from tradeplatform.configuration import Configuration, Risk, Trading
from tradeplatform.layer import replay_layer
from tradeplatform.replay_run import Replay
from tradeplatform.reporters import LogReporter

SYMBOL = "BTC/USDT"
WARM_UP_BARS, TRADED_BARS = 400, 320
# a day of UTC begins among the traded bars
START_MS = 86_400_000 * 19_676 - (WARM_UP_BARS + 150) * MINUTE_MS
RULES = ("ema-trend", "breakout", "range-reversion")
# 29 were seen, of flat and held bars in stretches of three; a quiet bar walked alone makes 96
MOST_CALLS_A_BAR_TAKEN = 40


def wired(
    bars: BarColumns, instrument: Instrument, config: Configuration, **changes: Any
) -> Replay:
    history = History({SYMBOL: bars}, {SYMBOL: instrument}, bars.timeframe_ms)
    from_ms = int(bars.ts_ms[WARM_UP_BARS])
    return bootstrap.replay(
        config,
        HistorySource(history, from_ms=from_ms),
        cash_quote=Decimal(10_000),
        reporter=LogReporter(),
        journal_kind=ReportJournal,
        **changes,
    )


def left(wiring: Replay) -> dict[str, Any]:
    """Everything that later bars, the result or the report could tell apart."""
    journal: Any = wiring.journal
    return {
        "session": wiring.session.state(),
        "ledger": wiring.strides.book.account.ledger.state() if wiring.strides else None,
        "counts": asdict(journal.counts),
        "digest": journal._digest.hexdigest(),
        "waiting": list(journal._waiting_fills),
        "statistics": journal.equity.statistics(),
        "last": journal.last_equity,
        "equity": (journal.equity_ms.tobytes(), journal.equity_quote.tobytes()),
        "quiet": (journal.quiet, journal.refused),
        "interventions": wiring.operator.interventions,
        "fallbacks": wiring.pipeline._fail_safe.fallbacks,
    }


def same_both_ways(one: Replay, strided: Replay) -> Counter[str]:
    """Walk the same bars both ways, compare after every stretch, and count what was taken."""
    strides, events = strided.strides, iter(one.source.events())
    assert strides is not None
    taken: Counter[str] = Counter()
    done = 0
    for number in strided._numbers(len(strided.source)):
        for _ in range(number - done):
            one.step(next(events))
        if number - done > 1 or number % 20 == 0:
            assert left(one) == left(strided)
        held = not strides.book.account.ledger.is_flat
        taken["held" if held else "flat"] += number - done - 1
        taken["longest"] = max(taken["longest"], number - done)
        done = number
    assert left(one) == left(strided)
    assert next(events, None) is None
    assert done == len(strided.source)
    return taken


def market(seed: int, sigma: float, gap_bars: int) -> BarColumns:
    """A walk over midnight in which some minutes are missing."""
    n_bars = WARM_UP_BARS + TRADED_BARS
    bars = random_walk(seed, n_bars + gap_bars, sigma=sigma)
    there = np.ones(n_bars + gap_bars, dtype=np.bool_)
    there[WARM_UP_BARS + 100 : WARM_UP_BARS + 100 + gap_bars] = False
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    return BarColumns(bars.ts_ms[there] + START_MS, *(c[there] for c in columns), MINUTE_MS)


def configured(strategies: tuple[str, ...], trading: Trading, risk: Risk) -> Configuration:
    config = msgspec.structs.replace(Configuration(), trading=trading, risk=risk)
    return bootstrap.with_predictors(bootstrap.with_strategies(config, strategies), ())


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 1_000),
    sigma=st.sampled_from([0.001, 0.003]),
    gap_bars=st.sampled_from([0, 1, 13, 700]),
    strategies=st.sampled_from([("ema-trend",), RULES, (*RULES, "ensemble")]),
    fee=st.sampled_from(["0", "0.001"]),
    shortable=st.booleans(),
    trading=st.sampled_from(
        [
            Trading(),
            Trading(resting_stops=False),
            Trading(protection="stop_limit", stop_limit_offset_bps=1.0),
            Trading(protection="take_profit"),
            Trading(entry_order="limit", limit_offset_bps=5.0),
            Trading(horizon_bars=7),
        ]
    ),
    max_day_loss=st.sampled_from([0.0005, 0.03]),
)
def test_a_stretch_of_quiet_bars_leaves_what_bars_walked_one_by_one_leave(
    seed: int,
    sigma: float,
    gap_bars: int,
    strategies: tuple[str, ...],
    fee: str,
    shortable: bool,
    trading: Trading,
    max_day_loss: float,
) -> None:
    """I-26, D-25: state, ledger, journal, statistics and digest, after every stretch."""
    bars = market(seed, sigma, gap_bars)
    instrument = replace(
        instrument_for(SYMBOL, bars),
        taker_fee_fraction=Decimal(fee),
        maker_fee_fraction=Decimal(fee),
        shortable=shortable,
    )
    config = configured(strategies, trading, Risk(max_day_loss=max_day_loss))
    one, strided = (wired(bars, instrument, config) for _ in range(2))
    taken = same_both_ways(one, strided)
    assert taken["flat"] + taken["held"] > 0


def test_stretches_are_taken_flat_and_held_over_real_minutes(market_data: Path) -> None:
    """I-26, D-25: BTC, three rules that trade often."""
    bars = real_bars("binance_spot_BTCUSDT_1m_2021-09.parquet", 60_000, 1_500)
    risk = Risk(max_entries_per_day=50, max_entries_per_15m=5, loss_streak=50)
    config = configured(RULES, Trading(), risk)
    one, strided = (wired(bars, instrument_for(SYMBOL, bars), config) for _ in range(2))
    taken = same_both_ways(one, strided)
    assert min(taken["flat"], taken["held"]) > 100, taken
    assert strided.journal.counts.trades > 5


def test_a_bar_of_a_stretch_costs_a_fraction_of_one_that_is_walked() -> None:
    """I-26: counted, not timed: calls of Python functions a bar of short stretches."""
    bars = market(3, 0.001, 0)
    wiring = wired(
        bars, instrument_for(SYMBOL, bars), configured(("ema-trend",), Trading(), Risk())
    )
    strides, calls, taken = wiring.strides, 0, 0
    assert strides is not None

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    events = wiring.source.symbol_events(SYMBOL)
    for number, event in enumerate(events):
        wiring.step(event)
        # the first bars compile, and compute the columns of all
        if number > 20:
            sys.setprofile(count)
        n_bars = strides.take(len(bars))
        sys.setprofile(None)
        events.skip(n_bars)
        taken += n_bars if number > 20 else 0
    assert taken > TRADED_BARS / 4
    assert calls / taken < MOST_CALLS_A_BAR_TAKEN


def test_who_listens_hears_every_so_many_bars() -> None:
    """A stretch ends where somebody may stop the replay."""
    bars = market(3, 0.001, 0)
    wiring = wired(
        bars, instrument_for(SYMBOL, bars), configured(("ema-trend",), Trading(), Risk())
    )
    heard: list[int] = []
    wiring.run(7, heard.append)
    assert heard == list(range(7, TRADED_BARS + 1, 7))
    assert wiring.journal.counts.bars == TRADED_BARS


def test_only_bars_of_one_symbol_without_books_are_taken_together() -> None:
    """I-26: a second symbol, a book or a layer may answer on a bar on which the first is quiet."""
    bars = market(3, 0.001, 0)
    config = configured(("ema-trend",), Trading(), Risk())

    def strides(symbols: tuple[str, ...], **changes: Any) -> object:
        history = History(
            dict.fromkeys(symbols, bars),
            {symbol: instrument_for(symbol, bars) for symbol in symbols},
            MINUTE_MS,
        )
        source = HistorySource(history, book_seed=changes.pop("book_seed", None))
        return bootstrap.replay(
            config, source, cash_quote=Decimal(1_000), reporter=LogReporter(), **changes
        ).strides

    assert strides((SYMBOL,)) is not None
    assert strides((SYMBOL, "ETH/USDT")) is None
    assert strides((SYMBOL,), book_seed=1) is None
    assert strides((SYMBOL,), layer=replay_layer) is None
