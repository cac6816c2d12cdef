"""The pages of decisions: explorer, one decision's trace, how well and how fast it is decided."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.dateparse import parse_datetime
from django.utils.timezone import make_aware
from django.views.decorators.http import require_GET

from accounts.models import Scope
from accounts.pages import needs, page_of, query_of
from engine.types.decisions import PHASES, Action
from monitoring import decisions
from monitoring.views import run_asked
from strategies.models import Strategy
from trades.selectors import (
    STAGES,
    decision_funnel,
    decision_get,
    decision_list,
    decision_performance,
    decision_replay,
)

JOBS_SHOWN = 20
PHASE_NUMBERS = frozenset(str(n) for n in range(1, len(PHASES) + 1))
FILTERS = ("strategy", "symbol", "action", "phase", "reason", "stage", "since", "until")


@require_GET
@needs(Scope.READ)
def decision_page(request: HttpRequest) -> HttpResponse:
    run = run_asked(request)
    filters = _filters(request)
    scope = {
        "run": run,
        "strategy": filters["strategy"] or None,
        "symbol": filters["symbol"] or None,
        "since": moment_asked(filters["since"]),
        "until": moment_asked(filters["until"]),
    }
    rows = decision_list(
        **scope,
        action=filters["action"] or None,
        blocking_phase=int(filters["phase"]) if filters["phase"] else None,
        reason_code=filters["reason"] or None,
        stage=filters["stage"] or None,
    )
    funnel = decision_funnel(**scope)
    return render(
        request,
        "monitoring/decisions.html",
        {
            "page": "decisions",
            "tab": "explorer",
            "rows": page_of(request, rows),
            "filters": filters,
            "query": query_of(request),
            "strategies": Strategy.objects.values_list("code", flat=True),
            "symbols": run.symbols if run else [],
            "actions": [action.value for action in Action],
            "phases": [(n, decisions.phase_title(n)) for n in range(1, len(PHASES) + 1)],
            "funnel": decisions.funnel_rows(funnel, request.GET),
            "losses": decisions.loss_rows(funnel, request.GET),
            "reasons": sorted({loss.reason_code for loss in funnel.losses}),
        },
    )


@require_GET
@needs(Scope.READ)
def decision_trace(request: HttpRequest, code: uuid.UUID) -> HttpResponse:
    view = decisions.decision_view(code)
    if view is None:
        raise Http404("no such decision")
    context = {"page": "decisions", "tab": "", "detail": view, "phases": view["phases"]}
    return render(request, "monitoring/decision.html", context)


@require_GET
@needs(Scope.READ)
def performance_page(request: HttpRequest) -> HttpResponse:
    run = run_asked(request)
    found = decision_performance(run=run)
    rows = [(decisions.phase_title(row.number), row) for row in found.latencies]
    context = {"page": "decisions", "tab": "performance", "found": found, "latencies": rows}
    return render(request, "monitoring/performance.html", context)


@require_GET
@needs(Scope.READ, is_data=True)
def replay_data(request: HttpRequest, code: uuid.UUID) -> HttpResponse:
    decision = decision_get(code)
    if decision is None:
        raise Http404("no such decision")
    return JsonResponse(decisions.replay_view(decision_replay(decision)))


def _filters(request: HttpRequest) -> dict[str, str]:
    filters = {name: request.GET.get(name, "") for name in FILTERS}
    if filters["phase"] not in PHASE_NUMBERS:
        filters["phase"] = ""
    if filters["stage"] not in STAGES:
        filters["stage"] = ""
    for name in ("since", "until"):
        if moment_asked(filters[name]) is None:
            filters[name] = ""
    return filters


def moment_asked(text: str) -> datetime | None:
    """Return venue time of an address's text, in the page's zone where it names none; None where it
    is no time."""
    try:
        at = parse_datetime(text)
        if at is None:
            return None
        # a zone can push the first and the last day of the calendar out of it
        return (make_aware(at) if at.tzinfo is None else at).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
