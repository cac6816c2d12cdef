"""The page of limits: nothing is changed here, it leads to where that is done."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.models import Scope
from accounts.pages import needs
from monitoring.risk_board import risk_board
from monitoring.views import run_asked


@require_GET
@needs(Scope.READ)
def risk_page(request: HttpRequest) -> HttpResponse:
    run = run_asked(request)
    context = {"page": "risk", "run": run, **risk_board(run)}
    return render(request, "monitoring/risk.html", context)
