"""The system page: components, processes, resources over time, incidents, what was done."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from accounts.errors import Refused
from accounts.models import Scope, SettingsSource
from accounts.pages import back_to, needs
from accounts.roles import reaches, user_scope
from monitoring.system import system_charts, system_page_rows, system_status
from resources.switches import config_change

HOURS = {"0.5": "half an hour", "6": "6 hours", "48": "2 days", "720": "30 days"}


@require_GET
@needs(Scope.READ)
def system_page(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    hours = request.GET.get("hours", "")
    context = {
        "page": "system",
        "status": system_status(now),
        "hours": hours if hours in HOURS else "0.5",
        "hour_choices": HOURS,
        "may_administer": reaches(user_scope(request.user), Scope.ADMIN),
        **system_page_rows(now),
    }
    return render(request, "monitoring/system.html", context)


@require_GET
@needs(Scope.READ, is_data=True)
def system_data(request: HttpRequest) -> HttpResponse:
    hours = request.GET.get("hours", "")
    chosen = float(hours) if hours in HOURS else 0.5
    return JsonResponse(system_charts(timezone.now(), hours=chosen))


@require_POST
@needs(Scope.ADMIN)
def optimizer_switch(request: HttpRequest) -> HttpResponse:
    """Let the optimizer act, or only observe; with a reason, audited."""
    observe_only = request.POST.get("observe_only") == "true"
    try:
        config_change(
            values={"observe_only": observe_only},
            actor=request.user.get_username(),
            reason=request.POST.get("reason", ""),
            source=SettingsSource.PAGE,
        )
    except Refused as refused:
        messages.error(request, f"Nothing was changed: {refused}")
    else:
        messages.success(
            request, "The optimizer only observes." if observe_only else "The optimizer acts."
        )
    return back_to(request, "system")
