"""The pages of learning: sources, evolution, one model; and what a person may ask for there."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from accounts.errors import Refused
from accounts.models import Scope
from accounts.pages import back_to, needs, page_of, query_of
from monitoring import evolution, sources
from monitoring.counterfactual import counterfactual_view
from monitoring.views import run_asked
from strategies.models import TrainingJob
from strategies.training import training_abort
from trades.services import predictor_evolve


@require_GET
@needs(Scope.READ)
def source_page(request: HttpRequest) -> HttpResponse:
    run = run_asked(request)
    context = {
        "page": "decisions",
        "tab": "sources",
        "groups": sources.source_groups(run),
        "seats": sources.seat_list(run),
        "series": sources.source_series(run),
        "horizon_bars": sources.horizon_bars(run),
    }
    return render(request, "monitoring/sources.html", context)


@require_GET
@needs(Scope.READ)
def evolution_page(request: HttpRequest) -> HttpResponse:
    run, filters = run_asked(request), _filters(request)
    context = {
        "page": "decisions",
        "tab": "evolution",
        "filters": filters,
        "lists": evolution.LISTS,
        "choices": evolution.choices(run),
        "seats": sources.seat_list(run),
        "query": query_of(request),
    }
    if filters.shown == evolution.TRIGGERS:
        context["rows"] = page_of(request, evolution.triggers(run, filters))
    elif filters.shown == evolution.TRAININGS:
        context["rows"] = page_of(request, evolution.trainings(filters))
        context["trainings"] = [evolution.training_of(job) for job in context["rows"]]
    else:
        context["rows"] = page_of(request, evolution.steps(filters))
        context["steps"] = [evolution.step_of(event) for event in context["rows"]]
    return render(request, "monitoring/evolution.html", context)


@require_GET
@needs(Scope.READ)
def model_page(request: HttpRequest, model_id: int) -> HttpResponse:
    found = evolution.model_view(model_id)
    if found is None:
        raise Http404("no such model")
    return render(request, "monitoring/model.html", {"page": "decisions", "tab": "", **found})


@require_POST
@needs(Scope.OPERATE)
def evolve(request: HttpRequest) -> HttpResponse:
    """Ask for a new model of one predictor now, with a reason (ORC-16)."""
    code = request.POST.get("predictor", "")
    try:
        jobs = predictor_evolve(
            code=code, actor=request.user.get_username(), reason=request.POST.get("reason", "")
        )
    except Refused as refused:
        messages.error(request, f"Nothing is trained: {refused}")
    else:
        messages.success(request, f"{code}: {len(jobs)} training asked for; a worker takes it up.")
    return back_to(request, "evolution")


@require_POST
@needs(Scope.OPERATE)
def training_stop(request: HttpRequest) -> HttpResponse:
    """Abort one training that waits or runs, with a reason."""
    number = request.POST.get("job", "")
    known = number.isdecimal() and len(number) < 16
    job = TrainingJob.objects.filter(pk=int(number)).first() if known else None
    if job is None:
        raise Http404("no such training")
    try:
        training_abort(
            job=job, actor=request.user.get_username(), reason=request.POST.get("reason", "")
        )
    except Refused as refused:
        messages.error(request, f"Nothing was stopped: {refused}")
    else:
        messages.success(request, f"The training of {job.code} was aborted.")
    return back_to(request, "evolution")


@require_GET
@needs(Scope.READ, is_data=True)
def counterfactual_data(request: HttpRequest) -> HttpResponse:
    return JsonResponse(counterfactual_view(run_asked(request)))


def _filters(request: HttpRequest) -> evolution.Filters:
    asked = evolution.Filters(
        shown=request.GET.get("list", ""),
        code=request.GET.get("code", ""),
        stage=request.GET.get("stage", ""),
        kind=request.GET.get("kind", ""),
    )
    return asked if asked.shown in evolution.LISTS else asked._replace(shown=evolution.STEPS)
