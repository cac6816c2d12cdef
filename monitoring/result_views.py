"""The page of an account's performance."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.models import Scope
from accounts.pages import needs
from monitoring.results import performance_view
from monitoring.views import run_asked
from trades.selectors.performance import performance_document


@require_GET
@needs(Scope.READ)
def account_performance(request: HttpRequest) -> HttpResponse:
    run = run_asked(request)
    try:
        found = performance_document(run=run, quote=request.GET.get("quote", ""))
    except ValueError as error:
        messages.error(request, f"Shown in the run's own currency: {error}.")
        found = performance_document(run=run)
    context = {"page": "account-performance", "run": run, "found": performance_view(found)}
    return render(request, "monitoring/account_performance.html", context)
