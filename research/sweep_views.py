"""The page of sweeps: start one, watch it, read its out-of-sample column."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.errors import Refused
from accounts.models import Scope
from accounts.pages import needs, page_of, query_of
from research.errors import ReplayInvalid
from research.models import Sweep, SweepStatus
from research.selectors import data_folders, source_choices, sweep_get, sweep_list, sweep_paths
from research.sweep_services import sweep_change, sweep_start
from strategies.core.registry import RULES, parameter_defaults

ACTS = {
    "pause": SweepStatus.PAUSED,
    "resume": SweepStatus.QUEUED,
    "abort": SweepStatus.ABORTED,
}


@require_GET
@needs(Scope.READ)
def sweep_page(request: HttpRequest) -> HttpResponse:
    return _page(request, entered={"trials": "30", "folds": "3", "seed": "1"}, errors=[])


@require_POST
@needs(Scope.OPERATE)
def sweep_ask(request: HttpRequest) -> HttpResponse:
    form = request.POST
    given: dict[str, Any] = {
        "data": form.getlist("data"),
        "strategy": form.get("strategy", ""),
        **{name: _whole(form.get(name, "")) for name in ("trials", "folds", "seed")},
    }
    try:
        given["ranges"] = _ranges(form.get("ranges", ""))
        sweep_start(given=given, folders=data_folders(), actor=request.user.get_username())
    except Refused as refused:
        lines = refused.lines if isinstance(refused, ReplayInvalid) else [str(refused)]
        entered = {**form.dict(), "data": given["data"]}
        return _page(request, entered=entered, errors=lines, status=400)
    messages.success(request, "The sweep waits for a worker; it usually starts within 5 s.")
    return redirect("sweep-list")


@require_POST
@needs(Scope.OPERATE)
def sweep_act(request: HttpRequest, code: uuid.UUID) -> HttpResponse:
    """Pause, resume or abort, with a reason."""
    sweep, act = sweep_get(code), request.POST.get("act", "")
    if sweep is None or act not in ACTS:
        raise Http404("no such sweep or act")
    actor, reason = request.user.get_username(), request.POST.get("reason", "")
    try:
        sweep_change(sweep=sweep, to=ACTS[act], actor=actor, reason=reason)
    except Refused as refused:
        messages.error(request, f"Nothing was changed: {refused}")
    else:
        messages.success(request, f"The sweep of {sweep.request['strategy']}: {act}.")
    return redirect("sweep-list")


def _page(
    request: HttpRequest, *, entered: dict[str, Any], errors: list[str], status: int = 200
) -> HttpResponse:
    rows = page_of(request, sweep_list())
    paths = sweep_paths(list(rows))
    context = {
        "page": "replays",
        "rows": rows,
        "shown": [(sweep, _acts(sweep), paths[sweep.pk]) for sweep in rows],
        "query": query_of(request),
        "choices": source_choices(),
        "strategies": [(code, ", ".join(parameter_defaults()[code])) for code in RULES],
        "entered": entered,
        "errors": errors,
    }
    return render(request, "research/sweeps.html", context, status=status)


def _acts(sweep: Sweep) -> tuple[str, ...]:
    if sweep.status in (SweepStatus.QUEUED, SweepStatus.RUNNING):
        return ("pause", "abort")
    if sweep.status == SweepStatus.PAUSED:
        return ("resume", "abort")
    return ("resume",) if sweep.status == SweepStatus.FAILED else ()


def _ranges(text: str) -> dict[str, list[float]]:
    """Return ranges of lines like ``stop_atr 1 4``."""
    found: dict[str, list[float]] = {}
    for line in text.splitlines():
        words = line.replace(",", " ").split()
        if not words:
            continue
        try:
            found[words[0]] = [float(word) for word in words[1:]]
        except ValueError:
            raise ReplayInvalid(
                [f"ranges had {line!r}, allowed: NAME LOW HIGH such as stop_atr 1 4"]
            ) from None
    return found


def _whole(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else text
