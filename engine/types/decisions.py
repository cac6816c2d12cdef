"""What was decided and why: reasons, phase records, sizing, analyses, decisions."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from engine.types.learned import NO_PANEL, PanelView
from engine.types.opinions import (
    ConditionChange,
    Consensus,
    FeatureView,
    MarketView,
    Missing,
    Opinion,
    OrderFlowView,
    Proposal,
    SourceScore,
    Validation,
)
from engine.types.orders import OrderIntent

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


class Action(StrEnum):
    BUY = "BUY"
    SELL = "SELL"
    EXIT = "EXIT"
    HOLD = "HOLD"


class PhaseStatus(StrEnum):
    """``passed`` and ``reduced`` let a proposal on; ``blocked`` and ``error`` end in HOLD."""

    PASSED = "passed"
    REDUCED = "reduced"
    BLOCKED = "blocked"
    SKIPPED = "skipped"
    MISSING = "missing"
    ERROR = "error"


PHASES: tuple[str, ...] = (
    "market_analysis",
    "feature_engineering",
    "microstructure",
    "source_selection",
    "cross_validation",
    "ensemble",
    "risk_and_sizing",
    "final_decision",
    "learning",
    "evolution",
)


@dataclass(frozen=True, slots=True)
class Reason:
    """One machine-readable reason with the numbers in its sentence.

    ``value`` and ``limit`` are the two numbers compared, None where nothing was compared.
    """

    code: str
    text: str
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class PhaseRecord:
    """What one phase did (ORC-06). ``number`` is 1-10; digests are hex, durations wall time."""

    number: int
    name: str
    status: PhaseStatus
    duration_us: float
    input_digest: str
    output_digest: str
    output: dict[str, JsonValue]
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class GateAnswer:
    """One gate's answer for the record, whether or not it was the one that decided.

    ``passed`` is None where the gate could not be asked; ``text`` then says why. ``margin`` is the
    room left in the unit of ``value`` (negative: what was missing), None where nothing is compared.
    """

    name: str
    passed: bool | None
    value: float | None = None
    limit: float | None = None
    margin: float | None = None
    code: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class CapStep:
    """One step of the sizing trace: the quantity before and after, and what cut it."""

    code: str
    before_base: float
    after_base: float
    text: str


@dataclass(frozen=True, slots=True)
class Sizing:
    """Phase 7's answer. Caps run after the multiplier, always last (D-01).

    ``quantity_base`` is on the lot grid; 0 means denied and ``denied`` says why.
    """

    base_quantity: float
    multiplier_raw: float
    multiplier_applied: float
    quantity_base: Decimal
    notional_quote: Decimal
    stop_risk_quote: Decimal
    steps: tuple[CapStep, ...]
    quality: float | None
    denied: Reason | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    """Phases 1-6 of one instrument and bar, computed once and shared by its decisions."""

    symbol: str
    bar_close_ms: int
    price: float
    market: MarketView | Missing
    features: FeatureView | Missing
    order_flow: OrderFlowView | Missing
    sources: tuple[SourceScore, ...]
    opinions: tuple[Opinion, ...]
    validation: Validation | None
    consensus: Consensus | None
    records: tuple[PhaseRecord, ...]
    conditions: tuple[ConditionChange, ...] = ()
    panel: PanelView = NO_PANEL


@dataclass(frozen=True, slots=True)
class Decision:
    """The final word on one proposal, or the HOLD of a bar on which nobody proposed.

    One per (run, symbol, bar close, strategy). HOLD always has quantity 0 and no intent (ORC-14).
    ``blocking_phase`` is the number of the phase that stopped it, None where it passed or nobody
    proposed. ``valid_until_ms`` is venue time. ``records`` holds phases 7 and 8.
    """

    strategy: str
    symbol: str
    bar_close_ms: int
    action: Action
    confidence: float
    quantity_base: Decimal
    price: float
    stop_price: Decimal | None
    target_price: Decimal | None
    reasons: tuple[Reason, ...]
    reason_code: str
    blocking_phase: int | None
    sizing: Sizing | None
    proposal: Proposal | None
    intent: OrderIntent | None
    valid_until_ms: int
    records: tuple[PhaseRecord, ...]
    policy: dict[str, JsonValue] = field(default_factory=dict)
    inputs: dict[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settlement:
    """Phase 9: an opinion whose outcome is now known (ORC-15). ``outcome_up`` is 0 or 1."""

    source: str
    symbol: str
    regime: str
    probability_up: float
    outcome_up: int
    brier: float
    opinion_at_ms: int
    settled_at_ms: int


@dataclass(frozen=True, slots=True)
class EvolutionTrigger:
    """Phase 10: a reason to train a candidate (ORC-16). ``kind`` is decline, drift,
    regime_change, schedule, new_data or manual."""

    source: str
    kind: str
    text: str
    value: float
    limit: float
    at_ms: int
