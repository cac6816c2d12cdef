"""Compiling every kernel that a running platform uses, by using it: a small market, played once.

numba compiles a function for the types it is called with, so only the real calls compile what the
workers will ask for: a session as it trades, and a training of every family. Nothing is stored,
and no database is asked; what remains is numba's cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from decimal import Decimal

from engine.account import Account
from engine.announce import SilentAnnouncer
from engine.client_ids import RunIdentity
from engine.executors import SerialExecutor
from engine.ledger import Ledger
from engine.matching import FeeIn
from engine.paper import PaperBroker
from engine.phases.pipeline import Pipeline
from engine.phases.recorder import FullRecorder
from engine.ports import StrategyStatus
from engine.seats import Seated
from engine.session import TradingSession
from engine.simulated_operator import SimulatedOperator
from engine.trading_book import TradingBook
from engine.types.bars import BarColumns, ColumnStore
from engine.types.learned import Seat
from engine.window import RollingWindow, with_references
from market.sources.history import History, HistorySource
from market.sources.instruments import instrument_for
from market.sources.synthetic_path import synthetic_bars
from research.core.journal import MemoryJournal
from strategies.core.candidates import thinned, train_candidate
from strategies.core.training.dataset import dataset_of
from strategies.core.training.train import FAMILIES
from tradeplatform import bootstrap
from tradeplatform.configuration import STRATEGY_CODES, Configuration
from tradeplatform.reporters import LogReporter

SYMBOLS = ("BTC/USDT", "ETH/USDT")
TIMEFRAME_MS = 60_000
START_MS = 1_700_000_040_000
SEED = 1
# enough for 500 labelled rows of two symbols after the longest warm-up of a feature
HISTORY_BARS = 3_000
TRADED_BARS = 40
# a model's size is no part of its types: one round compiles what a thousand would
ROUNDS = {"rounds": 2.0}


def warm_up(progress: Callable[[str], None] = lambda _: None) -> None:
    """Compile into numba's cache what trading and training call; hears of each part as it ends."""
    began_s = time.monotonic()

    def tell(what: str) -> None:
        progress(f"{what}, {time.monotonic() - began_s:.1f} s")

    markets = {
        symbol: synthetic_bars(SEED, symbol, START_MS, TIMEFRAME_MS, HISTORY_BARS + TRADED_BARS)
        for symbol in SYMBOLS
    }
    config = Configuration()
    seats = trained_seats(markets, config.trading.horizon_bars)
    tell(f"{len(seats)} families of models")
    session, source = trading_session(config, markets, seats)
    for event in source.events():
        session.on_event(event)
    tell("a trading session")


def trained_seats(markets: Mapping[str, BarColumns], horizon_bars: int) -> tuple[Seated, ...]:
    """Return a trained model of every family, tried beside those that vote."""
    stores = {symbol: ColumnStore(bars) for symbol, bars in markets.items()}
    data = thinned(dataset_of(stores, horizon_bars))
    models = (train_candidate(name, data, seed=SEED, parameters=ROUNDS) for name in FAMILIES)
    return tuple(
        Seated(trained.source, Seat.CHALLENGER, trained.model.digest()[:12]) for trained in models
    )


def trading_session(
    config: Configuration, markets: Mapping[str, BarColumns], tried: tuple[Seated, ...]
) -> tuple[TradingSession, HistorySource]:
    """Return a session over rolling windows, as stored runs have it, and the bars it is due."""
    instruments = {symbol: instrument_for(symbol, bars) for symbol, bars in markets.items()}
    source = HistorySource(
        History(markets, instruments, TIMEFRAME_MS),
        from_ms=START_MS + HISTORY_BARS * TIMEFRAME_MS,
        book_seed=SEED,
    )
    windows = with_references(
        {s: RollingWindow(source.history(s, HISTORY_BARS), HISTORY_BARS) for s in instruments}
    )
    pipeline, policy = bootstrap.build_pipeline(
        config,
        Pipeline,
        executor=SerialExecutor,
        recorder=FullRecorder(time.monotonic),
        monotonic=time.monotonic,
        reporter=LogReporter(),
        seats=(*bootstrap.untrained_seats(config), *tried),
    )
    for window in windows.values():
        pipeline.warm_up(window.store())
    limits = bootstrap.risk_limits(config)
    journal = MemoryJournal(list(instruments), limits)
    quote = next(iter(instruments.values())).quote
    book = TradingBook(
        identity=RunIdentity("000000", "warm-up", "warm-up", TIMEFRAME_MS),
        account=Account(Ledger(quote, {quote: Decimal(10_000)})),
        limits=limits,
        broker=PaperBroker(instruments, FeeIn.QUOTE, Decimal(0)),
        journal=journal,
        gatekeeper=SimulatedOperator(dict.fromkeys(STRATEGY_CODES, StrategyStatus.ACTIVE), 1),
        policy=policy,
    )
    session = TradingSession(
        timeframe_ms=TIMEFRAME_MS,
        instruments=instruments,
        windows=windows,
        pipeline=pipeline,
        book=book,
        journal=journal,
        announcer=SilentAnnouncer(),
    )
    return session, source
