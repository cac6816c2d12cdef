"""One account and everything that judges it: books, limits, broker, gate and policy.

A run trades one such book. Beside it may stand others (see ``engine.side_books``) that judge the
same analyses with another account: it is this one class that trades in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Protocol

from engine.account import Account
from engine.announce import EventOutcome
from engine.breakers import BreakerWatch
from engine.ceilings import Ceilings, as_filed
from engine.client_ids import RunIdentity
from engine.entry_orders import Entering, EntryDesk
from engine.equity import Marks
from engine.failsafe import attempt
from engine.limits import RiskLimits
from engine.phases.context import DecisionContext, Positions
from engine.phases.pipeline import Pipeline
from engine.ports import Broker, Gatekeeper, OptimizationPolicy, TradingState
from engine.protection import Protection, Standing, not_held_back
from engine.strategy_stops import StrategyStops
from engine.types.bars import EventKind, Instrument, MarketEvent, Snapshot
from engine.types.decisions import Analysis, Decision, Reason
from engine.types.ledger import EquityPoint, Lot, Trade
from engine.types.opinions import Proposal
from engine.types.orders import Fill, OrderIntent, Purpose, Rejection


class BookJournal(Protocol):
    """What a book writes down of itself; the run's ``Journal`` is one."""

    def record_fill(self, fill: Fill, intent: OrderIntent) -> None: ...

    def record_lots(self, opened: Sequence[Lot], changed: Sequence[Lot]) -> None: ...

    def record_trade(self, trade: Trade) -> None: ...

    def record_equity(self, point: EquityPoint, event: MarketEvent) -> None: ...

    def record_intent(self, intent: OrderIntent) -> None: ...


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a book knew before a restart and its ledger does not tell: when each position that an
    exit last touched had that fill, and the time of the newest equity point (-1 before any)."""

    remainders: Mapping[tuple[str, str], int] = field(default_factory=dict)
    marked_at_ms: int = -1


class TradingBook:
    """Books fills, decides on proposals within the limits, and marks equity."""

    def __init__(
        self,
        *,
        identity: RunIdentity,
        account: Account,
        limits: RiskLimits,
        broker: Broker,
        journal: BookJournal,
        gatekeeper: Gatekeeper,
        policy: OptimizationPolicy,
        protection: Protection | None = None,
        instruments: Mapping[str, Instrument] | None = None,
        entries: EntryDesk | None = None,
        resumed: Resumed = Resumed(),
        ceilings: Ceilings = as_filed,
    ) -> None:
        """``protection`` keeps a stop at the broker for each position; without one a stop is
        judged at the bar's close alone. ``instruments`` tell which remainders no order could
        close: those are swept (F-019). ``entries`` shapes and follows entry orders; without it all
        of them go to the market. ``resumed`` is what the book before a restart knew. ``ceilings``
        makes the limits stricter where people asked for it; it is asked once an event."""
        self.account = account
        self.broker = broker
        self._identity = identity
        self._configured = limits
        self._limits = limits
        self._ceilings = ceilings
        self._journal = journal
        self._gatekeeper = gatekeeper
        self._policy = policy
        self._protection = protection
        self._instruments = dict(instruments or {})
        self._entries = entries
        self._remainders = dict(resumed.remainders)
        self._marked_at_ms = resumed.marked_at_ms
        self._breakers = BreakerWatch(account)
        self._stops = StrategyStops(gatekeeper)
        self._is_still = False

    def observe(self, event: MarketEvent) -> None:
        """Read the gate once for this event, forgive what a person has reset, ask the policy to
        look for newer weights: before anything of the event is booked."""
        self._gatekeeper.observe(event.now_ms)
        self.account.note_resets(self._gatekeeper.resets())
        self._policy.refresh(event.now_ms)
        self._limits = self._ceilings(self._configured)

    def book(
        self,
        fills: Sequence[tuple[Fill, OrderIntent]],
        event: MarketEvent,
        outcome: EventOutcome,
        regimes: Mapping[str, str],
    ) -> None:
        """Book fills; ``regimes`` are the markets' by symbol, as last seen."""
        ledger = self.account.ledger
        for fill, intent in fills:
            regime = regimes.get(fill.symbol, intent.regime)
            effect = ledger.apply_fill(fill, intent, regime, intent.reason_code)
            if effect.duplicate:
                continue
            self._journal.record_fill(fill, intent)
            self._journal.record_lots(effect.opened, effect.changed)
            outcome.fills.append((fill, intent))
            outcome.alerts.extend(effect.reasons)
            self._stops.odd_fill(effect.reasons, intent, event.ts_ms)
            for trade in effect.trades:
                self.account.note_trade(trade)
                self._journal.record_trade(trade)
                self._policy.record_outcome(trade)
                outcome.trades.append(trade)
                losses = self.account.losing_streak(trade.strategy)
                self._stops.streak(trade.strategy, losses, self._limits.loss_streak, event.ts_ms)
            if intent.purpose.reduces_risk:
                key = (intent.strategy, fill.symbol)
                self._remainders[key] = max(fill.ts_ms, self._remainders.get(key, fill.ts_ms))
        if self._remainders:
            self._sweep_dust(event, outcome, regimes)

    def _sweep_dust(
        self, event: MarketEvent, outcome: EventOutcome, regimes: Mapping[str, str]
    ) -> None:
        """Close what an exit left over where no order could close it (F-019), once nothing of the
        position is on the way. It is no act of the market's: no streak and no policy hears of it.

        It is never earlier than the fill that left it, which may have been booked at a bar that
        closed before it: rows are read back in the order of their times.
        """
        ledger = self.account.ledger
        moving = {(order.strategy, order.symbol) for order in self.broker.open_intents()}
        for strategy, symbol in sorted(self._remainders.keys() - moving):
            at_ms = max(event.ts_ms, self._remainders.pop((strategy, symbol)))
            instrument = self._instruments.get(symbol)
            if instrument is None or not ledger.is_dust(strategy, instrument):
                continue
            regime = regimes.get(symbol, "")
            swept = ledger.sweep_dust(strategy, symbol, at_ms, regime)
            self._journal.record_lots(swept.opened, swept.changed)
            for trade in swept.trades:
                self._journal.record_trade(trade)
                outcome.trades.append(trade)
                text = f"{trade.quantity_base} {symbol} of {strategy} was too little to sell"
                outcome.alerts.append(Reason("DUST", text, float(trade.quantity_base)))

    def pending(self, asked: Sequence[OrderIntent] = ()) -> list[OrderIntent]:
        """Return what may still fill, and what was ``asked`` for at this event and is not sent;
        protective stops give way and are left out."""
        return _of_decisions(_each_once((*self.broker.open_intents(), *asked)))

    def holdings(self, symbol: str) -> Positions:
        """Return the open positions in one symbol by strategy code."""
        return self.account.holdings(symbol)

    def has_news(self) -> bool:
        """True where a clock event before the next bar may change something or tell somebody."""
        is_counting = self._protection is not None and self._protection.is_counting
        return is_counting or self.broker.has_news()

    def has_on_the_way(self) -> bool:
        """True where an order may still change what is held; protective stops do not count."""
        return bool(_of_decisions(self.broker.open_intents()))

    def decide(
        self,
        pipeline: Pipeline,
        snapshot: Snapshot,
        analysis: Analysis,
        may_propose: Callable[[Proposal], bool] | None = None,
        asked: Sequence[OrderIntent] = (),
    ) -> list[Decision]:
        """Run phases 7 and 8 on each proposal; empty where nobody proposed.

        ``asked`` are orders of this event that people asked for. ``may_propose`` leaves
        proposals out of this book; left out, all of them count.
        """
        holdings = self.holdings(snapshot.event.symbol)
        proposals = pipeline.proposals(snapshot, analysis, holdings)
        if may_propose is not None:
            proposals = tuple(p for p in proposals if may_propose(p))
        decisions: list[Decision] = []
        pending = self.pending(asked) if proposals else []
        for proposal in proposals:
            context = self._context(proposal, holdings, pending, snapshot.event.ts_ms)
            decision = self._shaped(pipeline.decide(proposal, snapshot, analysis, context))
            if decision.intent is not None:
                # the next proposal of this bar must see what this one is about to take
                pending.append(decision.intent)
                if decision.intent.purpose is Purpose.ENTRY:
                    self.account.note_entry(decision.intent, snapshot.event.ts_ms)
            self._stops.repeats(decision, snapshot.event.ts_ms)
            decisions.append(decision)
        return decisions

    def protect(
        self, decisions: Sequence[Decision], event: MarketEvent, outcome: EventOutcome
    ) -> None:
        """Follow the entries that wait, then plan the stops that should rest after this event; what
        is new is written ahead."""
        orders = self.broker.open_intents()
        if self._entries is not None and (orders or self._entries.is_waiting):
            self._follow_entries(self._entries, orders, event, outcome)
        if self._protection is None:
            return
        positions = self.account.ledger.positions()
        if not orders and not positions and not self._protection.is_telling:
            return
        asked = (*_intents(decisions), *outcome.intents)
        all_orders = _each_once((*orders, *asked))
        standing = Standing(
            positions=positions,
            orders=not_held_back(
                all_orders, self._is_halted, lambda: (*self.broker.waiting(), *asked)
            ),
            mark=self.account.ledger.mark_of,
            is_halted=self._is_halted,
            jumped=self.broker.jumped(),
        )
        plan = self._protection.plan(standing, event)
        outcome.cancels.extend((stop, "its position has changed") for stop in plan.cancels)
        self._intend(plan.new, outcome)

    def _follow_entries(
        self,
        entries: EntryDesk,
        orders: Sequence[OrderIntent],
        event: MarketEvent,
        outcome: EventOutcome,
    ) -> None:
        ledger = self.account.ledger
        entering = Entering(
            orders=orders,
            filled_base=ledger.filled_of,
            mark=ledger.mark_of,
            may_enter=self._may_enter,
        )
        plan = entries.plan(entering, event)
        outcome.cancels.extend(plan.cancels)
        self._intend(plan.new, outcome)

    def _intend(self, intents: Sequence[OrderIntent], outcome: EventOutcome) -> None:
        for intent in intents:
            self._journal.record_intent(intent)
            outcome.intents.append(intent)

    def _shaped(self, decision: Decision) -> Decision:
        if self._entries is None or decision.intent is None:
            return decision
        return replace(decision, intent=self._entries.shape(decision.intent))

    def submit(
        self, decisions: Sequence[Decision], event: MarketEvent, outcome: EventOutcome
    ) -> None:
        """End what is to end, then send what waited, what people asked for, what protects, and
        what was decided; what became of it is in the outcome."""
        for order, reason in outcome.cancels:
            self.broker.cancel(order.client_order_id, event, reason)
        new = (*outcome.intents, *_intents(decisions))
        names = {intent.client_order_id for intent in new}
        waited = [i for i in self.broker.waiting() if i.client_order_id not in names]
        sending = (*waited, *new)
        moved = outcome.fills or outcome.adjustments or outcome.cancels or sending
        self._is_still = not moved and not self._remainders
        for intent in sending:
            result = self.broker.submit(intent, event)
            outcome.submitted.append((intent, result))
            if self._protection is not None and isinstance(result, Rejection):
                self._protection.refused(intent, result)

    def mark(self, event: MarketEvent, outcome: EventOutcome) -> bool:
        """Take an equity point and let the breakers look; False where nothing can have moved.

        Points never go back in time: a bar that comes after a clock event may have closed before
        it, and the newest point is what the books are, also for whoever reads them back.
        """
        if event.kind is not EventKind.BAR and not outcome.fills and not outcome.adjustments:
            return False
        self._marked_at_ms = max(self._marked_at_ms, event.ts_ms)
        point = self.account.ledger.equity_point(self._marked_at_ms)
        outcome.equity = point
        self._journal.record_equity(point, event)
        breach = self._breakers.breach(point, self._limits)
        if breach is not None:
            self._gatekeeper.escalate(breach.state, breach.code, breach.text, event.ts_ms)
        return True

    @property
    def marked_at_ms(self) -> int:
        """The time of the newest equity point, -1 before any."""
        return self._marked_at_ms

    @property
    def is_still(self) -> bool:
        """True where the last event moved nothing here and nothing here waits for a time: until
        something is decided, only prices can move this book."""
        return (
            self._is_still
            and (self._protection is None or self._protection.is_content)
            and (self._entries is None or not self._entries.is_waiting)
            and not self.broker.has_news()
        )

    def pass_bars(self, symbol: str, at_ms: Sequence[int], closes: Sequence[float]) -> Marks:
        """Mark bars of the UTC day of the last point, one after the other, while the book is still;
        return the marks up to the bar before the first on which a breaker would stop."""
        ledger, breakers = self.account.ledger, self._breakers
        marks = Marks([], [], [])
        if ledger.is_all_quote:
            point = ledger.equity_point(at_ms[-1])
            if breakers.breach(point, self._limits) is None:
                ledger.mark(symbol, closes[-1])
                marks.repeat(at_ms, point)
        else:
            before = self._marked_at_ms, ledger.mark_of(symbol)
            for ts_ms, close in zip(at_ms, closes, strict=True):
                ledger.mark(symbol, close)
                point = ledger.equity_point(ts_ms)
                if breakers.breach(point, self._limits) is not None:
                    self._mark_again(symbol, *before)
                    break
                marks.add(point)
                before = ts_ms, ledger.mark_of(symbol)
        if marks.last is not None:
            self._marked_at_ms = marks.last.ts_ms
        return marks

    def _mark_again(self, symbol: str, at_ms: int, price: Decimal | None) -> None:
        """Go back to the mark before one that a breaker stops, which is no new peak."""
        if price is not None:
            self.account.ledger.mark(symbol, price)
        self._breakers.breach(self.account.ledger.equity_point(at_ms), self._limits)

    def _may_enter(self, symbol: str, strategy: str) -> bool:
        """A state that cannot be read lets nobody enter."""
        state = attempt(
            lambda: self._gatekeeper.trading_state(symbol, strategy), "gatekeeper.trading_state"
        )
        return state is TradingState.ACTIVE

    def _is_halted(self, symbol: str, strategy: str) -> bool:
        """A state that cannot be read holds no stop back: it counts as REDUCING, as for exits."""
        state = attempt(
            lambda: self._gatekeeper.trading_state(symbol, strategy), "gatekeeper.trading_state"
        )
        return state is TradingState.HALTED

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
            policy=self._policy,
            risk=self.account.view(proposal, pending, now_ms),
            limits=self._limits,
            positions=holdings,
            pending=tuple(pending),
        )


def _intents(decisions: Sequence[Decision]) -> tuple[OrderIntent, ...]:
    # a list of one or none is made faster than a generator is asked
    return tuple([d.intent for d in decisions if d.intent is not None])


def _of_decisions(orders: Sequence[OrderIntent]) -> list[OrderIntent]:
    """Leave out what only guards: it is no order of a strategy's that one more could double."""
    return [order for order in orders if not order.is_resting_protection]


def _each_once(orders: Sequence[OrderIntent]) -> tuple[OrderIntent, ...]:
    """What is on disk already is among the open orders and among those of this event."""
    return tuple({order.client_order_id: order for order in reversed(orders)}.values())[::-1]
