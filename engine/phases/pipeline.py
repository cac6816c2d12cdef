"""The ten phases in order: a table of contents, and what happens when one of them fails.

1 market_analysis   2 feature_engineering   3 microstructure      side by side, on the event
4 source_selection  5 cross_validation      6 ensemble            once a bar
7 risk_and_sizing   8 final_decision                              once a proposal
9 learning         10 evolution                                   proposed here, applied between events
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from engine.executors import Failed
from engine.failsafe import FailSafe, Failure
from engine.phases import (
    evolution,
    feature_engineering,
    final_decision,
    learning,
    market_analysis,
    microstructure,
    proposals,
    risk_and_sizing,
)
from engine.phases.beliefs import Believer, Beliefs, Stage
from engine.phases.config import PipelineConfig
from engine.phases.context import DecisionContext, Positions
from engine.phases.recorder import Chain, Recorder
from engine.ports import Executor, LearnedSource, OptimizationPolicy, RuleSource
from engine.scoreboard import Scoreboard
from engine.types.bars import Snapshot
from engine.types.decisions import (
    PHASES,
    Analysis,
    Decision,
    EvolutionTrigger,
    JsonValue,
    PhaseRecord,
    PhaseStatus,
    Reason,
    Settlement,
)
from engine.types.opinions import FeatureView, MarketView, Missing, OrderFlowView, Proposal, ProposalKind

_BELIEFS = "phases 4-6"


@dataclass(frozen=True, slots=True)
class LearningResult:
    """Phases 9 and 10 of one bar, as proposals: nothing has changed until they are applied."""

    settlements: tuple[Settlement, ...]
    triggers: tuple[EvolutionTrigger, ...]
    records: tuple[PhaseRecord, ...]
    learned: learning.Learned | None = None
    evolution: evolution.EvolutionStep | None = None
