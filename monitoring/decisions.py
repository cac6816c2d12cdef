"""What was decided and why, told so that a person understands it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet
from django.http import QueryDict

from engine.types.decisions import PHASES, Action
from monitoring.charts import as_float, as_ms, datetime_of
from trades.core.replay_report import DecisionReplay
from trades.models import Decision, Fill, Order, RejectedEvent, TradingRun
from trades.selectors import (
    DecisionFunnel,
    decision_detail,
    decision_get,
    decision_list,
    decision_why_not,
)

STREAM_SHOWN = 80
# How far back "lately" reaches, in bars of the run.
LATELY_BARS = 120

PHASE_TITLES = {
    "market_analysis": "Market condition",
    "feature_engineering": "Features",
    "microstructure": "Order flow and liquidity",
    "source_selection": "Source selection",
    "cross_validation": "Cross-validation",
    "ensemble": "Ensemble",
    "risk_and_sizing": "Risk and sizing",
    "final_decision": "Final decision",
    "learning": "Learning",
    "evolution": "Evolution",
}


def phase_title(number: int | None) -> str:
    if number is None or not 1 <= number <= len(PHASES):
        return ""
    return PHASE_TITLES[PHASES[number - 1]]


def decision_row(decision: Decision) -> dict[str, Any]:
    """Return one line of the stream, in the shape of the ``decisions`` topic."""
    return {
        "id": str(decision.code),
        "at_ms": as_ms(decision.bar_close_at),
        "strategy": decision.strategy,
        "symbol": decision.symbol,
        "action": decision.action,
        "confidence": as_float(decision.confidence),
        "quantity": as_float(decision.quantity_base),
        "price": as_float(decision.price),
        "reason_code": decision.reason_code,
        "reason": decision.reason,
        "blocking_phase": decision.blocking_phase,
    }


def decision_stream(run: TradingRun) -> list[dict[str, Any]]:
    """Return the newest decisions, and the newest actions even where many HOLDs followed."""
    listed = decision_list(run=run)
    newest = list(listed[:STREAM_SHOWN])
    acted = list(listed.exclude(action=Action.HOLD.value)[:STREAM_SHOWN])
    merged = {row.pk: row for row in (*newest, *acted)}
    ordered = sorted(merged.values(), key=lambda row: (row.bar_close_at, row.pk), reverse=True)
    return [decision_row(row) for row in ordered]


def decision_code_at(run: TradingRun, symbol: str, strategy: str, at_ms: int) -> UUID | None:
    return (
        Decision.objects.filter(
            run=run, symbol=symbol, strategy=strategy, bar_close_at=datetime_of(at_ms)
        )
        .values_list("code", flat=True)
        .first()
    )


def decision_view(code: UUID) -> dict[str, Any] | None:
    """Return one decision with its ten phases, orders, sizing and votes; None where unknown."""
    decision = decision_get(code)
    if decision is None:
        return None
    detail, answer = decision_detail(decision), decision_why_not(decision)
    return {
        **decision_row(decision),
        "run": str(decision.run.code),
        "mode": decision.run.mode,
        "is_simulated": decision.run.is_simulated,
        "quote": decision.run.quote,
        "summary": answer.summary,
        "traded": answer.traded,
        "failing": answer.failing,
        "gates": [asdict(gate) for gate in answer.gates],
        "nearest_miss": answer.nearest_miss,
        "near_misses": answer.near_misses,
        "stop_price": as_float(decision.stop_price),
        "target_price": as_float(decision.target_price),
        "regime": decision.analysis.regime,
        "probability_up": as_float(decision.analysis.probability_up),
        "phases": [{**record, "title": phase_title(record["number"])} for record in detail.phases],
        "sizing": detail.sizing,
        "proposal": detail.proposal,
        "policy": detail.policy,
        "opinions": detail.opinions,
        "sources": detail.sources,
        "consensus": detail.consensus,
        "orders": [_order(row) for row in detail.orders],
    }


def replay_view(replay: DecisionReplay) -> dict[str, Any]:
    """Return a replayed decision for the page."""
    shown = asdict(replay) | {"same": replay.same, "same_verdict": replay.same_verdict}
    for phase in shown["phases"]:
        phase["title"] = phase_title(phase["number"])
    return shown


def funnel_rows(funnel: DecisionFunnel, given: QueryDict) -> list[dict[str, Any]]:
    """Return each stage with its share of the one before and the address of its list."""
    rows, before = [], None
    for stage in funnel.stages:
        share = stage.n / before if before else None
        rows.append(
            {
                "title": STAGE_TITLES[stage.stage],
                "stage": stage.stage,
                "n": stage.n,
                "share_percent": None if share is None else 100.0 * share,
                "width": stage.n / funnel.stages[0].n if funnel.stages[0].n else 0.0,
                "query": _narrowed(given, stage=stage.stage),
                "strategies": [
                    (code, n, _narrowed(given, stage=stage.stage, strategy=code))
                    for code, n in stage.by_strategy.items()
                ],
            }
        )
        before = stage.n
    return rows


def loss_rows(funnel: DecisionFunnel, given: QueryDict) -> list[dict[str, Any]]:
    """Return the commonest ends with the address of their list."""
    return [
        {
            "title": phase_title(loss.blocking_phase) or "nobody proposed",
            "reason_code": loss.reason_code,
            "n": loss.n,
            "query": _narrowed(
                given, stage="", reason=loss.reason_code, phase=str(loss.blocking_phase or "")
            ),
        }
        for loss in funnel.losses[:6]
    ]


def _narrowed(given: QueryDict, **filters: str) -> str:
    """Return the address's query with these filters set and the page number left out."""
    query = given.copy()
    query.pop("page", None)
    for name, value in filters.items():
        query.pop(name, None)
        if value:
            query[name] = value
    return query.urlencode()


