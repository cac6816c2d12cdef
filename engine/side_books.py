"""Virtual books beside the run's own: the same bars and opinions, another account.

``shadow``: suspended strategies go on trading on paper, so that recovery can show (D-07).
``counterfactual``: what the run would have earned with the optimization layer off (D-60).
A side book never sends an order to a venue and never stops the run: where it fails it is left
out, and said so. What it did is written in the event's own transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Protocol

from engine.account import Account
from engine.announce import EventOutcome
from engine.ceilings import Ceilings, as_filed
from engine.client_ids import RunIdentity
from engine.entry_orders import EntryDesk, EntryRules
from engine.failsafe import FailSafe, Failure
from engine.kill_switch import barred_by
from engine.ledger import Ledger
from engine.ledger_state import LedgerState
from engine.limits import RiskLimits
from engine.matching import FeeIn
from engine.paper import PaperBroker, Resting
from engine.phases.context import Positions
from engine.phases.pipeline import Pipeline
from engine.ports import Gatekeeper, Journal, OptimizationPolicy
from engine.protection import Guard, Protection
from engine.risk import OrderThrottle
from engine.standing import EntryCounts, WeekPnl
from engine.trading_book import TradingBook
from engine.types.bars import Instrument, MarketEvent, Snapshot
from engine.types.decisions import Analysis, JsonValue
from engine.types.ledger import ZERO, EquityPoint, Lot, Trade
from engine.types.opinions import Proposal
from engine.types.orders import Fill, OrderIntent

SHADOW = "shadow"
COUNTERFACTUAL = "counterfactual"


@dataclass(frozen=True, slots=True)
class SideBookState:
    """Everything a side book is, for going on after a restart. ``since_ms`` is event time."""

    since_ms: int
    ledger: LedgerState
    streaks: Mapping[str, int]
    seen_resets: Mapping[str, int]
    entries_ms: tuple[int, ...]
    resting: tuple[Resting, ...]
    due: tuple[tuple[Fill, OrderIntent], ...]
    repeats: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    week: tuple[tuple[int, Decimal], ...] = ()


class StateCodec(Protocol):
    """Turns states into JSON values and back.

    ``load`` raises ValueError on what ``dump`` did not write.
    """

    def dump(self, state: SideBookState) -> JsonValue: ...

    def load(self, value: JsonValue) -> SideBookState: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SidePlan:
    """What one side book is for.

    ``wanted`` is asked once an event; while it says no, the book takes no entries and is given up
    as soon as it holds nothing. ``copies_account`` starts it as a copy of the run's account, else
    flat with the run's equity. ``may_enter`` names the strategies that may open positions.
    """

    name: str
    wanted: Callable[[], bool]
    may_enter: Callable[[str], bool]
    copies_account: bool
    gatekeeper: Gatekeeper
    policy: OptimizationPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class SideMarket:
    """What all side books of a run share: who they are, where and within what they trade.

    ``slippage_bps`` is paid where an event brings no book; with a ``guard`` each position has its
    order at the paper broker, as the run's own have theirs at the run's broker.
    """

    identity: RunIdentity
    instruments: Mapping[str, Instrument]
    limits: RiskLimits
    fee_in: FeeIn = FeeIn.QUOTE
    slippage_bps: Decimal = ZERO
    guard: Guard | None = None
    entries: EntryRules = field(default_factory=EntryRules)
    ceilings: Ceilings = as_filed


@dataclass(slots=True)
class _Notes:
    """A side book's journal: trades and equity wait here for the event's transaction."""

    trades: list[Trade] = field(default_factory=list)
    point: EquityPoint | None = None

    def record_fill(self, fill: Fill, intent: OrderIntent) -> None:
        return None

    def record_lots(self, opened: Sequence[Lot], changed: Sequence[Lot]) -> None:
        return None

    def record_trade(self, trade: Trade) -> None:
        self.trades.append(trade)

    def record_equity(self, point: EquityPoint, event: MarketEvent) -> None:
        self.point = point

    def record_intent(self, intent: OrderIntent) -> None:
        return None


class SideBook:
    """One virtual book: a ``TradingBook`` over a paper broker of its own."""

    def __init__(self, plan: SidePlan, market: SideMarket, state: SideBookState) -> None:
        shortable = [i.symbol for i in market.instruments.values() if i.shortable]
        self.notes = _Notes()
        self._plan = plan
        self._since_ms = state.since_ms
        self._throttle = OrderThrottle(state.entries_ms)
        self._broker = PaperBroker(
            market.instruments,
            market.fee_in,
            market.slippage_bps,
            resting=state.resting,
            due=state.due,
            barred=barred_by(plan.gatekeeper),
        )
        self.account = Account(
            Ledger.restore(state.ledger, shortable=shortable),
            self._throttle,
            streaks=state.streaks,
            seen_resets=state.seen_resets,
            entries=EntryCounts(state.repeats),
            week=WeekPnl(state.week),
        )
        self._book = TradingBook(
            identity=market.identity,
            account=self.account,
            limits=market.limits,
            broker=self._broker,
            journal=self.notes,
            gatekeeper=plan.gatekeeper,
            policy=plan.policy,
            protection=None
            if market.guard is None
            else Protection(market.identity, market.instruments, guard=market.guard),
            instruments=market.instruments,
            entries=EntryDesk(market.entries, market.identity, market.instruments),
            ceilings=market.ceilings,
        )
        self._outcome: EventOutcome | None = None
        self._is_open = True

    @property
    def holds_nothing(self) -> bool:
        """True where no position is open and no order on the way."""
        on_the_way = self._broker.due() or self._broker.resting()
        return not self.account.ledger.lots and not on_the_way

    def begin(self, event: MarketEvent, is_wanted: bool, regimes: Mapping[str, str]) -> None:
        """Read the gate and book what filled."""
        self._is_open = is_wanted
        self._outcome = EventOutcome(event)
        self._book.observe(event)
        self._book.book(self._broker.fills_at(event), event, self._outcome, regimes)

    def decide(self, pipeline: Pipeline, snapshot: Snapshot, analysis: Analysis) -> None:
        """Decide on the run's analysis."""
        outcome = self._outcome
        if outcome is None:
            raise RuntimeError(f"side book {self._plan.name} decides before its event began")
        outcome.decisions = self._book.decide(pipeline, snapshot, analysis, self._may_propose)

    def end(self, event: MarketEvent) -> bool:
        """Mark equity, on bars and where something filled, protect, and fill on paper.

        Returns True where something of it moved.
        """
        outcome, self._outcome = self._outcome, None
        if outcome is None:
            return False
        moved = self._book.mark(event, outcome)
        self._book.protect(outcome.decisions, event, outcome)
        self._book.submit(outcome.decisions, event, outcome)
        return moved or bool(outcome.submitted or outcome.cancels)

    def has_news(self) -> bool:
        """True where a fill waits to be booked."""
        return self._broker.has_news()

    def state(self) -> SideBookState:
        ledger = self.account.ledger.state()
        resting = self._broker.resting()
        # fills are not told twice by this broker: only orders that may still fill are remembered
        waiting = {known.intent.client_order_id for known in resting}
        filled = {i: q for i, q in ledger.filled_base.items() if i in waiting}
        return SideBookState(
            since_ms=self._since_ms,
            ledger=replace(ledger, seen=frozenset(), filled_base=filled),
            streaks=self.account.streaks,
            seen_resets=self.account.seen_resets,
            entries_ms=self._throttle.sent_ms,
            resting=resting,
            due=self._broker.due(),
            repeats=self.account.entries.times,
            week=self.account.week.days,
        )

    def _may_propose(self, proposal: Proposal) -> bool:
        held = self.account.holdings(proposal.symbol)
        return proposal.strategy in held or (
            self._is_open and self._plan.may_enter(proposal.strategy)
        )


