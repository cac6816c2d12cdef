"""What was decided, its ten phases, and why nothing was traded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from engine.types.decisions import PHASES, Action
from trades.models import Decision, Order, TradingRun

_STOPS = ("blocked", "error", "missing")
_REFUSED_ORDERS = ("DENIED", "REJECTED", "EXPIRED", "CANCELED")


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


@dataclass(frozen=True, slots=True)
class WhyNot:
    """The first gate that stopped a decision, in words, and every gate that failed."""

    traded: bool
    summary: str
    blocking_phase: int | None
    phase_name: str
    reason_code: str
    failing: list[dict[str, Any]]


def decision_list(
    *,
    run: TradingRun | None,
    symbol: str | None = None,
    strategy: str | None = None,
    action: str | None = None,
    blocking_phase: int | None = None,
    reason_code: str | None = None,
    since: datetime | None = None,
) -> QuerySet[Decision]:
    """Return decisions of one run without their payloads, newest first; none without a run."""
    wanted = {
        "symbol": symbol,
        "strategy": strategy,
        "action": action,
        "blocking_phase": blocking_phase,
        "reason_code": reason_code,
        "bar_close_at__gte": since,
    }
    rows = Decision.objects.filter(
        run=run, **{name: value for name, value in wanted.items() if value is not None}
    )
    return rows.select_related("run").defer("payload").order_by("-bar_close_at", "-id")


def decision_get(code: UUID) -> Decision | None:
    """Return one decision with its run, analysis and orders, or None."""
    rows = Decision.objects.select_related("run", "analysis").prefetch_related("orders")
    return rows.filter(code=code).first()


def decision_detail(decision: Decision) -> DecisionDetail:
    """Merge the phases stored with the bar (1-6, 9, 10) and with the decision (7, 8)."""
    shared, own = decision.analysis.payload, decision.payload
    return DecisionDetail(
        decision=decision,
        phases=_phases(decision),
        opinions=shared.get("opinions") or [],
        sources=shared.get("sources") or [],
        consensus=shared.get("consensus"),
        sizing=own.get("sizing"),
        proposal=own.get("proposal"),
        policy=own.get("policy") or {},
        orders=list(decision.orders.all()),
    )


def decision_why_not(decision: Decision) -> WhyNot:
    """Answer "why no trade?" from what was stored then; nothing is computed again."""
    orders = list(decision.orders.all())
    failing = _failing(decision) + [_refusal(o) for o in orders if o.status in _REFUSED_ORDERS]
    refused = bool(orders) and all(order.status in _REFUSED_ORDERS for order in orders)
    traded = decision.action != Action.HOLD and bool(orders) and not refused
    number = decision.blocking_phase
    return WhyNot(
        traded=traded,
        summary=_summary(decision, traded, failing),
        blocking_phase=number,
        phase_name=PHASES[number - 1] if number else "",
        reason_code=decision.reason_code,
        failing=failing,
    )


def _phases(decision: Decision) -> list[dict[str, Any]]:
    stored = [
        *decision.analysis.payload.get("records", []),
        *decision.payload.get("records", []),
    ]
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


def _failing(decision: Decision) -> list[dict[str, Any]]:
    return [
        {"phase": record["number"], "phase_name": record["name"], **reason}
        for record in _phases(decision)
        if record["status"] in _STOPS
        for reason in record["reasons"]
    ]


def _refusal(order: Order) -> dict[str, Any]:
    code = order.refusal_code or order.status
    text = order.refusal_text or f"order {order.client_order_id} was {order.status}"
    return {"phase": None, "phase_name": "order", "code": code, "text": text}


def _summary(decision: Decision, traded: bool, failing: list[dict[str, Any]]) -> str:
    if traded:
        return f"It was traded: {decision.action} {decision.quantity_base} {decision.symbol}."
    number = decision.blocking_phase
    if number:
        phase = PHASES[number - 1].replace("_", " ")
        return f"Phase {number} ({phase}) stopped it: {decision.reason}"
    if decision.action != Action.HOLD:
        told = "; ".join(reason["text"] for reason in failing) or "no order was stored for it"
        return f"The decision was {decision.action}, but {told}."
    return f"Nobody proposed a trade: {decision.reason or decision.reason_code}"