STAGE_TITLES = {
    "evaluated": "Evaluated",
    "proposed": "Proposed",
    "approved": "Approved",
    "ordered": "Sent",
    "traded": "Traded",
}


def _order(order: Order) -> dict[str, Any]:
    return {
        "client_order_id": order.client_order_id,
        "side": order.side,
        "purpose": order.purpose,
        "status": order.status,
        "quantity": as_float(order.quantity_base),
        "filled": as_float(order.filled_base),
        "average_price": as_float(order.average_price),
        "refusal": order.refusal_text,
    }


def _lately_since(run: TradingRun) -> datetime | None:
    """Return the venue time from which on something counts as lately; None before any decision."""
    newest = decision_list(run=run).values_list("bar_close_at", flat=True).first()
    return newest and newest - timedelta(milliseconds=run.timeframe_ms * LATELY_BARS)


def _lately(run: TradingRun) -> QuerySet[Decision]:
    since = _lately_since(run)
    if since is None:
        return Decision.objects.none()
    return Decision.objects.filter(run=run, bar_close_at__gt=since)


def funnel(run: TradingRun) -> dict[str, Any]:
    """Return how many decisions of the last LATELY_BARS bars stopped where."""
    counts = list(
        _lately(run)
        .values("action", "blocking_phase", "reason_code")
        .annotate(n=Count("id"))
        .order_by()
    )
    blocked: Counter[int] = Counter()
    reasons: Counter[tuple[str, int | None]] = Counter()
    acted = idle = 0
    for row in counts:
        if row["action"] != Action.HOLD.value:
            acted += row["n"]
            continue
        reasons[row["reason_code"], row["blocking_phase"]] += row["n"]
        if row["blocking_phase"] is None:
            idle += row["n"]
        else:
            blocked[row["blocking_phase"]] += row["n"]
    newest_rejected = _rejected(run).order_by("-id").values_list("reason", flat=True).first()
    return {
        "bars": LATELY_BARS,
        # a bar that is offered again and refused again is one bar
        "rejected": _rejected(run).values("symbol", "event_at").distinct().count(),
        "rejected_reason": newest_rejected or "",
        "late": sum(n for (code, _), n in reasons.items() if code == "STALE_BAR"),
        "evaluated": acted + idle + sum(blocked.values()),
        "acted": acted,
        "nobody_proposed": idle,
        "blocked": [
            {"phase": phase, "title": phase_title(phase), "n": n}
            for phase, n in sorted(blocked.items())
        ],
        "top_reasons": [
            {"reason_code": code, "phase": phase, "n": n}
            for (code, phase), n in reasons.most_common(3)
        ],
    }


def why_no_trade(
    run: TradingRun,
    counts: dict[str, Any],
    control: dict[str, Any],
    pace: dict[str, Any] | None = None,
) -> str:
    """Say in one line why nothing was bought lately; empty where something was.

    Reads the stored reasons: it explains, it does not guess. ``pace`` adds how many bars a young
    run has seen and how fast they come.
    """
    if not counts["evaluated"]:
        if run.last_event_at is None:
            return (
                "No bar has arrived yet. The indicators are warmed up from stored history, so the"
                " first decision follows the first closed bar."
            )
        if counts["rejected"]:
            bars = "bar was" if counts["rejected"] == 1 else "bars were"
            return (
                f"{counts['rejected']} {bars} refused by the quality gate, none was accepted."
                f" Latest: {counts['rejected_reason']}"
            )
        return "Bars arrive, no decision was stored yet."
    if control["state"] != "ACTIVE":
        reason = control["reason"] or control["reason_code"] or "no reason was given"
        return f"Trading is {control['state']}: {reason}"
    if control["holds"]:
        return f"Entries wait by themselves: {'; '.join(control['holds'])}."
    latest = _lately(run)
    if latest.filter(action=Action.BUY.value).exists() or _has_fills(run):
        return ""
    newest = latest.order_by("-bar_close_at", "-id").defer("payload").first()
    parts = [
        f"{row['reason_code'].replace('_', ' ').lower()} {_times(row['n'])}"
        + (f" (phase {row['phase']}, {phase_title(row['phase']).lower()})" if row["phase"] else "")
        for row in counts["top_reasons"]
    ]
    text = f"No entry in {_stretch(counts['bars'], pace)}: {', '.join(parts)}."
    return f"{text} Latest: {newest.reason}" if newest is not None and newest.reason else text


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def _stretch(bars: int, pace: dict[str, Any] | None) -> str:
    seen = pace["bars_seen"] if pace else 0
    if not 0 < seen < bars:
        return f"the last {bars} bars"
    speed = pace and pace["bars_per_s"]
    arriving = f" (arriving at {speed:.1f} a second)" if speed else ""
    return f"the first {seen} bars of this run{arriving}" if seen > 1 else "the run's first bar"


def _has_fills(run: TradingRun) -> bool:
    since = _lately_since(run)
    return since is not None and Fill.objects.filter(run=run, executed_at__gt=since).exists()


def _rejected(run: TradingRun) -> QuerySet[RejectedEvent]:
    rows = RejectedEvent.objects.filter(run=run)
    since = _lately_since(run)
    return rows if since is None else rows.filter(event_at__gt=since)
