"""Sessions over bars in memory, with a journal that remembers and a broker on paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from engine.account import Account
from engine.announce import SilentAnnouncer
from engine.client_ids import RunIdentity
from engine.digest import decision_line, fill_line
from engine.ledger import Ledger
from engine.limits import RiskLimits
from engine.paper import PaperBroker
from engine.phases.pipeline import Pipeline
from engine.policy import BasePolicy
from engine.quality import bar_at
from engine.session import TradingSession
from engine.trading_book import TradingBook
from engine.types.bars import BarColumns, Book, EventKind, Instrument, MarketEvent
from engine.types.decisions import Analysis, Decision, JsonValue
from engine.types.ledger import EquityPoint, Lot, Trade
from engine.types.orders import Fill, OrderIntent
from engine.window import HistoryWindow
from tests.engine.books import BTC, D, instrument
from tests.engine.phases.scene import Gate

# Rules of tests propose on every bar: few of them are about how often one may enter (CTL-7).
MANY_ENTRIES = RiskLimits(max_entries_per_15m=1_000, max_entries_per_day=1_000)


@dataclass
class Recording:
    """A journal whose rows are lists; ``log`` is the order in which they were written."""

    log: list[str] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    intents: list[OrderIntent] = field(default_factory=list)
    fills: list[tuple[Fill, OrderIntent]] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    analyses: list[Analysis] = field(default_factory=list)
    points: list[EquityPoint] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    side_trades: list[tuple[str, Trade]] = field(default_factory=list)
    side_points: list[tuple[str, EquityPoint]] = field(default_factory=list)
    bars: int = 0
    fails_at: str = ""

    @contextmanager
    def event(self, event: MarketEvent) -> Iterator[None]:
        self._write("begin")
        yield
        self._write("commit")

    def record_rejected_event(self, event: MarketEvent, reason: str) -> None:
        self._write("rejected")
        self.rejected.append(reason)

    def record_fill(self, fill: Fill, intent: OrderIntent) -> None:
        self._write("fill")
        self.fills.append((fill, intent))

    def record_lots(self, opened: Sequence[Lot], changed: Sequence[Lot]) -> None:
        self._write("lots")

    def record_trade(self, trade: Trade) -> None:
        self._write("trade")
        self.trades.append(trade)

    def record_bar(self, event: MarketEvent) -> None:
        self._write("bar")
        self.bars += 1

    def record_analysis(self, analysis: Analysis, learning: Any) -> None:
        self._write("analysis")
        self.analyses.append(analysis)

    def record_decision(self, decision: Decision) -> None:
        self._write("decision")
        self.decisions.append(decision)

    def record_intent(self, intent: OrderIntent) -> None:
        self._write("intent")
        self.intents.append(intent)

    def record_learning(self, settled: Any, triggers: Any, trials: Any) -> None:
        self._write("learning")

    def record_credit(self, credit: Any) -> None:
        self._write("credit")

    def record_side_trade(self, book: str, trade: Trade) -> None:
        self._write("side trade")
        self.side_trades.append((book, trade))

    def record_side_equity(self, book: str, point: EquityPoint) -> None:
        self._write("side equity")
        self.side_points.append((book, point))

    def record_equity(self, point: EquityPoint, event: MarketEvent) -> None:
        self._write("equity")
        self.points.append(point)

    def record_state(
        self, state: Callable[[], Mapping[str, JsonValue]], event: MarketEvent
    ) -> None:
        self._write("state")

    def _write(self, what: str) -> None:
        if what == self.fails_at:
            raise OSError(f"disk full at {what}")
        self.log.append(what)

    def lines(self) -> list[str]:
        """Decisions, fills and trades in canonical spelling, in the order they came."""
        decided = [
            decision_line(
                symbol=d.symbol,
                bar_close_ms=d.bar_close_ms,
                strategy=d.strategy,
                action=d.action.value,
                quantity_base=d.quantity_base,
                reason_code=d.reason_code,
                confidence=d.confidence,
            )
            for d in self.decisions
        ]
        filled = [
            fill_line(
                symbol=f.symbol,
                ts_ms=f.ts_ms,
                strategy=i.strategy,
                side=f.side.value,
                price=f.price,
                quantity_base=f.quantity_base,
                fee=f.fee,
                fee_asset=f.fee_asset,
            )
            for f, i in self.fills
        ]
        closed = [
            f"T|{t.trade_id}|{t.entry_regime}|{t.exit_regime}|{t.pnl_quote}" for t in self.trades
        ]
        return [*decided, *filled, *closed]


@dataclass
class Scene:
    """A session with what it is plugged into."""

    session: TradingSession
    journal: Recording
    gate: Any
    broker: Any
    account: Account
    phases: Pipeline


def scene(
    bars: BarColumns,
    phases: Pipeline,
    *,
    first_row: int = 0,
    of: Instrument | None = None,
    cash: str = "10000",
    **changes: Any,
) -> Scene:
    traded = of or instrument()
    fields: dict[str, Any] = {
        "account": Account(
            Ledger("USDT", {"USDT": D(cash)}, shortable=[BTC] if traded.shortable else [])
        ),
        "limits": MANY_ENTRIES,
        "broker": PaperBroker({BTC: traded}),
        "journal": Recording(),
        "gatekeeper": Gate(),
        "policy": BasePolicy(),
        **{name: value for name, value in changes.items() if name in _OF_THE_BOOK},
    }
    identity = RunIdentity("0a1b2c", "main", "run", bars.timeframe_ms)
    of_session: dict[str, Any] = {
        "instruments": {BTC: traded},
        "windows": {BTC: HistoryWindow(bars, first_row)},
        "announcer": SilentAnnouncer(),
        **{name: value for name, value in changes.items() if name not in _OF_THE_BOOK},
    }
    session = TradingSession(
        timeframe_ms=bars.timeframe_ms,
        pipeline=phases,
        book=TradingBook(identity=identity, **fields),
        journal=fields["journal"],
        **of_session,
    )
    parts = (fields[name] for name in ("journal", "gatekeeper", "broker", "account"))
    return Scene(session, *parts, phases)


_OF_THE_BOOK = {
    "account",
    "limits",
    "broker",
    "journal",
    "gatekeeper",
    "policy",
    "protection",
    "instruments",
    "entries",
}


def event_at(
    bars: BarColumns, row: int, book: Callable[[float], Book | None] = lambda close: None
) -> MarketEvent:
    bar = bar_at(bars, row)
    close_ms = bar.ts_ms + bars.timeframe_ms
    given = book(bar.close)
    # a book without a time of its own is the one at the bar's close
    if given is not None and given.ts_ms == 0:
        given = replace(given, ts_ms=close_ms)
    return MarketEvent(EventKind.BAR, BTC, close_ms, close_ms, bar, given)


def play(
    scene: Scene,
    bars: BarColumns,
    rows: range,
    book: Callable[[float], Book | None] = lambda close: None,
) -> None:
    for row in rows:
        scene.session.on_event(event_at(bars, row, book))