class SideBooks:
    """The side books of one run; none is the null object."""

    def __init__(
        self,
        plans: Iterable[SidePlan] = (),
        market: SideMarket | None = None,
        fail_safe: FailSafe | None = None,
        codec: StateCodec | None = None,
        stored: Mapping[str, JsonValue] | None = None,
    ) -> None:
        """``stored`` is what ``state`` returned before a restart.

        Raises:
            ValueError: plans without a market, a fail-safe or a codec.
        """
        self._plans = tuple(plans)
        self._open: dict[str, SideBook] = {}
        self._failed: set[str] = set()
        if not self._plans:
            return
        if market is None or fail_safe is None or codec is None:
            raise ValueError("side books need a market, a fail-safe and a codec")
        self._market, self._fail_safe, self._codec = market, fail_safe, codec
        for plan in self._plans:
            value = (stored or {}).get(plan.name)
            if value is not None:
                self._try(plan.name, partial(self._reopen, plan, value))
        # a state that cannot be read is told, and the book begins anew
        self._failed.clear()

    def begin(self, event: MarketEvent, run: TradingBook, regimes: Mapping[str, str]) -> None:
        """Open and give up books as wanted, then book what filled in each."""
        for plan in self._plans:
            if plan.name in self._failed:
                continue
            self._try(plan.name, partial(self._begin, plan, event, run, regimes))

    def mark(self, symbol: str, close: float) -> None:
        """Set the price of one symbol in every book."""
        for name, book in list(self._open.items()):
            self._try(name, partial(book.account.ledger.mark, symbol, close))

    def holdings(self, symbol: str) -> tuple[Positions, ...]:
        """Return each book's open positions in one symbol, by strategy code."""
        return tuple(book.account.holdings(symbol) for book in self._open.values())

    def decide(self, pipeline: Pipeline, snapshot: Snapshot, analysis: Analysis) -> None:
        """Let each book decide on the run's analysis."""
        for name, book in list(self._open.items()):
            self._try(name, partial(book.decide, pipeline, snapshot, analysis))

    def has_news(self) -> bool:
        """True where a book has a fill that waits to be booked."""
        return any(book.has_news() for book in self._open.values())

    def end(self, event: MarketEvent, journal: Journal) -> bool:
        """End the event in each book and write what it did; a failed write is the event's failure.

        Returns True where some book moved, so that its state is to be kept.
        """
        moved = False
        for name, book in list(self._open.items()):
            moved = self._try(name, partial(book.end, event)) or moved
            notes = book.notes
            for trade in notes.trades:
                journal.record_side_trade(name, trade)
            if notes.point is not None:
                journal.record_side_equity(name, notes.point)
            notes.trades, notes.point = [], None
        return moved

    def state(self) -> dict[str, JsonValue]:
        """Return every open book as JSON values."""
        return {name: self._codec.dump(book.state()) for name, book in self._open.items()}

    def _begin(
        self, plan: SidePlan, event: MarketEvent, run: TradingBook, regimes: Mapping[str, str]
    ) -> None:
        wanted = plan.wanted()
        book = self._open.get(plan.name)
        if book is not None and not wanted and book.holds_nothing:
            del self._open[plan.name]
            return
        if book is None:
            # a copy would not know of what the run has on the way: it waits until that is booked
            if not wanted or (plan.copies_account and run.has_on_the_way()):
                return
            book = SideBook(plan, self._market, _opening(plan, run.account, event.ts_ms))
            self._open[plan.name] = book
        book.begin(event, wanted, regimes)

    def _reopen(self, plan: SidePlan, value: JsonValue) -> None:
        self._open[plan.name] = SideBook(plan, self._market, self._codec.load(value))

    def _try(self, name: str, call: Callable[[], bool | None]) -> bool:
        """Make the call; a book that fails is left out until the next start, the run goes on.

        Returns what the call did, False where it failed or said nothing.
        """
        answer = self._fail_safe.attempt(call, where=f"side book {name}")
        if isinstance(answer, Failure):
            self._failed.add(name)
            self._open.pop(name, None)
            return False
        return bool(answer)


def _opening(plan: SidePlan, account: Account, at_ms: int) -> SideBookState:
    ledger = account.ledger.state()
    if not plan.copies_account:
        equity = account.ledger.equity_quote
        ledger = LedgerState(
            ledger.quote, {ledger.quote: equity}, marks=ledger.marks, deposits_quote=equity
        )
    return SideBookState(
        since_ms=at_ms,
        ledger=ledger,
        streaks=account.streaks if plan.copies_account else {},
        seen_resets=account.seen_resets,
        entries_ms=(),
        resting=(),
        due=(),
        week=account.week.days if plan.copies_account else (),
    )
