"""One session: the walk of an event from the source to the order, the same in every wiring.

Order matters for money: fills are fetched before the event's transaction and booked inside it;
decisions and their intents are committed before any intent is sent; screens hear last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.announce import Announcer, EventOutcome
from engine.phases.pipeline import Pipeline
from engine.ports import Journal
from engine.quality import validate_event
from engine.requests import RequestDesk
from engine.side_books import SideBooks
from engine.trading_book import TradingBook
from engine.types.bars import EventKind, Instrument, MarketEvent, Snapshot
from engine.types.decisions import Analysis, Decision, JsonValue
from engine.types.ledger import Trade
from engine.types.opinions import MarketView
from engine.window import Window


class TradingSession:
    """Trades one run. Owns the windows and the run's book; everything else is plugged in.

    After an exception the session must be thrown away and rebuilt from the journal: what it
    holds in memory may be ahead of what was committed.
    """

    def __init__(
        self,
        *,
        timeframe_ms: int,
        instruments: Mapping[str, Instrument],
        windows: Mapping[str, Window],
        pipeline: Pipeline,
        book: TradingBook,
        journal: Journal,
        announcer: Announcer,
        regimes: Mapping[str, str] | None = None,
        side_books: SideBooks | None = None,
        requests: RequestDesk | None = None,
    ) -> None:
        """``requests`` takes in what people ask of the run; a replay has nobody who asks."""
        self._timeframe_ms = timeframe_ms
        self._instruments = instruments
        self._windows = windows
        self._pipeline = pipeline
        self._book = book
        self._journal = journal
        self._announcer = announcer
        self._regimes = dict(regimes or {})
        self._side_books = SideBooks() if side_books is None else side_books
        self._requests = requests

    def on_event(self, event: MarketEvent) -> EventOutcome:
        """Process one event to the end and return what it caused.

        Raises:
            Whatever the journal raises: a failed write is never swallowed.
        """
        outcome = EventOutcome(event)
        book = self._book
        fills = book.broker.fills_at(event)
        with self._journal.event(event):
            book.observe(event)
            book.book(fills, event, outcome, self._regimes)
            if self._requests is not None:
                self._requests.carry_out(book, event, outcome, self._regimes)
            self._credit(outcome.trades)
            self._side_books.begin(event, book, self._regimes)
            if event.kind is EventKind.BAR:
                self._on_bar(event, outcome)
            moved = book.mark(event, outcome)
            book.protect(outcome.decisions, event, outcome)
            if self._side_books.end(event, self._journal) or moved:
                self._journal.record_state(self.state, event)
        book.submit(outcome.decisions, event, outcome)
        self._announcer.announce(outcome)
        return outcome

    def has_news(self) -> bool:
        """True where a clock event before the next bar may have something to book."""
        asked = self._requests is not None and self._requests.waiting()
        return asked or self._book.has_news() or self._side_books.has_news()

    def _on_bar(self, event: MarketEvent, outcome: EventOutcome) -> None:
        bar = event.bar
        if bar is None:
            raise ValueError(f"bar event of {event.symbol} at {event.ts_ms} carried no bar")
        window = self._windows[event.symbol]
        reason = validate_event(event, window.last_bar, self._timeframe_ms)
        if reason is not None:
            outcome.rejected = reason.text
            self._journal.record_rejected_event(event, reason.text)
            return
        store, row = window.append(bar)
        self._book.account.ledger.mark(event.symbol, bar.close)
        self._side_books.mark(event.symbol, bar.close)
        self._journal.record_bar(event)
        snapshot = Snapshot(self._instruments[event.symbol], event, store, row)
        outcome.decisions = self._decide(snapshot, outcome)

    def _decide(self, snapshot: Snapshot, outcome: EventOutcome) -> tuple[Decision, ...]:
        pipeline, symbol = self._pipeline, snapshot.event.symbol
        held = (self._book.holdings(symbol), *self._side_books.holdings(symbol))
        quiet = pipeline.quiet(snapshot, held)
        if quiet is not None:
            outcome.triggers, outcome.trials = quiet.learned.triggers, quiet.learned.trials
            self._journal.record_decision(quiet.decision)
            return (quiet.decision,)
        analysis = pipeline.analyse(snapshot)
        if isinstance(analysis.market, MarketView):
            self._regimes[analysis.symbol] = analysis.market.regime.value
        decisions = self._book.decide(pipeline, snapshot, analysis, asked=outcome.intents)
        if not decisions:
            decisions.append(pipeline.hold(snapshot, analysis, held[0]))
        self._learn(snapshot, analysis, decisions, outcome)
        self._side_books.decide(pipeline, snapshot, analysis)
        return tuple(decisions)

    def _learn(
        self,
        snapshot: Snapshot,
        analysis: Analysis,
        decisions: Sequence[Decision],
        outcome: EventOutcome,
    ) -> None:
        """Learn and write; nothing of it can change this event's decisions any more, and what
        fails of it is on record."""
        pipeline, journal = self._pipeline, self._journal
        learned = pipeline.apply_learning(pipeline.after(snapshot, analysis, decisions))
        outcome.triggers, outcome.trials = learned.triggers, learned.trials
        journal.record_analysis(analysis, learned.records)
        for decision in decisions:
            journal.record_decision(decision)
        journal.record_learning(learned.settlements, learned.triggers, learned.trials)

    def _credit(self, trades: Sequence[Trade]) -> None:
        """Book closed trades to everybody who had an opinion when they were opened (ORC-15)."""
        for trade in trades:
            credit = self._pipeline.closed(trade)
            if credit is not None:
                self._journal.record_credit(credit)

    def state(self) -> dict[str, JsonValue]:
        """Return what a rebuilt session needs besides rows of fills, orders and candles."""
        return {
            "pipeline": self._pipeline.state(),
            "account": self._book.account.state(),
            "regimes": dict(self._regimes),
            "side_books": self._side_books.state(),
        }
