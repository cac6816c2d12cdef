"""Small factories for phases: a seeded market, fakes of every port, a ready pipeline."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from engine.executors import SerialExecutor
from engine.failsafe import FailSafe, FailSafePolicy
from engine.limits import RiskLimits, RiskView
from engine.lots import Position
from engine.phases.config import PipelineConfig
from engine.phases.context import DecisionContext, Positions
from engine.phases.pipeline import Pipeline
from engine.phases.recorder import FullRecorder, Recorder
from engine.policy import BasePolicy
from engine.ports import (
    Assessment,
    Executor,
    LearnedSource,
    OptimizationPolicy,
    RuleSource,
    StrategyStatus,
    TradingState,
)
from engine.scoreboard import Scoreboard
from engine.types.bars import (
    Bar,
    BarColumns,
    Book,
    ColumnStore,
    EventKind,
    FloatColumn,
    Instrument,
    MarketEvent,
    Snapshot,
    TradeFlow,
)
from engine.types.decisions import Analysis, Decision, JsonValue, PhaseRecord
from engine.types.ledger import Trade
from engine.types.opinions import (
    Consensus,
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

D = Decimal
BTC = "BTC/USDT"
MINUTE_MS = 60_000
START_MS = 1_700_000_040_000 // MINUTE_MS * MINUTE_MS
BOOK = Book(0, ((99.99, 50.0), (99.98, 50.0)), ((100.01, 50.0), (100.02, 50.0)))


def instrument(**changes: Any) -> Instrument:
    fields: dict[str, Any] = {
        "symbol": BTC,
        "base": "BTC",
        "quote": "USDT",
        "tick_size": D("0.01"),
        "lot_size": D("0.0001"),
        "min_notional_quote": D("5"),
        "min_quantity_base": D("0.0001"),
        "maker_fee_fraction": D("0"),
        "taker_fee_fraction": D("0"),
    }
    return Instrument(**{**fields, **changes})


def bars(n: int = 700, seed: int = 2, volatility: float = 0.001) -> BarColumns:
    """A seeded random walk around 100 in one-minute bars; the last one is settled and calm."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, volatility, n)))
    opened = np.concatenate(([100.0], close[:-1]))
    reach = rng.uniform(0.0, volatility, (2, n))
    return BarColumns(
        ts_ms=START_MS + MINUTE_MS * np.arange(n, dtype=np.int64),
        open=opened,
        high=np.maximum(opened, close) * (1.0 + reach[0]),
        low=np.minimum(opened, close) * (1.0 - reach[1]),
        close=close,
        volume=rng.uniform(1.0, 10.0, n),
        timeframe_ms=MINUTE_MS,
    )


def cut(whole: BarColumns, first: int, end: int) -> BarColumns:
    """Rows ``first`` to ``end`` (not included) of bars."""
    names = ("ts_ms", "open", "high", "low", "close", "volume")
    return BarColumns(
        *(getattr(whole, name)[first:end] for name in names), timeframe_ms=whole.timeframe_ms
    )


def snapshot(
    row: int = -1,
    *,
    store: ColumnStore | None = None,
    symbol: str = BTC,
    book: Book | None = None,
    flow: TradeFlow | None = None,
    traded: Instrument | None = None,
) -> Snapshot:
    """The snapshot of one row of a store, as a session would make it."""
    store = store or ColumnStore(bars())
    columns = store.bars
    row = row % len(columns)
    opened_ms = int(columns.ts_ms[row])
    closed_ms = opened_ms + columns.timeframe_ms
    values = (columns.open, columns.high, columns.low, columns.close, columns.volume)
    bar = Bar(opened_ms, *(float(column[row]) for column in values))
    event = MarketEvent(EventKind.BAR, symbol, closed_ms, closed_ms, bar, book, flow)
    return Snapshot(traded or instrument(symbol=symbol), event, store, row)


# -- sources -------------------------------------------------------------------------------------


@dataclass
class Rule:
    """A rule whose opinion is constant and whose proposal is made on the rows named."""

    code: str = "rule-a"
    probability: float = 0.5
    side: int = 0
    rows: tuple[int, ...] = ()
    exit_rows: tuple[int, ...] = ()
    stop_fraction: float = 0.02
    target_fraction: float = 0.04
    favourable_regimes: frozenset[Regime] = frozenset(Regime)
    warm_up_bars: int = 10
    fails: bool = False
    asked: int = 0

    def columns(self, store: ColumnStore) -> RuleColumns:
        self.asked += 1
        if self.fails:
            raise RuntimeError("rule is broken")
        n, close = len(store.bars), store.bars.close
        at = np.zeros(n, dtype=np.bool_)
        at[[row % n for row in self.rows]] = True
        leave = np.zeros(n, dtype=np.bool_)
        leave[[row % n for row in self.exit_rows]] = True
        side = np.where(at, self.side, 0).astype(np.int64)
        return RuleColumns(
            side=side,
            probability_up=np.full(n, self.probability),
            confidence=np.where(at, 0.7, 0.0),
            stop_price=np.where(at, close * (1.0 - self.side * self.stop_fraction), np.nan),
            target_price=np.where(at, close * (1.0 + self.side * self.target_fraction), np.nan),
            exit_long=leave,
            exit_short=leave,
        )


