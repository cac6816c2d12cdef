"""A run traded over bars in memory into the real rows: journal, paper broker, gatekeeper, lease."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from django.utils import timezone

from engine.account import Account
from engine.announce import SilentAnnouncer
from engine.client_ids import RunIdentity
from engine.executors import SerialExecutor
from engine.ledger import Ledger
from engine.phases.pipeline import Pipeline
from engine.phases.recorder import FullRecorder
from engine.ports import OptimizationPolicy
from engine.quality import bar_at
from engine.requests import RequestDesk
from engine.session import TradingSession
from engine.trading_book import TradingBook
from engine.types.bars import BarColumns, Book, EventKind, Instrument, MarketEvent, TradeFlow
from engine.window import RollingWindow, with_references
from market.models import Instrument as InstrumentRow
from market.services import candles_backfill
from market.sources.synthetic_path import synthetic_bars
from strategies.models import Strategy
from tests.bar_factory import cut
from tests.engine.phases.scene import Gate, book_at
from tradeplatform import bootstrap
from tradeplatform.configuration import Configuration
from tradeplatform.reporters import LogReporter
from trades.brokers.paper import StoredPaperBroker
from trades.instructions import StoredInstructions
from trades.journal import DatabaseJournal
from trades.lease import lease_acquire
from trades.models import TradingRun

START_MS = 1_700_000_000_000 // 60_000 * 60_000
WARM_UP_BARS = 400
VENUE = "paper-test"


def instrument(symbol: str, *, shortable: bool = False) -> Instrument:
    base, quote = symbol.split("/")
    money = {
        "tick_size": Decimal("0.01"),
        "lot_size": Decimal("0.00001"),
        "min_notional_quote": Decimal(5),
        "min_quantity_base": Decimal("0.00001"),
        "maker_fee_fraction": Decimal("0.001"),
        "taker_fee_fraction": Decimal("0.001"),
    }
    InstrumentRow.objects.get_or_create(
        venue=VENUE,
        symbol=symbol,
        defaults={
            **money,
            "base": base,
            "quote": quote,
            "is_shortable": shortable,
            "is_simulated": True,
            "updated_at": timezone.now(),
        },
    )
    return Instrument(symbol=symbol, base=base, quote=quote, shortable=shortable, **money)


def make_run(config: Configuration, symbols: list[str]) -> TradingRun:
    return TradingRun.objects.create(
        code=uuid.uuid4(),
        mode="paper",
        venue=VENUE,
        account=uuid.uuid4().hex[:8],
        symbols=symbols,
        timeframe_ms=60_000,
        quote="USDT",
        starting_cash_quote=Decimal(10_000),
        config=config.as_json(),
        config_digest=config.digest(),
        code_version="test",
        started_at=timezone.now(),
    )


class StoredRun:
    """A session over rows; ``trade`` feeds it the next bars of every symbol, in turn.

    ``buyers`` is the share of takers who buy, and of the book that bids, by row.
    """

    def __init__(
        self,
        bars: Mapping[str, BarColumns],
        *,
        config: Configuration | None = None,
        gate: Any = None,
        shortable: bool = False,
        warm_up_bars: int = WARM_UP_BARS,
        has_reference: bool = True,
        policy: OptimizationPolicy | None = None,
        buyers: Callable[[int], float] | None = None,
    ) -> None:
        config = config or Configuration()
        for code in ("ensemble", *bootstrap.enabled_strategies(config)):
            now = timezone.now()
            Strategy.objects.get_or_create(
                code=code, defaults={"name": code, "status_changed_at": now, "created_at": now}
            )
        self.bars = dict(bars)
        self.row = warm_up_bars
        self.gate = gate or Gate()
        self.buyers = buyers
        self.run = make_run(config, list(bars))
        traded = {symbol: instrument(symbol, shortable=shortable) for symbol in bars}
        history = {symbol: cut(columns, 0, warm_up_bars) for symbol, columns in bars.items()}
        for symbol, columns in history.items():
            candles_backfill(venue=VENUE, symbol=symbol, bars=columns, limit=warm_up_bars)
        pipeline, asked = bootstrap.build_pipeline(
            config,
            Pipeline,
            executor=SerialExecutor,
            recorder=FullRecorder(time.monotonic),
            monotonic=time.monotonic,
            reporter=LogReporter(),
            policy=None if policy is None else lambda _: policy,
        )
        windows = {symbol: RollingWindow(columns, 2_500) for symbol, columns in history.items()}
        if has_reference:
            with_references(windows)
        for window in windows.values():
            pipeline.warm_up(window.store())
        # not before the kernels are compiled: a slow machine must not lose the lease over it
        fence = lease_acquire(run=self.run, holder="test", code_version="test")
        assert fence is not None
        self.fence = fence
        rows = {s: InstrumentRow.objects.get(venue=VENUE, symbol=s) for s in bars}
        self.pipeline = pipeline
        self.instruments = traded
        self.journal = journal = DatabaseJournal(self.run, fence, rows)
        ledger = Ledger(
            "USDT", {"USDT": Decimal(10_000)}, shortable=list(bars) if shortable else []
        )
        identity = RunIdentity(
            "0a1b2c", self.run.account, str(self.run.code), self.run.timeframe_ms
        )
        self.book = book = TradingBook(
            identity=identity,
            account=Account(ledger),
            limits=bootstrap.risk_limits(config),
            broker=StoredPaperBroker(self.run, fence, traded),
            journal=journal,
            gatekeeper=self.gate,
            policy=asked,
        )
        self.session = TradingSession(
            timeframe_ms=self.run.timeframe_ms,
            instruments=traded,
            windows=windows,
            pipeline=pipeline,
            book=book,
            journal=journal,
            announcer=SilentAnnouncer(),
            requests=RequestDesk(
                identity, traded, StoredInstructions(self.run), self.gate, journal
            ),
        )

    def trade(self, n_bars: int) -> StoredRun:
        for _ in range(n_bars):
            # as the loop does: a slow machine must not lose the lease on the way
            self.fence.renew()
            for symbol in self.bars:
                self.session.on_event(self.event(symbol))
            self.row += 1
        return self

    def event(self, symbol: str) -> MarketEvent:
        bars = self.bars[symbol]
        bar = bar_at(bars, self.row)
        close_ms = bar.ts_ms + bars.timeframe_ms
        levels = book_at(bar.close)
        share = 0.6 if self.buyers is None else self.buyers(self.row)
        bids = levels.bids
        if self.buyers is not None:
            bids = tuple((price, size * share / (1.0 - share)) for price, size in bids)
        book = Book(close_ms, bids, levels.asks)
        flow = TradeFlow(bar.volume * share, bar.volume * (1.0 - share), 12)
        return MarketEvent(EventKind.BAR, symbol, close_ms, close_ms + 250, bar, book, flow)


def market(*symbols: str, n_bars: int = 700, seed: int = 11) -> dict[str, BarColumns]:
    """Seeded bars of each symbol."""
    return {s: synthetic_bars(seed, s, START_MS, 60_000, n_bars) for s in symbols}
