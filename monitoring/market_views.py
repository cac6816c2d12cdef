"""The page of one symbol's market, and the stretches of it that the page asks for."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.models import Scope
from accounts.pages import needs
from monitoring.market_data import (
    BARS_SHOWN,
    FEATURES_SHOWN,
    BadWindow,
    feature_choices,
    features_asked,
    market_view,
)
from monitoring.views import run_asked
from trades.models import TradingRun

# the year 9999: later is no time of ours
LAST_MS = 253_402_300_799_000


@require_GET
@needs(Scope.READ)
def market_page(request: HttpRequest) -> HttpResponse:
    run = run_asked(request)
    symbol = _symbol(run, request.GET.get("symbol", ""))
    context = {
        "page": "market",
        "run": run,
        "symbol": symbol,
        "choices": (choices := feature_choices()),
        "n_features": sum(len(names) for _, names in choices),
        "most_bars": BARS_SHOWN,
        "most_features": FEATURES_SHOWN,
    }
    return render(request, "monitoring/market.html", context)


@require_GET
@needs(Scope.READ, is_data=True)
def market_data(request: HttpRequest) -> HttpResponse:
    run = run_asked(request)
    symbol = request.GET.get("symbol", "")
    if run is None or symbol not in run.symbols:
        raise Http404("no such symbol in this run")
    try:
        view = market_view(
            run,
            symbol,
            since_ms=_time(request, "since"),
            until_ms=_time(request, "until"),
            features=features_asked(request.GET.get("features", "")),
        )
    except BadWindow as error:
        return JsonResponse({"detail": str(error)}, status=400)
    return JsonResponse(view)


def _symbol(run: TradingRun | None, asked: str) -> str:
    if run is None or not run.symbols:
        return ""
    return asked if asked in run.symbols else run.symbols[0]


def _time(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    if not text:
        return None
    if not text.isdecimal() or not text.isascii() or len(text) > 15 or int(text) > LAST_MS:
        raise BadWindow(f"{name} was {text[:40]!r}, allowed: milliseconds, UTC")
    return int(text)
