"""One session: the walk of an event from the source to the order, the same in every wiring.

Order matters for money: fills are fetched before the event's transaction and booked inside it;
decisions and their intents are committed before any intent is sent; screens hear last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine.account import Account
from engine.announce import Announcer, EventOutcome
from engine.limits import RiskLimits, breakers
from engine.phases.context import DecisionContext, Positions
from engine.phases.pipeline import Pipeline
from engine.ports import (
    Broker,
    Gatekeeper,
    Journal,
    OptimizationPolicy,
    TradingState,
)
from engine.quality import validate_event
from engine.types.bars import EventKind, Instrument, MarketEvent, Snapshot
from engine.types.decisions import Decision, JsonValue, Reason
from engine.types.ledger import EquityPoint, Trade
from engine.types.opinions import MarketView, Proposal
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
        account: Account,
        limits: RiskLimits,
        broker: Broker,
        journal: Journal,
        gatekeeper: Gatekeeper,
        policy: OptimizationPolicy,
        announcer: Announcer,
        regimes: Mapping[str, str] | None = None,
    ) -> None:
        self._identity = identity
        self._instruments = instruments
        self._windows = windows
        self._pipeline = pipeline
        self._account = account
        self._regimes = dict(regimes or {})
        self._judged: tuple[Decimal, Decimal, Decimal] | None = None
        self._limits = limits
        self._broker = broker
        self._journal = journal
        self._gatekeeper = gatekeeper
        self._policy = policy
        self._announcer = announcer

    def on_event(self, event: MarketEvent) -> EventOutcome:
        """Process one event to the end and return what it caused.

        Raises:
            Whatever the journal raises: a failed write is never swallowed.
        """
        outcome = EventOutcome(event)
        fills = self._broker.fills_at(event)
        with self._journal.event(event):
            self._gatekeeper.observe(event.now_ms)
            self._account.note_resets(self._gatekeeper.resets())
            self._book(fills, event, outcome)
            if event.kind is EventKind.BAR:
                self._on_bar(event, outcome)
            self._mark(event, outcome)
        for decision in outcome.decisions:
            if decision.intent is not None:
                result = self._broker.submit(decision.intent, event)
                outcome.submitted.append((decision.intent, result))
        self._announcer.announce(outcome)
        return outcome

    def _book(
        self,
        fills: Sequence[tuple[Fill, OrderIntent]],
        event: MarketEvent,
        outcome: EventOutcome,
    ) -> None:
        ledger = self._account.ledger
        for fill, intent in fills:
            regime = self._regimes.get(fill.symbol, intent.regime)
            effect = ledger.apply_fill(fill, intent, regime, intent.reason_code)
            if effect.duplicate:
                continue
            self._journal.record_fill(fill, intent)
            self._journal.record_lots(effect.opened, effect.changed)
            outcome.fills.append((fill, intent))
            self._note_odd_fill(effect.reasons, intent, event, outcome)
            for trade in effect.trades:
                self._account.note_trade(trade)
                self._journal.record_trade(trade)
                credit = self._pipeline.closed(trade)
                if credit is not None:
                    self._journal.record_credit(credit)
                self._policy.record_outcome(trade)
                outcome.trades.append(trade)
                self._judge_streak(trade, event)

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
        self._account.ledger.mark(event.symbol, bar.close)
        self._journal.record_bar(event)
        snapshot = Snapshot(self._instruments[event.symbol], event, store, row)
        outcome.decisions = self._decide(snapshot, outcome)

    def _decide(self, snapshot: Snapshot, outcome: EventOutcome) -> tuple[Decision, ...]:
        pipeline = self._pipeline
        holdings = self._account.holdings(snapshot.event.symbol)
        quiet = pipeline.quiet(snapshot, holdings)
        if quiet is not None:
            self._journal.record_decision(quiet)
            return (quiet,)
        analysis = pipeline.analyse(snapshot)
        if isinstance(analysis.market, MarketView):
            self._regimes[analysis.symbol] = analysis.market.regime.value
        proposals = pipeline.proposals(snapshot, analysis, holdings)
        decisions: list[Decision] = []
        pending = list(self._broker.open_intents()) if proposals else []
        for proposal in proposals:
            context = self._context(proposal, holdings, pending, snapshot.event.ts_ms)
            decision = pipeline.decide(proposal, snapshot, analysis, context)
            if decision.intent is not None:
                # the next proposal of this bar must see what this one is about to take
                pending.append(decision.intent)
                if decision.intent.purpose is Purpose.ENTRY:
                    self._account.note_entry(snapshot.event.ts_ms)
            decisions.append(decision)
        if not proposals:
            decisions.append(pipeline.hold(snapshot, analysis))
        # nothing of it can change this event's decisions any more, and what fails is on record
        learned = pipeline.apply_learning(pipeline.after(snapshot, analysis, decisions))
        outcome.triggers, outcome.trials = learned.triggers, learned.trials
        self._journal.record_analysis(analysis, learned.records)
        for decision in decisions:
            self._journal.record_decision(decision)
        self._journal.record_learning(learned.settlements, learned.triggers, learned.trials)
        return tuple(decisions)

    def _context(
        self,
        proposal: Proposal,
        holdings: Positions,
        pending: Sequence[OrderIntent],
        now_ms: int,
    ) -> DecisionContext:
        return DecisionContext(
            installation=self._identity.installation,
            account=self._identity.account,
            run_code=self._identity.run_code,
            gatekeeper=self._gatekeeper,
            risk=self._account.view(proposal.strategy, pending, now_ms),
            limits=self._limits,
            positions=holdings,
            pending=tuple(pending),
        )

    def _note_odd_fill(
        self,
        reasons: Sequence[Reason],
        intent: OrderIntent,
        event: MarketEvent,
        outcome: EventOutcome,
    ) -> None:
        """An overfill is booked, told, and stops the strategy from taking new risk (F-017)."""
        outcome.alerts.extend(reasons)
        for reason in reasons:
            if reason.code in ("OVERFILL", "OVERSOLD"):
                self._gatekeeper.escalate(
                    TradingState.REDUCING,
                    reason.code,
                    reason.text,
                    event.ts_ms,
                    scope=f"strategy:{intent.strategy}",
                )

    def _judge_streak(self, trade: Trade, event: MarketEvent) -> None:
        losses, limit = self._account.losing_streak(trade.strategy), self._limits.loss_streak
        if losses >= limit:
            text = f"{trade.strategy} lost {losses} trades in a row, limit was {limit}"
            self._gatekeeper.escalate(
                TradingState.REDUCING,
                "LOSS_STREAK",
                text,
                event.ts_ms,
                scope=f"strategy:{trade.strategy}",
            )

    def _mark(self, event: MarketEvent, outcome: EventOutcome) -> None:
        if event.kind is not EventKind.BAR and not outcome.fills:
            return
        point = self._account.ledger.equity_point(event.ts_ms)
        outcome.equity = point
        self._journal.record_equity(point, event)
        self._judge(point, event)
        self._journal.record_state(self.state, event)

    def _judge(self, point: EquityPoint, event: MarketEvent) -> None:
        """Let the account's breakers look, unless nothing moved since they last did."""
        seen = (point.equity_quote, point.peak_equity_quote, point.day_pnl_quote)
        if seen == self._judged:
            return
        self._judged = seen
        breach = breakers(self._account.standing(point), self._limits)
        if breach is not None:
            self._judged = None
            self._gatekeeper.escalate(breach.state, breach.code, breach.text, event.ts_ms)

    def state(self) -> dict[str, JsonValue]:
        """Return what a rebuilt session needs besides rows of fills, orders and candles."""
        return {
            "pipeline": self._pipeline.state(),
            "account": self._account.state(),
            "regimes": dict(self._regimes),
        }