@dataclass
class Learner:
    """A predictor that says what it is told to and remembers its lessons."""

    code: str = "learner"
    probability: float = 0.6
    favourable_regimes: frozenset[Regime] = frozenset(Regime)
    lessons: list[tuple[tuple[float, ...], int]] = field(default_factory=list)
    fails: bool = False
    predictions: int = 0

    def predict(self, features: FloatColumn) -> float:
        self.predictions += 1
        if self.fails:
            raise RuntimeError("predictor is broken")
        return self.probability

    def learn(self, features: FloatColumn, outcome_up: int) -> None:
        self.lessons.append((tuple(features.tolist()), outcome_up))

    def state(self) -> dict[str, JsonValue]:
        return {"probability": self.probability}

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        value = state["probability"]
        assert isinstance(value, float)
        self.probability = value


# -- gatekeeper, reporter, policies --------------------------------------------------------------


@dataclass
class Gate:
    """A gatekeeper of fixed answers; a failing one raises on every question."""

    state: TradingState = TradingState.ACTIVE
    status: StrategyStatus = StrategyStatus.ACTIVE
    fails: bool = False

    def observe(self, now_ms: int) -> None:
        return None

    def trading_state(self, symbol: str, strategy: str) -> TradingState:
        if self.fails:
            raise ConnectionError("rows cannot be read")
        return self.state

    def state_reason(self, symbol: str, strategy: str) -> str:
        return "an operator asked for it"

    def control_epoch(self) -> int:
        return 0

    def strategy_status(self, strategy: str) -> StrategyStatus:
        if self.fails:
            raise ConnectionError("rows cannot be read")
        return self.status

    def escalate(
        self, state: TradingState, reason_code: str, text: str, at_ms: int, scope: str = "global"
    ) -> None:
        raise AssertionError("a pipeline never escalates")

    def resets(self) -> Mapping[str, int]:
        return {}


@dataclass
class Incidents:
    """A reporter that remembers: (where, error)."""

    seen: list[tuple[str, BaseException]] = field(default_factory=list)

    def incident(self, where: str, error: BaseException) -> None:
        self.seen.append((where, error))

    @property
    def places(self) -> list[str]:
        return [where for where, _ in self.seen]


@dataclass
class Policy:
    """A policy of fixed answers; the methods named in ``fails`` raise."""

    multiplier: float = 1.0
    accepted: bool = True
    quality: float | None = 1.0
    fails: frozenset[str] = frozenset()
    calls: list[str] = field(default_factory=list)

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fails:
            raise RuntimeError(f"{name} is broken")

    def weights(self, regime: Regime) -> Mapping[str, float]:
        self._called("weights")
        return {"rule-a": 1.5}

    def assess(
        self, proposal: Proposal, market: MarketView | Missing, confluence: int
    ) -> Assessment:
        self._called("assess")
        return Assessment(self.accepted, self.quality, "QUALITY", "quality 0.31, threshold was 0.6")

    def size_multiplier(
        self, proposal: Proposal, assessment: Assessment, market: MarketView | Missing
    ) -> float:
        self._called("size_multiplier")
        return self.multiplier

    def record_outcome(self, trade: Trade) -> None:
        self._called("record_outcome")

    def refresh(self, now_ms: int) -> None:
        self._called("refresh")


# -- views and values ----------------------------------------------------------------------------


def market_view(**changes: Any) -> MarketView:
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


def order_flow(**changes: Any) -> OrderFlowView:
    fields: dict[str, Any] = {
        "spread_bps": 1.0,
        "microprice": 100.0,
        "depth_quote": 1e5,
        "imbalance": 0.0,
        "impact_bps": 1.0,
        "liquidity_score": 0.9,
        "advice": "market",
    }
    return OrderFlowView(**{**fields, **changes})


def consensus(up: float = 0.6, confluence_up: int = 3, confluence_down: int = 0) -> Consensus:
    return Consensus(up, ("rule-a",), (1.0,), 0.05, confluence_up, confluence_down, True)


def validation(verdict: str = "reliable") -> Validation:
    return Validation((Opinion("rule-a", 0.6),), (), 1.0, 0.5, verdict, "as told")


