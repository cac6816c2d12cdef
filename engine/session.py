"""One session: the walk of an event from the source to the order, the same in every wiring.

Order matters for money: fills are fetched before the event's transaction and booked inside it;
decisions and their intents are committed before any intent is sent; screens hear last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine.announce import Announcer, EventOutcome
from engine.failsafe import fall_back
from engine.ledger import Ledger
from engine.limits import RiskLimits, RiskView, breakers
from engine.phases.pipeline import DecisionContext, Pipeline
from engine.ports import Broker, Gatekeeper, Journal, OptimizationPolicy, Reporter
from engine.quality import validate_event
from engine.types.bars import EventKind, Instrument, MarketEvent, Snapshot
from engine.types.decisions import Decision, JsonValue
from engine.types.orders import Fill, OrderIntent, Purpose
from engine.window import Window


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What an order's id is made of, and the length of a bar."""

    installation: str
    account: str
    run_code: str
    timeframe_ms: int


class TradingSession:
    """Trades one run. Owns the ledger and the windows; everything else is plugged in.

    After an exception the session must be thrown away and rebuilt from the journal: what it
    holds in memory may be ahead of what was committed.
    """

    def __init__(
        self,
        *,
        identity: RunIdentity,
        instruments: Mapping[str, Instrument],
        windows: Mapping[str, Window],
        pipeline: Pipeline,
        ledger: Ledger,
        limits: RiskLimits,
        broker: Broker,
        journal: Journal,
        gatekeeper: Gatekeeper,
        policy: OptimizationPolicy,
        announcer: Announcer,
        reporter: Reporter,
    ) -> None:
        self._identity = identity
        self._instruments = instruments
        self._windows = windows
        self._pipeline = pipeline
        self._ledger = ledger
        self._limits = limits
        self._broker = broker
        self._journal = journal
        self._gatekeeper = gatekeeper
        self._policy = policy
        self._announcer = announcer
        self._reporter = reporter

    def on_event(self, event: MarketEvent) -> EventOutcome:
        """Process one event to the end and return what it caused.

        Raises:
            Whatever the journal raises: a failed write is never swallowed.
        """
        outcome = EventOutcome(event)
        fills = self._broker.fills_at(event)
        with self._journal.event(event):
            self._gatekeeper.observe(event.now_ms)
            self._book(fills, event, outcome)
            if event.kind is EventKind.BAR:
                self._on_bar(event, outcome)
            self._mark(event, outcome)
        for decision in outcome.decisions:
            if decision.intent is not None:
                result = self._broker.submit(decision.intent, event)
                outcome.submitted.append((decision.intent, result))
        fall_back(
            lambda: self._announcer.announce(outcome),
            None,
            where="publisher",
            report=self._reporter.incident,
        )
        return outcome

    def _book(
        self,
        fills: Sequence[tuple[Fill, OrderIntent]],
        event: MarketEvent,
        outcome: EventOutcome,
    ) -> None:
        for fill, intent in fills:
            effect = self._ledger.apply_fill(fill, intent)
            if effect.duplicate:
                continue
            self._journal.record_fill(fill, intent)
            self._journal.record_lots(effect.opened, effect.changed)
            outcome.fills.append((fill, intent))
            for trade in effect.trades:
                self._journal.record_trade(trade)
                self._policy.record_outcome(trade)
                outcome.trades.append(trade)

    def _on_bar(self, event: MarketEvent, outcome: EventOutcome) -> None:
        bar = event.bar
        if bar is None:
            raise ValueError(f"bar event of {event.symbol} at {event.ts_ms} carried no bar")
        window = self._windows[event.symbol]
        reason = validate_event(event, window.last_bar, self._identity.timeframe_ms)
        if reason is not None:
            outcome.rejected = reason.text
            self._journal.record_rejected_event(event, reason.text)
            return
        store, row = window.append(bar)
        instrument = self._instruments[event.symbol]
        self._ledger.mark(event.symbol, instrument.price(bar.close))
        self._journal.record_bar(event)
        snapshot = Snapshot(instrument, event, store, row)
        outcome.decisions = self._decide(snapshot)

    def _decide(self, snapshot: Snapshot) -> tuple[Decision, ...]:
        pipeline, symbol = self._pipeline, snapshot.event.symbol
        analysis = pipeline.analyse(snapshot)
        positions = self._ledger.positions(symbol)
        proposals = pipeline.proposals(snapshot, analysis, positions)
        decisions: list[Decision] = []
        if proposals:
            pending = list(self._broker.open_intents())
            for proposal in proposals:
                context = self._context(pending)
                decision = pipeline.decide(proposal, snapshot, analysis, context)
                if decision.intent is not None:
                    # the next proposal of this bar must see what this one is about to take
                    pending.append(decision.intent)
                decisions.append(decision)
        else:
            decisions.append(pipeline.hold(snapshot, analysis))
        learned = pipeline.after(snapshot, analysis, decisions)
        self._journal.record_analysis(analysis, learned.records)
        for decision in decisions:
            self._journal.record_decision(decision)
        self._journal.record_learning(learned.settlements, learned.triggers)
        pipeline.apply_learning(learned)
        return tuple(decisions)

    def _context(self, pending: Sequence[OrderIntent]) -> DecisionContext:
        return DecisionContext(
            installation=self._identity.installation,
            account=self._identity.account,
            run_code=self._identity.run_code,
            gatekeeper=self._gatekeeper,
            limits=self._limits,
            risk=self._risk_view(pending),
            pending=tuple(pending),
        )

    def _risk_view(self, pending: Sequence[OrderIntent]) -> RiskView:
        return self._ledger.risk_view(tuple(i for i in pending if i.purpose is Purpose.ENTRY))

    def _mark(self, event: MarketEvent, outcome: EventOutcome) -> None:
        if event.kind is not EventKind.BAR and not outcome.fills:
            return
        point = self._ledger.equity_point(event.ts_ms)
        outcome.equity = point
        self._journal.record_equity(point, event)
        breach = breakers(self._risk_view(()), self._limits)
        if breach is not None:
            self._gatekeeper.escalate(breach.state, breach.code, breach.text, event.ts_ms)
        self._journal.record_state(self.state(), event)

    def state(self) -> dict[str, JsonValue]:
        """Return what a rebuilt session needs besides rows of lots, orders and candles."""
        return {"pipeline": self._pipeline.state(), "ledger": self._ledger.state()}

    @property
    def equity_quote(self) -> Decimal:
        """Mark-to-market equity now, in quote."""
        return self._ledger.equity_quote
