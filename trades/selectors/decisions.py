"""What was decided, its ten phases, and why nothing was traded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from engine.types.decisions import PHASES
from trades.models import Decision, Order, TradingRun
from trades.selectors.funnels import STAGES
from trades.stored import analysis_document, decision_document


@dataclass(frozen=True, slots=True)
class DecisionDetail:
    """One decision with what led to it. ``phases`` always has ten entries, in order; one that
    was not stored is ``skipped`` and says so."""

    decision: Decision
    phases: list[dict[str, Any]]
    opinions: list[Any]
    sources: list[Any]
    consensus: dict[str, Any] | None
    sizing: dict[str, Any] | None
    proposal: dict[str, Any] | None
    policy: dict[str, Any]
    orders: list[Order]


def decision_list(
    *,
    run: TradingRun | None,
    symbol: str | None = None,
    strategy: str | None = None,
    action: str | None = None,
    blocking_phase: int | None = None,
    reason_code: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    stage: str | None = None,
) -> QuerySet[Decision]:
    """Return decisions of one run without their payloads, newest first; none without a run.

    ``since`` and ``until`` bound the bar's close (until excluded); ``stage`` is one of the
    funnel's (see ``funnel``).
    """
    wanted = {
        "symbol": symbol,
        "strategy": strategy,
        "action": action,
        "blocking_phase": blocking_phase,
        "reason_code": reason_code,
        "bar_close_at__gte": since,
        "bar_close_at__lt": until,
    }
    rows = Decision.objects.filter(
        run=run, **{name: value for name, value in wanted.items() if value is not None}
    )
    if stage is not None:
        rows = rows.filter(STAGES[stage]).distinct()
    return rows.select_related("run").defer("payload").order_by("-bar_close_at", "-id")


def decision_get(code: UUID) -> Decision | None:
    """Return one decision with its run, analysis and orders, or None."""
    rows = Decision.objects.select_related("run", "analysis").prefetch_related("orders")
    return rows.filter(code=code).first()


def decision_detail(decision: Decision) -> DecisionDetail:
    """Merge the phases stored with the bar (1-6, 9, 10) and with the decision (7, 8)."""
    shared, own = analysis_document(decision.analysis), decision_document(decision)
    return DecisionDetail(
        decision=decision,
        phases=_phases(shared, own),
        opinions=shared.get("opinions") or [],
        sources=shared.get("sources") or [],
        consensus=shared.get("consensus"),
        sizing=own.get("sizing"),
        proposal=own.get("proposal"),
        policy=own.get("policy") or {},
        orders=list(decision.orders.all()),
    )


def phases_of(decision: Decision) -> list[dict[str, Any]]:
    """Return the ten phase records of a decision, in order."""
    return _phases(analysis_document(decision.analysis), decision_document(decision))


def _phases(shared: dict[str, Any], own: dict[str, Any]) -> list[dict[str, Any]]:
    stored = [*shared.get("records", []), *own.get("records", [])]
    by_number = {record["number"]: record for record in stored}
    return [
        by_number.get(number) or _not_stored(number, name)
        for number, name in enumerate(PHASES, start=1)
    ]


def _not_stored(number: int, name: str) -> dict[str, Any]:
    text = "this phase left no record for this decision"
    return {
        "number": number,
        "name": name,
        "status": "skipped",
        "duration_us": None,
        "input_digest": "",
        "output_digest": "",
        "output": {},
        "reasons": [{"code": "NOT_RECORDED", "text": text, "value": None, "limit": None}],
    }