def analysis(of: Snapshot, **changes: Any) -> Analysis:
    """An analysis in which everything is well, but for the changes."""
    fields: dict[str, Any] = {
        "symbol": of.event.symbol,
        "bar_close_ms": of.event.ts_ms,
        "price": of.close,
        "market": market_view(),
        "features": FeatureView("test", ("f",), np.zeros(1), True),
        "order_flow": Missing("no book"),
        "sources": (),
        "opinions": (Opinion("rule-a", 0.6),),
        "validation": validation(),
        "consensus": consensus(),
        "records": (),
    }
    return Analysis(**{**fields, **changes})


def entry(of: Snapshot, side: Side = Side.BUY, **changes: Any) -> Proposal:
    fields: dict[str, Any] = {
        "strategy": "rule-a",
        "symbol": of.event.symbol,
        "kind": ProposalKind.ENTRY,
        "side": side,
        "confidence": 0.7,
        "price": of.close,
        "stop_price": of.close * (1.0 - side.sign * 0.02),
        "target_price": of.close * (1.0 + side.sign * 0.04),
        "reason_code": "RULE_ENTRY",
        "reason": "rule-a proposes",
    }
    return Proposal(**{**fields, **changes})


def leave(of: Snapshot, side: Side = Side.SELL, **changes: Any) -> Proposal:
    fields = {
        "kind": ProposalKind.EXIT,
        "stop_price": None,
        "target_price": None,
        "reason_code": "STOP",
        "reason": "price reached the stop",
    }
    return entry(of, side, **{**fields, **changes})


def position(quantity: str = "0.5", **changes: Any) -> Position:
    fields: dict[str, Any] = {
        "strategy": "rule-a",
        "symbol": BTC,
        "quantity_base": D(quantity),
        "average_price": D("100"),
        "stop_price": D("95"),
        "target_price": D("120"),
        "opened_at_ms": START_MS,
    }
    return Position(**{**fields, **changes})


def context(
    *,
    gate: Gate | None = None,
    positions: Positions | None = None,
    limits: RiskLimits | None = None,
    **changes: Any,
) -> DecisionContext:
    held = dict(positions or {})
    risk: dict[str, Any] = {
        "equity_quote": D(10_000),
        "cash_quote": D(10_000),
        "peak_equity_quote": D(10_000),
        "day_pnl_quote": D(0),
        "gross_exposure_quote": D(0),
        "positions_base": {(p.strategy, p.symbol): p.quantity_base for p in held.values()},
    }
    fields: dict[str, Any] = {
        "installation": "abcdef",
        "account": "main",
        "run_code": "run-1",
        "gatekeeper": gate or Gate(),
        "risk": RiskView(**{**risk, **changes.pop("risk", {})}),
        "limits": limits or RiskLimits(),
        "positions": held,
    }
    return DecisionContext(**{**fields, **changes})


# -- a pipeline ----------------------------------------------------------------------------------


@dataclass
class Scene:
    """A pipeline with its fakes, and one bar's walk through it."""

    pipeline: Pipeline
    incidents: Incidents
    fail_safe: FailSafe

    def walk(
        self,
        of: Snapshot,
        *,
        positions: Mapping[str, Position] | None = None,
        gate: Gate | None = None,
        limits: RiskLimits | None = None,
    ) -> tuple[Analysis, list[Decision], tuple[PhaseRecord, ...]]:
        """Do with one bar what a session does; return its analysis, decisions and ten records."""
        held = positions or {}
        found = self.pipeline.analyse(of)
        asked = self.pipeline.proposals(of, found, held)
        given = context(gate=gate, positions=held, limits=limits)
        made = [self.pipeline.decide(p, of, found, given) for p in asked]
        if not made:
            made = [self.pipeline.hold(of, found)]
        learned = self.pipeline.after(of, found, made)
        self.pipeline.apply_learning(learned)
        return found, made, (*found.records, *made[0].records, *learned.records)


def scene(
    rules: Sequence[RuleSource] = (),
    learned: Sequence[LearnedSource] = (),
    *,
    policy: OptimizationPolicy | None = None,
    executor: Callable[[FailSafe], Executor] = SerialExecutor,
    recorder: Recorder | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    scoreboard: Scoreboard | None = None,
    **settings: Any,
) -> Scene:
    incidents = Incidents()
    fail_safe = FailSafe(incidents.incident, monotonic)
    pipeline = Pipeline(
        config=PipelineConfig(**settings),
        rules=rules,
        learned=learned,
        scoreboard=scoreboard or Scoreboard(),
        policy=FailSafePolicy(policy or BasePolicy(), fail_safe),
        executor=executor(fail_safe),
        recorder=recorder or FullRecorder(monotonic),
        fail_safe=fail_safe,
        monotonic=monotonic,
    )
    return Scene(pipeline, incidents, fail_safe)
