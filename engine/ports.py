"""The sockets in the walls: what the engine asks of the world, and nothing else.

Every wiring (live, paper, practice, replay, shadow, counterfactual) plugs other objects into the
same ports; no object asks which wiring it is in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeVar

from engine.types.bars import (
    BarColumns,
    BoolColumn,
    ColumnStore,
    FloatColumn,
    MarketEvent,
    Snapshot,
)
from engine.types.decisions import (
    Analysis,
    Decision,
    EvolutionTrigger,
    JsonValue,
    PhaseRecord,
    Settlement,
)
from engine.types.learned import Insight, TradeCredit, Trial
from engine.types.ledger import EquityPoint, Lot, Trade
from engine.types.opinions import (
    MarketView,
    Missing,
    OrderFlowView,
    Proposal,
    Regime,
    RuleColumns,
)
from engine.types.orders import Fill, OrderIntent, SubmitResult
from engine.types.requests import Instruction, Settled

T = TypeVar("T")


class TradingState(StrEnum):
    """ACTIVE trades; REDUCING allows exits and cancels only; HALTED allows cancels only."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"

    @property
    def severity(self) -> int:
        return _SEVERITY[self]


_SEVERITY = {TradingState.ACTIVE: 0, TradingState.REDUCING: 1, TradingState.HALTED: 2}


class StrategyStatus(StrEnum):
    ACTIVE = "ACTIVE"
    DEGRADED = "DEGRADED"
    SUSPENDED = "SUSPENDED"
    RETIRED = "RETIRED"

    @property
    def may_enter(self) -> bool:
        """True where new entries are allowed; exits are always allowed (D-02)."""
        return self in (StrategyStatus.ACTIVE, StrategyStatus.DEGRADED)


class MarketSource(Protocol):
    """Where events come from."""

    def history(self, symbol: str, n_bars: int) -> BarColumns:
        """Return up to ``n_bars`` closed bars before the first event, oldest first."""

    def events(self) -> Iterable[MarketEvent]:
        """Yield what is due now, in event order; replay yields everything, live what is new.

        Raises:
            SourceUnavailable (market.errors): the venue did not answer; nothing was lost.
        """


class Broker(Protocol):
    """Where intents go and fills come from. An intent is on disk before ``submit`` is called."""

    def fills_at(self, event: MarketEvent) -> Sequence[tuple[Fill, OrderIntent]]:
        """Return fills not returned before, with the intent each belongs to, oldest first."""

    def submit(self, intent: OrderIntent, event: MarketEvent) -> SubmitResult:
        """Send one intent. Never raises for a venue's answer; no answer is ``Unanswered``."""

    def cancel(self, client_order_id: str, event: MarketEvent, reason: str = "") -> SubmitResult:
        """Ask for the end of an order; returns what is known of it afterwards. The reason is kept.

        Only a terminal status says that it has ended, and then every fill of it is booked or will
        be told of. Never raises for a venue's answer.
        """

    def open_intents(self) -> Sequence[OrderIntent]:
        """Return intents that may still fill (INTENT, SENDING, UNKNOWN, OPEN, PARTIAL).

        ``quantity_base`` is what is left: what has filled is in the books, not on the way.
        """

    def waiting(self) -> Sequence[OrderIntent]:
        """Return exits and stops on disk that could not leave yet: they wait for the end of
        another order of their position, or for a venue that asked for silence."""

    def has_news(self) -> bool:
        """True where asking for fills before the next bar may bring some."""

    def jumped(self) -> Collection[str]:
        """Return the client order ids of stop-limits that were triggered and that the market has
        left behind: nobody pays their limit now."""


class Journal(Protocol):
    """Where everything is written, one transaction an event. A failed write is never swallowed."""

    def event(self, event: MarketEvent) -> AbstractContextManager[None]:
        """Open the event's transaction; leaving it normally commits, an exception rolls back."""

    def record_rejected_event(self, event: MarketEvent, reason: str) -> None: ...

    def record_fill(self, fill: Fill, intent: OrderIntent) -> None: ...

    def record_lots(self, opened: Sequence[Lot], changed: Sequence[Lot]) -> None:
        """``changed`` lots carry what remains; quantity 0 means closed."""

    def record_trade(self, trade: Trade) -> None: ...

    def record_bar(self, event: MarketEvent) -> None:
        """Keep the accepted bar; the same bar twice is one row."""

    def record_analysis(self, analysis: Analysis, learning: Sequence[PhaseRecord]) -> None:
        """Write phases 1-6 with the records of phases 9-10, before the bar's decisions."""

    def record_decision(self, decision: Decision) -> None:
        """Write the decision and, in the same transaction, its intent (write-ahead)."""

    def record_intent(self, intent: OrderIntent) -> None:
        """Write an order that no decision asked for (write-ahead): a protective stop, a request."""

    def record_learning(
        self,
        settled: Sequence[Settlement],
        triggers: Sequence[EvolutionTrigger],
        trials: Sequence[Trial],
    ) -> None: ...

    def record_credit(self, credit: TradeCredit) -> None:
        """Keep who leaned which way when a closed trade was opened."""

    def record_equity(self, point: EquityPoint, event: MarketEvent) -> None: ...

    def record_side_trade(self, book: str, trade: Trade) -> None:
        """Write a closed trade of a virtual book; ``book`` is its name."""

    def record_side_equity(self, book: str, point: EquityPoint) -> None: ...

    def record_state(
        self, state: Callable[[], Mapping[str, JsonValue]], event: MarketEvent
    ) -> None:
        """Remember what a rebuilt session needs besides rows; a journal that keeps nothing never
        calls ``state``."""


