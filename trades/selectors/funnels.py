"""How many decisions came how far: evaluated, proposed, approved, ordered, traded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q

from engine.phases.final_decision import PLATFORM
from engine.types.decisions import Action
from trades.models import Decision, TradingRun

# Each stage is a filter over decisions, so that a number and the list behind it are one thing.
STAGES: dict[str, Q] = {
    "evaluated": Q(),
    "proposed": ~Q(strategy=PLATFORM),
    "approved": ~Q(action=Action.HOLD.value),
    "ordered": Q(orders__sent_at__isnull=False),
    "traded": Q(orders__fills__isnull=False),
}


@dataclass(frozen=True, slots=True)
class FunnelStage:
    """``n`` decisions reached the stage; ``by_strategy`` counts those that proposed."""

    stage: str
    n: int
    by_strategy: dict[str, int]


@dataclass(frozen=True, slots=True)
class FunnelLoss:
    """Where decisions ended that went no further: blocking phase and reason, commonest first."""

    blocking_phase: int | None
    reason_code: str
    n: int


@dataclass(frozen=True, slots=True)
class DecisionFunnel:
    stages: list[FunnelStage]
    losses: list[FunnelLoss]


def decision_funnel(
    *,
    run: TradingRun | None,
    symbol: str | None = None,
    strategy: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> DecisionFunnel:
    """Return how far the decisions of a run came (six queries); all zero without a run."""
    wanted = {
        "symbol": symbol,
        "strategy": strategy,
        "bar_close_at__gte": since,
        "bar_close_at__lt": until,
    }
    rows = Decision.objects.filter(
        run=run, **{name: value for name, value in wanted.items() if value is not None}
    )
    stages = []
    for stage, condition in STAGES.items():
        counted = rows.filter(condition).values("strategy")
        by_strategy: Counter[str] = Counter()
        for row in counted.annotate(n=Count("id", distinct=True)).order_by("strategy"):
            by_strategy[row["strategy"]] += row["n"]
        n = sum(by_strategy.values())
        del by_strategy[PLATFORM]
        stages.append(FunnelStage(stage, n, dict(by_strategy)))
    held = rows.filter(action=Action.HOLD.value).values("blocking_phase", "reason_code")
    ends = held.annotate(n=Count("id")).order_by("-n", "reason_code")
    losses = [FunnelLoss(e["blocking_phase"], e["reason_code"], e["n"]) for e in ends]
    return DecisionFunnel(stages, losses)
