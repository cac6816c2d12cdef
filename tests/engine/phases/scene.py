"""Everything a phase is asked about, built by hand: markets, opinions, sources, a gatekeeper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import numpy as np

from engine.executors import SerialExecutor
from engine.failsafe import FailSafe
from engine.limits import RiskLimits, RiskView
from engine.phases.config import PipelineConfig
from engine.phases.context import DecisionContext
from engine.phases.pipeline import Pipeline
from engine.phases.recorder import FullRecorder
from engine.policy import BasePolicy
from engine.ports import SourceInput, StrategyStatus, TradingState
from engine.quality import bar_at
from engine.scoreboard import Scoreboard
from engine.types.bars import (
    BarColumns,
    Book,
    ColumnStore,
    EventKind,
    FloatColumn,
    MarketEvent,
    Snapshot,
    TradeFlow,
)
from engine.types.decisions import Analysis, JsonValue, Settlement
from engine.types.opinions import (
    REGIMES,
    Consensus,
    ExecutionAdvice,
    FeatureView,
    Level,
    MarketView,
    Missing,
    Opinion,
    OrderFlowView,
    Proposal,
    ProposalKind,
    Regime,
    RuleColumns,
    Side,
    Validation,
)
from tests.bar_factory import random_walk
from tests.engine.books import BTC, D, instrument

STRATEGY = "one"
CONFIG = PipelineConfig()
BARS = random_walk(11, 700)
ROW = 650
INSTALLATION = "0a1b2c"


# -- the market ------------------------------------------------------------------------------------


def book_at(close: float, *, spread_bps: float = 1.0, quantity: float = 50.0) -> Book:
    """Ten levels a side, 1 bps apart."""
    half, step = close * spread_bps / 2e4, close * 1e-4
    return Book(
        0,
        tuple((close - half - i * step, quantity) for i in range(10)),
        tuple((close + half + i * step, quantity) for i in range(10)),
    )


def snapshot(
    row: int = ROW,
    *,
    bars: BarColumns = BARS,
    store: ColumnStore | None = None,
    book: Book | str | None = "usual",
    flow: TradeFlow | None = None,
    late_ms: int = 0,
    **changes: Any,
) -> Snapshot:
    """What may be known at the close of one bar; read ``late_ms`` after it."""
    bar = bar_at(bars, row)
    close_ms = bar.ts_ms + bars.timeframe_ms
    chosen = book_at(bar.close) if isinstance(book, str) else book
    if chosen is not None and chosen.ts_ms == 0:
        chosen = replace(chosen, ts_ms=close_ms)
    event = MarketEvent(EventKind.BAR, BTC, close_ms, close_ms + late_ms, bar, chosen, flow)
    return Snapshot(instrument(**changes), event, store or ColumnStore(bars), row)


def market(**changes: Any) -> MarketView:
    fields: dict[str, Any] = {
        "regime": Regime.TRENDING,
        "regime_probabilities": (0.7, 0.1, 0.1, 0.1),
        "volatility_bar_fraction": 0.001,
        "volatility": Level.MEDIUM,
        "liquidity": Level.MEDIUM,
        "sentiment": Missing("no trade flow"),
        "risk": Level.LOW,
        "dwell_bars": 50,
    }
    return MarketView(**{**fields, **changes})


def features(*, ready: bool = True) -> FeatureView:
    return FeatureView("test", ("a", "b"), np.array([0.5, -0.5]), ready)


def order_flow(**changes: Any) -> OrderFlowView:
    fields: dict[str, Any] = {
        "spread_bps": 1.0,
        "microprice": 100.0,
        "depth_quote": 1e5,
        "imbalance": 0.0,
        "impact_bps": 1.0,
        "liquidity_score": 0.8,
        "advice": "market",
        "inputs": Missing("no order-flow inputs"),
        "best_imbalance": 0.0,
        "weighted_imbalance": 0.0,
        "depth_bands": ((10.0, 5e4, 5e4),),
        "ofi_levels": Missing("no book of the bar before"),
        "ofi_impact": Missing("no order flow known"),
        "short_volatility_bps": 10.0,
        "taker_imbalance": Missing("no trade flow"),
        "buy_capacity_base": 1e6,
        "sell_capacity_base": 1e6,
        "execution": ExecutionAdvice(changes.get("advice", "market"), 1, "once", "by hand"),
    }
    return OrderFlowView(**{**fields, **changes})


RELIABLE = Validation((), (), 1.0, 0.6, "reliable", "reliable: 2 opinions kept")
WEAK = Validation((), (), 0.5, 0.3, "weak", "weak: 2 opinions kept")
UNRELIABLE = Validation((), (), 0.1, 0.05, "unreliable", "unreliable: 2 opinions kept")


def consensus(probability_up: float = 0.6, **changes: Any) -> Consensus:
    fields: dict[str, Any] = {
        "probability_up": probability_up,
        "contributors": ("one", "two"),
        "weights": (0.5, 0.5),
        "uncertainty": 0.1,
        "confluence_up": 2 if probability_up > 0.5 else 0,
        "confluence_down": 2 if probability_up < 0.5 else 0,
        "reliable": True,
    }
    return Consensus(**{**fields, **changes})


def analysis(of: Snapshot | None = None, **changes: Any) -> Analysis:
    """Phases 1-6 as they would be on a good day."""
    at = of or snapshot()
    fields: dict[str, Any] = {
        "symbol": BTC,
        "bar_close_ms": at.event.ts_ms,
        "price": at.close,
        "market": market(),
        "features": features(),
        "order_flow": order_flow(),
        "sources": (),
        "opinions": (Opinion("one", 0.6), Opinion("two", 0.6)),
        "validation": RELIABLE,
        "consensus": consensus(),
        "records": (),
    }
    return Analysis(**{**fields, **changes})


def entry(of: Snapshot | None = None, **changes: Any) -> Proposal:
    """A BUY at the close with its stop 1 % below."""
    close = (of or snapshot()).close
    side = changes.get("side", Side.BUY)
    fields: dict[str, Any] = {
        "strategy": STRATEGY,
        "symbol": BTC,
        "kind": ProposalKind.ENTRY,
        "side": side,
        "confidence": 0.7,
        "price": close,
        "stop_price": close * (1.0 - 0.01 * side.sign),
        "target_price": close * (1.0 + 0.02 * side.sign),
        "reason_code": "RULE_ENTRY",
        "reason": "one proposes",
    }
    return Proposal(**{**fields, **changes})


def leave(of: Snapshot | None = None, **changes: Any) -> Proposal:
    """A SELL that closes what the strategy holds."""
    close = (of or snapshot()).close
    fields: dict[str, Any] = {
        "strategy": STRATEGY,
        "symbol": BTC,
        "kind": ProposalKind.EXIT,
        "side": Side.SELL,
        "confidence": 1.0,
        "price": close,
        "stop_price": None,
        "target_price": None,
        "reason_code": "STOP",
        "reason": "price reached the stop",
    }
    return Proposal(**{**fields, **changes})


# -- the account -----------------------------------------------------------------------------------


@dataclass
class Held:
    """A position as phases see one."""

    quantity_base: Decimal
    strategy: str = STRATEGY
    symbol: str = BTC
    stop_price: Decimal | None = None
    target_price: Decimal | None = None
    opened_at_ms: int | None = 0


@dataclass
class Gate:
    """A gatekeeper whose rows are attributes; ``broken`` makes every read raise."""

    state: TradingState = TradingState.ACTIVE
    status: StrategyStatus = StrategyStatus.ACTIVE
    reason: str = ""
    lock: str = ""
    broken: bool = False
    observed: list[int] = field(default_factory=list)
    escalations: list[tuple[TradingState, str, str]] = field(default_factory=list)
    reset_counts: dict[str, int] = field(default_factory=dict)

    def observe(self, now_ms: int) -> None:
        self.observed.append(now_ms)

    def trading_state(self, symbol: str, strategy: str) -> TradingState:
        self._read()
        return self.state

    def state_reason(self, symbol: str, strategy: str) -> str:
        return self.reason

    def control_epoch(self) -> int:
        return 0

    def entry_lock(self, symbol: str, strategy: str) -> str:
        self._read()
        return self.lock

    def strategy_status(self, strategy: str) -> StrategyStatus:
        self._read()
        return self.status

    def escalate(
        self, state: TradingState, reason_code: str, text: str, at_ms: int, scope: str = "global"
    ) -> None:
        self.escalations.append((state, reason_code, scope))

    def resets(self) -> Mapping[str, int]:
        return self.reset_counts

    def _read(self) -> None:
        if self.broken:
            raise ConnectionError("database is gone")


def risk(equity: str = "10000", **changes: Any) -> RiskView:
    fields: dict[str, Any] = {
        "equity_quote": D(equity),
        "cash_quote": D(equity),
        "peak_equity_quote": D(equity),
        "day_pnl_quote": D(0),
        "gross_exposure_quote": D(0),
    }
    return RiskView(**{**fields, **changes})


def holding(quantity: str = "2") -> dict[str, Any]:
    """Changes to ``context`` where the strategy has a position."""
    held = Held(D(quantity))
    return {
        "positions": {STRATEGY: held},
        "risk": risk(positions_base={(STRATEGY, BTC): held.quantity_base}, open_positions=1),
    }


def context(**changes: Any) -> DecisionContext:
    fields: dict[str, Any] = {
        "installation": INSTALLATION,
        "account": "main",
        "run_code": "run",
        "gatekeeper": Gate(),
        "policy": BasePolicy(),
        "risk": risk(),
        "limits": RiskLimits(),
        "positions": {},
        "pending": (),
    }
    return DecisionContext(**{**fields, **changes})


# -- sources ---------------------------------------------------------------------------------------


@dataclass
class Rule:
    """The same opinion on every bar; ``side`` proposes an entry on every bar."""

    code: str = STRATEGY
    probability: float = 0.6
    side: int = 0
    stop_fraction: float = 0.01
    confidence: float = 0.7
    exits: bool = False
    favourable_regimes: frozenset[Regime] = frozenset(REGIMES)
    warm_up_bars: int = 0
    error: Exception | None = None

    def columns(self, store: ColumnStore) -> RuleColumns:
        if self.error is not None:
            raise self.error
        n, close = len(store.bars), store.bars.close
        return RuleColumns(
            side=np.full(n, self.side, dtype=np.int64),
            probability_up=np.full(n, self.probability),
            confidence=np.full(n, self.confidence),
            stop_price=close * (1.0 - self.side * self.stop_fraction),
            target_price=close * (1.0 + 2.0 * self.side * self.stop_fraction),
            exit_long=np.full(n, self.exits),
            exit_short=np.full(n, self.exits),
        )


@dataclass
class Predictor:
    """Answers ``answer()``; remembers what it was taught."""

    code: str = "learner"
    answer: Callable[[], Any] = lambda: 0.6
    favourable_regimes: frozenset[Regime] = frozenset(REGIMES)
    lessons: list[tuple[FloatColumn, int]] = field(default_factory=list)
    asked: int = 0
    reads: SourceInput = SourceInput.FEATURES

    def predict(self, features: FloatColumn) -> float:
        self.asked += 1
        return self.answer()

    def learn(self, features: FloatColumn, outcome_up: int) -> None:
        self.lessons.append((features, outcome_up))

    def state(self) -> dict[str, JsonValue]:
        return {"lessons": len(self.lessons)}

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        return None


def settled(
    source: str, probability: float, outcome: int, times: int, board: Scoreboard, regime: str = ""
) -> None:
    """Record ``times`` equal settlements of one source under one regime."""
    for _ in range(times):
        board.record(
            Settlement(
                source,
                BTC,
                regime or Regime.TRENDING.value,
                probability,
                outcome,
                (probability - outcome) ** 2,
                0,
                1,
            )
        )


def proven(*sources: str) -> Scoreboard:
    """A board on which these sources were right whenever they spoke: they are believed."""
    board = Scoreboard()
    for source in sources:
        settled(source, 1.0, 1, 400, board)
    return board


# -- the pipeline ----------------------------------------------------------------------------------


@dataclass
class Incidents:
    """Remembers what was survived."""

    seen: list[tuple[str, BaseException]] = field(default_factory=list)

    def incident(self, where: str, error: BaseException) -> None:
        self.seen.append((where, error))

    @property
    def places(self) -> list[str]:
        return [where for where, _ in self.seen]


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def fail_safe(incidents: Incidents | None = None, clock: Callable[[], float] | None = None) -> Any:
    return FailSafe((incidents or Incidents()).incident, clock or Clock())


def pipeline(
    rules: Any = (),
    learned: Any = (),
    *,
    kind: type[Pipeline] = Pipeline,
    config: PipelineConfig = CONFIG,
    incidents: Incidents | None = None,
    clock: Callable[[], float] | None = None,
    **changes: Any,
) -> Pipeline:
    """A pipeline of full records over the given sources."""
    clock = clock or Clock()
    safe = fail_safe(incidents, clock)
    fields: dict[str, Any] = {
        "scoreboard": Scoreboard(),
        "executor": SerialExecutor(safe),
        "recorder": FullRecorder(clock),
        "fail_safe": safe,
        "monotonic": clock,
    }
    return kind(config=config, rules=rules, learned=learned, **{**fields, **changes})
