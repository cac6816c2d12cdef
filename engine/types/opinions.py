"""What we believe: views of phases 1-3, opinions, proposals, consensus."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b

from engine.types.bars import BoolColumn, FloatColumn, IntColumn


class Regime(StrEnum):
    TRENDING = "TRENDING"
    RANGING = "RANGING"
    VOLATILE = "VOLATILE"
    QUIET = "QUIET"


REGIMES: tuple[Regime, ...] = (Regime.TRENDING, Regime.RANGING, Regime.VOLATILE, Regime.QUIET)


class Level(StrEnum):
    """Ordered levels for volatility, liquidity and risk."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    EXTREME = "extreme"


LEVELS: tuple[Level, ...] = (Level.LOW, Level.MEDIUM, Level.HIGH, Level.EXTREME)


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for BUY, -1 for SELL."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


@dataclass(frozen=True, slots=True)
class Missing:
    """A view that is not there, and why; later phases say what they do without it."""

    reason: str


@dataclass(frozen=True, slots=True)
class MarketView:
    """Phase 1: the condition of one symbol (ORC-07).

    ``regime_probabilities`` follow REGIMES and sum to 1. ``volatility_bar_fraction`` is the
    standard deviation of one bar's log return. ``sentiment`` is in [-1, 1] from taker flow,
    or Missing (D-57). ``dwell_bars`` counts bars since the regime label last changed.
    """

    regime: Regime
    regime_probabilities: tuple[float, float, float, float]
    volatility_bar_fraction: float
    volatility: Level
    liquidity: Level
    sentiment: float | Missing
    risk: Level
    dwell_bars: int


class ConditionKind(StrEnum):
    """What changed about a market's condition (ORC-84)."""

    REGIME_CHANGE = "regime_change"
    VOLATILITY_SHIFT = "volatility_shift"
    LIQUIDITY_SHIFT = "liquidity_shift"
    RISK_SHIFT = "risk_shift"
    SENTIMENT_FLIP = "sentiment_flip"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class ConditionChange:
    """One change, on the bar that closed at ``at_ms``, from ``was`` to ``now``.

    ``magnitude`` is in [0, 1]: of a regime the probability of the new one less that of the old
    one; of a level the steps over the most there are; of sentiment half the distance; of a gap
    the part of an hour's worth of 60 bars that is missing, at most 1.
    """

    kind: ConditionKind
    magnitude: float
    was: str
    now: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class FeatureView:
    """Phase 2: one finite feature row (n_features,) of a versioned frame; ready once warm.

    ``notes`` say what is not there although the row is ready: its features are 0.
    """

    version: str
    names: tuple[str, ...]
    values: FloatColumn
    ready: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OfiImpact:
    """What a base unit of order-flow imbalance moved the middle lately, by regression.

    ``bps_per_unit`` in basis points, ``r2`` in [0, 1] of the fit, ``observations`` in bars.
    """

    bps_per_unit: float
    r2: float
    observations: int


@dataclass(frozen=True, slots=True)
class ExecutionAdvice:
    """How to trade (ORC-86): ``style`` is market, limit, split or wait; ``slices`` is 0 for wait;
    ``schedule`` is once, twap (by the clock) or vwap (by volume)."""

    style: str
    slices: int
    schedule: str
    reason: str


@dataclass(frozen=True, slots=True)
class OrderFlowView:
    """Phase 3: what the order book says (ORC-09). Depth in quote, costs in basis points.

    Imbalances are (bid - ask) / (bid + ask) in [-1, 1]: of the band, of the best level, of all
    levels weighted by nearness. ``liquidity_score`` in [0, 1] is never lowered by a tighter or
    deeper book. ``depth_bands`` holds (band in bps, bid depth, ask depth). ``ofi_levels`` is what
    orders added at each level since the bar before, in base units. The capacities are the largest
    orders in base units that cost at most the configured impact beyond the spread. ``advice`` is
    that of ``execution``. ``inputs`` is the row that predictors of order flow read.
    """

    spread_bps: float
    microprice: float
    depth_quote: float
    imbalance: float
    impact_bps: float
    liquidity_score: float
    advice: str
    inputs: FeatureView | Missing
    best_imbalance: float
    weighted_imbalance: float
    depth_bands: tuple[tuple[float, float, float], ...]
    ofi_levels: tuple[float, ...] | Missing
    ofi_impact: OfiImpact | Missing
    short_volatility_bps: float | Missing
    taker_imbalance: float | Missing
    buy_capacity_base: float
    sell_capacity_base: float
    execution: ExecutionAdvice


@dataclass(frozen=True, slots=True)
class RuleColumns:
    """One rule strategy over a store: every array has shape (n_bars,).

    ``side`` is +1 / -1 / 0 (an entry is proposed on that bar's close); ``probability_up`` is
    the rule's opinion in [0, 1] with 0.5 = none; ``stop_price``/``target_price`` are NaN where
    nothing is proposed; ``exit_long``/``exit_short`` ask to close the rule's own position.
    """

    side: IntColumn
    probability_up: FloatColumn
    confidence: FloatColumn
    stop_price: FloatColumn
    target_price: FloatColumn
    exit_long: BoolColumn
    exit_short: BoolColumn


@dataclass(frozen=True, slots=True)
class Opinion:
    """A source's probability that the price is higher after its horizon; 0.5 = none.

    ``version`` names the model that spoke; empty for rules and for what learns as it goes.
    """

    source: str
    probability_up: float
    latency_us: float = 0.0
    version: str = ""


class ProposalKind(StrEnum):
    ENTRY = "entry"
    EXIT = "exit"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A strategy asks to open a position, or to close its own. Prices are estimates in quote.

    ``bar_close_ms`` is the bar it was made on: one proposal a strategy, symbol and bar.
    """

    strategy: str
    symbol: str
    kind: ProposalKind
    side: Side
    confidence: float
    price: float
    stop_price: float | None
    target_price: float | None
    reason_code: str
    reason: str
    bar_close_ms: int = 0

    @property
    def signal_id(self) -> str:
        """16 hex characters that name this signal in every run and wiring (OPT-08)."""
        text = f"{self.symbol}|{self.strategy}|{self.bar_close_ms}"
        return blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class SourceScore:
    """Why a source was selected or left out in phase 4 (ORC-10).

    ``skill`` is the scoreboard's weight (1 = knows nothing), ``latency_us`` what was remembered
    of the source's answers when it was judged, ``voice`` how much of its lean was believed.
    """

    source: str
    score: float
    selected: bool
    brier: float | None
    settled: int
    regime_fit: float
    reason: str
    skill: float = 1.0
    latency_us: float = 0.0
    voice: float = 1.0


@dataclass(frozen=True, slots=True)
class Validation:
    """Phase 5: do the selected opinions agree? (ORC-11). ``agreement`` in [0, 1]."""

    kept: tuple[Opinion, ...]
    outliers: tuple[str, ...]
    agreement: float
    reliability: float
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class Consensus:
    """Phase 6: the ensemble's probability (ORC-12).

    ``weights`` sum to 1 over ``contributors``; ``uncertainty`` is the standard deviation of the
    combined probability in [0, 0.5]; ``confluence_up``/``confluence_down`` count independent
    sources that lean that way.
    """

    probability_up: float
    contributors: tuple[str, ...]
    weights: tuple[float, ...]
    uncertainty: float
    confluence_up: int
    confluence_down: int
    reliable: bool

    def confluence(self, side: Side) -> int:
        """Number of independent sources that agree with ``side`` (OPT-13)."""
        return self.confluence_up if side is Side.BUY else self.confluence_down
