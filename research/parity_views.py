"""The page of judged days: what of yesterday would be decided or filled otherwise today."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.models import Scope
from accounts.pages import needs, page_of, query_of
from research.parity import parity_list

SHOWN = 40


@require_GET
@needs(Scope.READ)
def parity_page(request: HttpRequest) -> HttpResponse:
    rows = page_of(request, parity_list())
    context = {
        "page": "replays",
        "rows": rows,
        "shown": [(row, row.differences[:SHOWN]) for row in rows],
        "query": query_of(request),
        "most": SHOWN,
    }
    return render(request, "research/parity.html", context)
