"""How well and how fast decisions are made (ORC-19): measured from what is stored."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from engine.ledger_state import DUST
from engine.phases.final_decision import PLATFORM
from engine.types.decisions import PHASES, Action
from trades.models import Decision, Trade, TradingRun
from trades.stored import analysis_document, decision_document

# Latencies are read from this many of the newest decisions: a percentile of more is no truer.
SAMPLED = 400


@dataclass(frozen=True, slots=True)
class PhaseLatency:
    """Milliseconds of one phase; ``n`` is how many records were looked at."""

    number: int
    name: str
    n: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class DecisionPerformance:
    """``mean_confidence`` is of entries; ``hit_rate_fraction`` the share of closed trades with a
    profit; both None where there is nothing to measure. ``fallbacks`` counts phases that ended in
    an error, by phase name, among the decisions sampled for latencies."""

    decisions: int
    sampled: int
    by_action: dict[str, int]
    by_reason: dict[str, int]
    latencies: list[PhaseLatency]
    fallbacks: dict[str, int]
    mean_confidence: float | None
    trades: int
    hit_rate_fraction: float | None


def decision_performance(
    *, run: TradingRun | None, since: datetime | None = None, until: datetime | None = None
) -> DecisionPerformance:
    """Return latency by phase, counts, fallbacks, mean confidence and hit rate of one run."""
    rows = Decision.objects.filter(run=run)
    trades = Trade.objects.filter(run=run).exclude(exit_reason=DUST)
    if since is not None:
        rows, trades = rows.filter(bar_close_at__gte=since), trades.filter(closed_at__gte=since)
    if until is not None:
        rows, trades = rows.filter(bar_close_at__lt=until), trades.filter(closed_at__lt=until)
    actions: Counter[str] = Counter(rows.values_list("action", flat=True))
    reasons: Counter[str] = Counter(rows.values_list("reason_code", flat=True))
    entries = rows.filter(action__in=(Action.BUY.value, Action.SELL.value))
    confidences = list(entries.values_list("confidence", flat=True))
    outcomes = [pnl > 0 for pnl in trades.values_list("pnl_quote", flat=True)]
    newest = rows.select_related("analysis").order_by("-bar_close_at", "-id")[:SAMPLED]
    latencies, fallbacks, sampled = _phases(list(newest))
    return DecisionPerformance(
        decisions=sum(actions.values()),
        sampled=sampled,
        by_action={action.value: actions[action.value] for action in Action},
        by_reason=dict(reasons.most_common()),
        latencies=latencies,
        fallbacks=fallbacks,
        mean_confidence=float(np.mean(confidences)) if confidences else None,
        trades=len(outcomes),
        hit_rate_fraction=sum(outcomes) / len(outcomes) if outcomes else None,
    )


def _phases(rows: list[Decision]) -> tuple[list[PhaseLatency], dict[str, int], int]:
    durations: dict[int, list[float]] = {number: [] for number in range(1, len(PHASES) + 1)}
    fallbacks: Counter[str] = Counter()
    seen: set[int] = set()
    for row in rows:
        records: list[dict[str, Any]] = list(decision_document(row).get("records", []))
        # the shared phases of a bar count once, however many decisions refer to them
        if row.analysis_id not in seen:
            seen.add(row.analysis_id)
            records += analysis_document(row.analysis).get("records", [])
        for record in records:
            is_asked = record["number"] != 7 or row.strategy != PLATFORM
            if record["status"] == "error":
                fallbacks[PHASES[record["number"] - 1]] += 1
            if record.get("duration_us") is not None and is_asked:
                durations[record["number"]].append(record["duration_us"] / 1_000.0)
    told = [
        PhaseLatency(
            number,
            PHASES[number - 1],
            len(values),
            float(np.percentile(values, 50)),
            float(np.percentile(values, 95)),
        )
        for number, values in durations.items()
        if values
    ]
    return told, dict(fallbacks), len(rows)
