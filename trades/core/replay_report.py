"""What a stored decision is made again from, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from engine.phases.config import PipelineConfig
from engine.ports import RuleSource
from engine.types.bars import BarColumns, Instrument
from trades.core.decision_documents import Json

PRICE, STATE, CONFIG, CODE = "price", "state", "config", "code"
RECOMPUTED, RECORDED, FOLLOWS = "recomputed", "recorded", "follows"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDecision:
    """Everything that is on record of one decision, and the settings and code of today.

    ``bars`` are the candles that are stored now for the window of then; the row of the decision
    is the last one.
    """

    strategy: str
    symbol: str
    bar_close_ms: int
    action: str
    quantity_base: Decimal
    reason_code: str
    confidence: float
    price: float
    document: Json
    analysis: Json
    bars: BarColumns
    instrument: Instrument
    rules: Sequence[RuleSource]
    config: PipelineConfig
    limits_now: Mapping[str, object]
    config_then: str
    config_now: str
    code_then: str
    code_now: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided, and the digest of its canonical line (as a run's digest counts it)."""

    action: str
    quantity_base: str
    reason_code: str
    confidence: float
    digest: str


@dataclass(frozen=True, slots=True)
class PhaseComparison:
    """One phase then and now; ``same`` is None where it was not recomputed."""

    number: int
    name: str
    source: str
    same: bool | None
    digest_then: str
    digest_now: str
    note: str


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was. ``phase`` is None where it is about the whole."""

    label: str
    phase: int | None
    what: str
    then: str
    now: str


@dataclass(slots=True)
class DecisionReplay:
    """``same``: the verdict came out with the same digest and nothing differed on the way."""

    verdict_then: Verdict
    code_then: str
    code_now: str
    verdict_now: Verdict | None = None
    phases: list[PhaseComparison] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    @property
    def same_verdict(self) -> bool:
        return self.verdict_now is not None and self.verdict_now.digest == self.verdict_then.digest

    @property
    def same(self) -> bool:
        return self.same_verdict and not self.differences
