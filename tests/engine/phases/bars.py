"""One bar through all ten phases, and where to put an exception into each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from engine.executors import ThreadedExecutor
from engine.phases import (
    beliefs,
    feature_engineering,
    final_decision,
    market_analysis,
    microstructure,
    risk_and_sizing,
)
from engine.phases.evolution import EvolutionWatch
from engine.phases.learning import PendingOpinions
from engine.phases.pipeline import LearningResult, Pipeline
from engine.types.bars import ColumnStore, Snapshot
from engine.types.decisions import Analysis, Decision, PhaseRecord
from engine.types.opinions import Proposal
from tests.engine.phases.scene import (
    BARS,
    CONFIG,
    Rule,
    context,
    fail_safe,
    snapshot,
)

STORE = ColumnStore(BARS)
BUYER = Rule("one", 0.6, side=1)
RULES_ONLY = replace(CONFIG, ensemble_trades=False)


@dataclass
class Bar:
    """Everything one bar led to."""

    analysis: Analysis
    decision: Decision
    learned: LearningResult

    @property
    def records(self) -> tuple[PhaseRecord, ...]:
        return (*self.analysis.records, *self.decision.records, *self.learned.records)

    @property
    def statuses(self) -> list[str]:
        return [record.status.value for record in self.records]


def decide(
    phases: Pipeline,
    row: int = 650,
    proposal: Proposal | None = None,
    *,
    at: Snapshot | None = None,
    **account: Any,
) -> Bar:
    """One bar from the event to what it taught; the first proposal where none is given."""
    now = at or snapshot(row, store=STORE)
    found = phases.analyse(now)
    given = context(**account)
    proposals = (proposal,) if proposal else phases.proposals(now, found, given.positions)
    if proposals:
        decision = phases.decide(proposals[0], now, found, given)
    else:
        decision = phases.hold(now, found)
    learned = phases.apply_learning(phases.after(now, found, [decision]))
    return Bar(found, decision, learned)


# where an exception goes in to hit each phase
TARGETS: dict[int, tuple[Any, str]] = {
    1: (market_analysis, "analyse_market"),
    2: (feature_engineering, "build_features"),
    3: (microstructure, "read_order_flow"),
    4: (beliefs, "select_sources"),
    5: (beliefs, "cross_validate"),
    6: (beliefs, "combine"),
    7: (risk_and_sizing, "assess_risk_and_size"),
    8: (final_decision, "finalise"),
    9: (PendingOpinions, "due"),
    10: (EvolutionWatch, "due"),
}


def explode(*given: object, **named: object) -> None:
    raise RuntimeError("injected fault 42")


def threaded(clock: Callable[[], float] | None = None, deadline_s: float = 30.0) -> dict[str, Any]:
    safe = fail_safe()
    return {
        "executor": ThreadedExecutor(deadline_s, clock or (lambda: 0.0), safe),
        "fail_safe": safe,
    }