class Publisher(Protocol):
    """Sends something to the screens. Called after commit; a failure never stops trading."""

    def publish(self, topic: str, data: Mapping[str, JsonValue]) -> None: ...


class RuleSource(Protocol):
    """A rule strategy: columns only, no state, so replay and live share one definition."""

    @property
    def code(self) -> str: ...

    @property
    def favourable_regimes(self) -> frozenset[Regime]: ...

    @property
    def warm_up_bars(self) -> int: ...

    def columns(self, store: ColumnStore) -> RuleColumns: ...


class SourceInput(StrEnum):
    """What a predictor is given: the bar's features (phase 2) or the book's inputs (phase 3)."""

    FEATURES = "features"
    ORDER_FLOW = "order_flow"


class LearnedSource(Protocol):
    """A predictor: predict, then learn when the outcome is known.

    One that was never trained answers 0.5: it has no opinion.
    """

    @property
    def code(self) -> str: ...

    @property
    def reads(self) -> SourceInput: ...

    @property
    def favourable_regimes(self) -> frozenset[Regime]: ...

    def predict(self, features: FloatColumn) -> float:
        """Return the probability in [0, 1] that the price is higher after the horizon."""

    def learn(self, features: FloatColumn, outcome_up: int) -> None: ...

    def state(self) -> dict[str, JsonValue]: ...

    def restore(self, state: Mapping[str, JsonValue]) -> None: ...


class InsightSource(Protocol):
    """Notices something others should know, from bars or the order book; keeps no state."""

    @property
    def code(self) -> str: ...

    @property
    def reads_book(self) -> bool:
        """False where ``order_flow`` is never looked at: a replay may then skip phase 3."""

    def insights(
        self, snapshot: Snapshot, order_flow: OrderFlowView | Missing
    ) -> Sequence[Insight]:
        """Return what it notices on this bar; usually nothing."""

    def may_notice(self, store: ColumnStore) -> BoolColumn | None:
        """Return the bars on which it may notice something without a book, shape (n_bars,); None
        where it then notices nothing on any bar."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """The policy's answer before sizing (integration point 2).

    ``signal_id`` says which proposal was judged (OPT-16), empty where nobody looked; ``detail``
    is stored with the decision.
    """

    accepted: bool
    quality: float | None
    reason_code: str
    reason: str
    signal_id: str = ""
    detail: Mapping[str, JsonValue] = field(default_factory=dict)


class OptimizationPolicy(Protocol):
    """The seam of the optimization layer: five methods, off = BasePolicy.

    Each of them may raise: ``FailSafePolicy`` then answers as the base policy would.
    """

    def weights(self, regime: Regime) -> Mapping[str, float]:
        """Return the weight of each strategy, every one finite and positive."""

    def assess(
        self, proposal: Proposal, market: MarketView | Missing, confluence: int
    ) -> Assessment:
        """Judge one entry; asked once a proposal, after every gate has let it through."""

    def size_multiplier(
        self, proposal: Proposal, assessment: Assessment, market: MarketView | Missing
    ) -> float:
        """Return the factor on the base size, >= 0; phase 7 keeps it in [0.1, 2] (D-01)."""

    def record_outcome(self, trade: Trade) -> None:
        """Hear of a closed trade (integration point 4)."""

    def refresh(self, now_ms: int) -> None:
        """Look for newer weights; asked once an event, before anything of it is booked."""


class Executor(Protocol):
    """Runs independent calls side by side; a call that fails or is late becomes Missing."""

    def run(self, calls: Mapping[str, Callable[[], T]]) -> dict[str, T | Missing]: ...


class Instructions(Protocol):
    """What people asked of this run and nobody has carried out yet.

    ``due`` and ``settle`` are called inside the event's transaction: a request and what it caused
    are committed together, so a crash neither loses nor repeats one.
    """

    def waiting(self) -> bool:
        """True where somebody asked for something that the next event may carry out."""

    def due(self, now_ms: int) -> Sequence[Instruction]:
        """Return what waits, in the order in which it was asked; read once an event."""

    def settle(self, settled: Settled) -> None:
        """Write down what became of one of them, with its orders and adjustments."""


class Gatekeeper(Protocol):
    """Reads rows that people and breakers write: control state, strategy status, locks.

    A gatekeeper that cannot answer raises; the caller then denies (D-03).
    """

    def observe(self, now_ms: int) -> None:
        """Read the rows once for this event: one event is judged by one snapshot (F-085)."""

    def trading_state(self, symbol: str, strategy: str) -> TradingState:
        """Return the most severe state among global, symbol and strategy scopes."""

    def state_reason(self, symbol: str, strategy: str) -> str:
        """Say in words why the trading state is not ACTIVE; empty where it is."""

    def entry_lock(self, symbol: str, strategy: str) -> str:
        """Say in words why a person keeps entries out of a symbol; empty where nobody does."""

    def control_epoch(self) -> int: ...

    def strategy_status(self, strategy: str) -> StrategyStatus: ...

    def escalate(
        self, state: TradingState, reason_code: str, text: str, at_ms: int, scope: str = "global"
    ) -> None:
        """Latch a breaker's state for ``global`` or ``strategy:CODE``; never lowers severity."""

    def resets(self) -> Mapping[str, int]:
        """How often each scope was set back to ACTIVE by a person (or a stated operator).

        A reset forgives what tripped the breaker: the drawdown is measured from a new peak, the
        losing streak starts at 0 (D-23, D-27).
        """


class Reporter(Protocol):
    """Hears of failures that were survived: an incident, never an exception."""

    def incident(self, where: str, error: BaseException) -> None: ...
