"""What one live decision costs to compute: the live window, every source, no database, no wire."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from decimal import Decimal

from benchmarks.figures import Figure, Options, percentile
from benchmarks.replays import candle_file
from engine.account import Account
from engine.announce import SilentAnnouncer
from engine.executors import ThreadedExecutor
from engine.ledger import Ledger
from engine.limits import RiskLimits
from engine.matching import FeeIn
from engine.paper import PaperBroker
from engine.phases.recorder import FullRecorder
from engine.ports import StrategyStatus
from engine.session import TradingSession
from engine.simulated_operator import SimulatedOperator
from engine.trading_book import RunIdentity, TradingBook
from engine.types.bars import BarColumns
from engine.window import RollingWindow
from market.sources.history import HistorySource, load_history
from research.core.journal import MemoryJournal
from tradeplatform import bootstrap
from tradeplatform.configuration import STRATEGY_CODES, Configuration
from tradeplatform.reporters import LogReporter
from tradeplatform.running import PHASES_DEADLINE_S, WINDOW_BARS

# numba compiles and caches on the first events; they are no part of a decision's cost
WARM_UP_EVENTS = 50


def live_decision(options: Options) -> Sequence[Figure]:
    """One bar through ``TradingSession.on_event`` as the trading worker wires it."""
    n_events = 200 if options.quick else 2_000
    history = load_history([str(candle_file(options.folder, WINDOW_BARS + n_events + 100))])
    source = HistorySource(history, book_seed=1)
    events = [event for event in source.events() if event.bar is not None]
    symbol = events[0].symbol
    session = _session(source, symbol)
    elapsed_us: list[float] = []
    gc.collect()
    for number, event in enumerate(events[WINDOW_BARS:][: n_events + WARM_UP_EVENTS]):
        began = time.perf_counter_ns()
        session.on_event(event)
        if number >= WARM_UP_EVENTS:
            elapsed_us.append((time.perf_counter_ns() - began) / 1_000)
    detail = f"{len(elapsed_us):,} bars, window of {WINDOW_BARS:,}, rules and predictors"
    return [
        Figure(
            name=f"one live decision, {name}",
            value=round(percentile(elapsed_us, fraction) / 1_000, 3),
            unit="ms",
            target=target,
            ids=("ORC-77",) if fraction > 0.9 else (),
            detail=detail,
        )
        for name, fraction, target in (("p50", 0.5, 0.5), ("p95", 0.95, 2.0), ("p99", 0.99, 2.0))
    ]


def _session(source: HistorySource, symbol: str) -> TradingSession:
    config = Configuration()
    instruments = source.instruments
    limits = RiskLimits()
    reporter = LogReporter()
    window = RollingWindow(_first(source.columns(symbol), WINDOW_BARS), WINDOW_BARS)
    pipeline, policy = bootstrap.build_pipeline(
        config,
        executor=lambda fail_safe: ThreadedExecutor(PHASES_DEADLINE_S, time.monotonic, fail_safe),
        recorder=FullRecorder(time.monotonic),
        monotonic=time.monotonic,
        reporter=reporter,
    )
    pipeline.warm_up(window.store())
    quote = instruments[symbol].quote
    journal = MemoryJournal(list(instruments), limits)
    book = TradingBook(
        identity=RunIdentity("000000", "bench", "bench", source.timeframe_ms),
        account=Account(Ledger(quote, {quote: Decimal(10_000)}, shortable=[])),
        limits=limits,
        broker=PaperBroker(instruments, FeeIn.QUOTE, Decimal(0)),
        journal=journal,
        gatekeeper=SimulatedOperator(dict.fromkeys(STRATEGY_CODES, StrategyStatus.ACTIVE), 1),
        policy=policy,
    )
    return TradingSession(
        timeframe_ms=source.timeframe_ms,
        instruments=instruments,
        windows={symbol: window},
        pipeline=pipeline,
        book=book,
        journal=journal,
        announcer=SilentAnnouncer(),
    )


def _first(columns: BarColumns, n_bars: int) -> BarColumns:
    cut = {
        name: getattr(columns, name)[:n_bars]
        for name in ("ts_ms", "open", "high", "low", "close", "volume")
    }
    return BarColumns(**cut, timeframe_ms=columns.timeframe_ms)
