"""Pages of replays: start one, watch it, read it, compare; and its report as a file."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.errors import Refused
from accounts.models import Scope
from accounts.pages import needs, page_of, query_of
from research import presenting
from research.core.report import figures_lack
from research.core.report_html import evidence_words
from research.errors import ReplayInvalid
from research.models import ReplayJob, ReplayStatus
from research.requests import BOOKS, PREDICTORS, STRATEGIES
from research.selectors import (
    data_folders,
    replay_get,
    replay_list,
    replays_of,
    source_choices,
    stored_choice,
)
from research.services import replay_abort, replay_note, replay_start

COMPARED_AT_MOST = 4
NO_PREDICTORS = "none"


@require_GET
@needs(Scope.READ)
def replay_page(request: HttpRequest) -> HttpResponse:
    entered = {"predictors": NO_PREDICTORS, "seed": "1"}
    choices = source_choices()
    if not choices["files"] and choices["venues"]:
        # what a run has stored is all that a newcomer can replay
        entered |= stored_choice(choices["venues"])
    return _list_page(request, entered=entered, errors=[])


@require_POST
@needs(Scope.OPERATE)
def start(request: HttpRequest) -> HttpResponse:
    """Queue what the form asks for; what is wrong comes back with the form, a line an error."""
    form = request.POST
    given: dict[str, Any] = {
        "data": form.getlist("data"),
        "venue": form.get("venue", ""),
        "symbols": [part.strip() for part in form.get("symbols", "").split(",") if part.strip()],
        "timeframe": form.get("timeframe", "").strip(),
        "from": form.get("from", "").strip(),
        "to": form.get("to", "").strip(),
        "strategies": form.getlist("strategies"),
        "predictors": _predictors(form.get("predictors", NO_PREDICTORS)),
        "layer": form.get("layer") == "on",
        "cash": form.get("cash", "").strip(),
        "slippage_bps": form.get("slippage_bps", "").strip(),
        "seed": _whole(form.get("seed", "")),
        "book": form.get("book", "none"),
    }
    try:
        job = replay_start(
            given=given,
            folders=data_folders(),
            actor=request.user.get_username(),
            notes=form.get("notes", "").strip(),
        )
    except Refused as refused:
        lines = refused.lines if isinstance(refused, ReplayInvalid) else [str(refused)]
        entered = {**form.dict(), "data": given["data"], "strategies": given["strategies"]}
        return _list_page(request, entered=entered, errors=lines, status=400)
    messages.success(request, "The replay waits for a worker; it usually starts within 3 s.")
    return redirect("replay-page", code=job.code)


@require_GET
@needs(Scope.READ)
def replay_detail(request: HttpRequest, code: uuid.UUID) -> HttpResponse:
    job = _found(code)
    report = job.report
    context = {
        "page": "replays",
        "job": job,
        "title": presenting.replay_title(job.request),
        "is_open": job.status in presenting.OPEN,
        "asked": presenting.request_lines(job),
        "report": report,
        "span": presenting.span_words(report),
    }
    if report:
        context |= {
            "lack": figures_lack(job.result or {}, report),
            "funnel": presenting.funnel_rows(report),
            "refused": presenting.refused_rows(report),
            "trades": presenting.trade_rows(report),
            "evidence": evidence_words(report.get("sharpe_evidence")),
            "series": [{"name": "this replay", **report["series"]}],
        }
    return render(request, "research/replay.html", context)


@require_GET
@needs(Scope.READ)
def compare(request: HttpRequest) -> HttpResponse:
    """Two to four finished replays side by side; differences are from the first."""
    asked = [_uuid(text) for text in request.GET.getlist("code")[:COMPARED_AT_MOST]]
    jobs = [job for job in replays_of(asked) if job.status == ReplayStatus.DONE]
    if len(jobs) < 2:
        messages.error(request, "Choose two to four finished replays to compare.")
        return redirect("replay-list")
    heads = [(job, presenting.replay_title(job.request)) for job in jobs]
    context = {
        "page": "replays",
        "heads": heads,
        "rows": presenting.compared_rows(jobs),
        "asked": presenting.compared_requests(jobs),
        "series": [
            {"name": f"{at}. {title}", **(job.report or {})["series"]}
            for at, (job, title) in enumerate(heads, start=1)
        ],
    }
    return render(request, "research/compare.html", context)


@require_GET
@needs(Scope.READ)
def report_file(request: HttpRequest, code: uuid.UUID) -> HttpResponse:
    """The report as one file to keep: as a download, because it brings its own styles."""
    job = _found(code)
    if job.status != ReplayStatus.DONE:
        raise Http404("this replay has no report yet")
    answer = HttpResponse(presenting.job_report_html(job), content_type="text/html; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="replay-{job.code}.html"'
    return answer


@require_GET
@needs(Scope.READ, is_data=True)
def progress_data(request: HttpRequest) -> HttpResponse:
    """How far the named replays are."""
    asked = [_uuid(text) for text in request.GET.getlist("code")[:50]]
    rows = replay_list().filter(code__in=asked)
    names = ("status", "progress_fraction", "bars_done", "bars_total", "bars_per_s")
    found = {str(job.code): {name: getattr(job, name) for name in names} for job in rows}
    return JsonResponse({"replays": found})


@require_POST
@needs(Scope.OPERATE)
def abort(request: HttpRequest, code: uuid.UUID) -> HttpResponse:
    reason = request.POST.get("reason", "")
    try:
        replay_abort(job=_found(code), actor=request.user.get_username(), reason=reason)
    except Refused as refused:
        messages.error(request, f"Nothing was stopped: {refused}")
    else:
        messages.success(request, "The replay stops at its next sign of progress.")
    return redirect("replay-page", code=code)


@require_POST
@needs(Scope.OPERATE)
def note(request: HttpRequest, code: uuid.UUID) -> HttpResponse:
    notes = request.POST.get("notes", "").strip()
    try:
        replay_note(job=_found(code), notes=notes, actor=request.user.get_username())
    except Refused as refused:
        messages.error(request, f"The notes were not kept: {refused}")
    else:
        messages.success(request, "The notes were kept.")
    return redirect("replay-page", code=code)


def _list_page(
    request: HttpRequest, *, entered: dict[str, Any], errors: list[str], status: int = 200
) -> HttpResponse:
    rows = page_of(request, replay_list())
    context = {
        "page": "replays",
        "rows": rows,
        "shown": [
            (job, presenting.replay_title(job.request), job.status in presenting.OPEN)
            for job in rows
        ],
        "query": query_of(request),
        "choices": source_choices(),
        "strategies": STRATEGIES,
        "predictors": tuple(PREDICTORS),
        "books": BOOKS,
        "entered": entered,
        "errors": errors,
    }
    return render(request, "research/replays.html", context, status=status)


def _predictors(text: str) -> list[str] | None:
    if text == "all":
        return None
    return [] if text == NO_PREDICTORS else [text]


def _whole(text: str) -> int | str:
    """Return a number, or the text as it was for the line that refuses it."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else text


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise Http404("no such replay") from None


def _found(code: uuid.UUID) -> ReplayJob:
    job = replay_get(code)
    if job is None:
        raise Http404("no such replay")
    return job
