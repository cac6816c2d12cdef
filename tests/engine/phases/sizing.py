"""One question to phase 7: a proposal, an account, a layer that says what it is told to."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from engine.failsafe import Failure
from engine.phases.config import PipelineConfig
from engine.phases.entry_gates import Question
from engine.phases.risk_and_sizing import (
    Answer,
    assess_risk_and_size,
)
from engine.policy import BasePolicy
from engine.ports import Assessment, OptimizationPolicy
from engine.types.bars import Snapshot
from engine.types.ledger import Trade
from engine.types.opinions import (
    MarketView,
    Missing,
    Proposal,
    Regime,
)
from tests.engine.phases.scene import (
    CONFIG,
    analysis,
    context,
    entry,
    snapshot,
)

PRICE = snapshot().instrument.price(snapshot().close)


class Layer(BasePolicy):
    """An optimization layer that says what it is told to."""

    def __init__(
        self,
        multiplier: Callable[[], Any] = lambda: 1.0,
        assessment: Callable[[], Any] | None = None,
    ) -> None:
        super().__init__()
        self._multiplier = multiplier
        self._assessment = assessment

    def assess(
        self, proposal: Proposal, market: MarketView | Missing, confluence: int
    ) -> Assessment:
        if self._assessment is None:
            return super().assess(proposal, market, confluence)
        answer: Assessment = self._assessment()
        return answer

    def size_multiplier(
        self, proposal: Proposal, assessment: Assessment, market: MarketView | Missing
    ) -> float:
        answer: float = self._multiplier()
        return answer

    def record_outcome(self, trade: Trade) -> None:
        raise RuntimeError("no outcome today")

    def weights(self, regime: Regime) -> dict[str, float]:
        raise RuntimeError("no weights today")


def times(multiplier: float) -> Layer:
    return Layer(lambda: multiplier)


def ask(
    proposal: Proposal | None = None,
    policy: OptimizationPolicy | None = None,
    *,
    config: PipelineConfig = CONFIG,
    failures: list[Failure] | None = None,
    late_ms: int = 0,
    shortable: bool = False,
    seen: dict[str, Any] | None = None,
    at: Snapshot | None = None,
    **account: Any,
) -> Answer:
    """Judge a proposal; ``seen`` are changes to the analysis, the rest changes to the account."""
    at = at or snapshot(late_ms=late_ms, shortable=shortable)
    report = [].append if failures is None else failures.append
    question = Question(
        proposal or entry(), at, analysis(at, **(seen or {})), context(**account), config, report
    )
    return assess_risk_and_size(question, policy or BasePolicy())


def size(*given: Any, **changes: Any) -> Decimal:
    return ask(*given, **changes).sizing.quantity_base


def denial_of(answer: Answer) -> str:
    assert answer.sizing.quantity_base == 0
    assert answer.sizing.denied is not None
    return answer.sizing.denied.code


def raising() -> Any:
    raise RuntimeError("layer is broken")
