"""The lists of closed trades and of orders: filters in the address, tables by reason, files."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.models import Scope
from accounts.pages import needs, page_of, query_of
from engine.types.opinions import Side
from engine.types.orders import OrderStatus, Purpose
from monitoring.decision_views import moment_asked
from monitoring.results import GROUP_FILTERS, GROUP_TITLES
from monitoring.views import run_asked
from strategies.models import Strategy
from trades.apis.exports import ROWS_IN_A_FILE
from trades.models import Order, Trade, TradingRun
from trades.selectors import order_list, trade_list
from trades.selectors.performance import trade_tables

# what the address calls a filter, and the API's name for it
TRADE_FILTERS = {
    "symbol": "symbol",
    "strategy": "strategy",
    "side": "side",
    "tag": "entry_tag",
    "exit": "exit_reason",
}
ORDER_FILTERS = {
    "symbol": "symbol",
    "strategy": "strategy",
    "side": "side",
    "purpose": "purpose",
    "status": "status",
}
SUMMARIES = ("entry_tag", "exit_reason", "mix_tag")
SIDES = [side.value for side in Side]
PURPOSES = [purpose.value for purpose in Purpose]
STATUSES = [status.value for status in OrderStatus]


@require_GET
@needs(Scope.READ)
def trade_page(request: HttpRequest) -> HttpResponse:
    run = run_asked(request)
    filters, period = _asked(request, TRADE_FILTERS)
    given = {name: filters[asked] or None for asked, name in TRADE_FILTERS.items()}
    rows = trade_list(run=run, **given, **period)
    shown = page_of(request, rows)
    tables = trade_tables(rows, SUMMARIES)
    context = {
        **_shared(request, run, filters, shown),
        "page": "trades",
        "exports": _exports(run, shown, TRADE_FILTERS, filters, period),
        "tags": sorted({tag for tag in _distinct(run, "entry_tag") if tag}),
        "exits": _distinct(run, "exit_reason"),
        "tables": [
            {
                "name": name,
                "title": GROUP_TITLES[name],
                "filter": GROUP_FILTERS.get(name, ""),
                "rows": tables[name],
            }
            for name in SUMMARIES
        ],
    }
    return render(request, "monitoring/trades.html", context)


@require_GET
@needs(Scope.READ)
def order_page(request: HttpRequest) -> HttpResponse:
    run = run_asked(request)
    filters, period = _asked(request, ORDER_FILTERS)
    given = {name: filters[asked] or None for asked, name in ORDER_FILTERS.items()}
    shown = page_of(request, _by_decision(run, given | period))
    context = {
        **_shared(request, run, filters, shown),
        "page": "orders",
        "exports": _exports(run, shown, ORDER_FILTERS, filters, period),
        "purposes": PURPOSES,
        "statuses": STATUSES,
    }
    return render(request, "monitoring/orders.html", context)


def _asked(request: HttpRequest, names: dict[str, str]) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the filters of an address, what it does not understand left out, and its period."""
    filters = {name: request.GET.get(name, "").replace("\x00", "") for name in names}
    for name, allowed in (("side", SIDES), ("purpose", PURPOSES), ("status", STATUSES)):
        if filters.get(name, "") not in allowed and name in filters:
            filters[name] = ""
    period = {name: moment_asked(request.GET.get(name, "")) for name in ("since", "until")}
    for name, at in period.items():
        filters[name] = "" if at is None else request.GET[name]
    return filters, period


def _shared(
    request: HttpRequest, run: TradingRun | None, filters: dict[str, str], shown: Any
) -> dict[str, Any]:
    return {
        "run": run,
        "rows": shown,
        "query": query_of(request),
        "filters": filters,
        "is_filtered": any(filters.values()),
        "strategies": list(Strategy.objects.values_list("code", flat=True)),
        "symbols": run.symbols if run else [],
        "sides": SIDES,
    }


def _exports(
    run: TradingRun | None,
    shown: Any,
    names: dict[str, str],
    filters: dict[str, str],
    period: dict[str, Any],
) -> dict[str, Any]:
    """Return what the address of a file asks for; ``most`` where one file cannot hold the rows."""
    given = {name: filters[asked] for asked, name in names.items() if filters[asked]}
    given |= {name: at.isoformat() for name, at in period.items() if at is not None}
    if run is not None:
        given["run"] = str(run.code)
    most = ROWS_IN_A_FILE if shown.paginator.count > ROWS_IN_A_FILE else None
    return {"query": urlencode(given), "most": most, "is_empty": not shown.paginator.count}


def _distinct(run: TradingRun | None, name: str) -> list[str]:
    rows = trade_list(run=run) if name == "entry_tag" else Trade.objects.filter(run=run)
    return sorted(set(rows.order_by().values_list(name, flat=True).distinct()))


def _by_decision(run: TradingRun | None, given: dict[str, Any]) -> QuerySet[Order]:
    """Return orders by what the page's first column shows, newest first."""
    return order_list(run=run, **given).order_by("-decided_at", "-id")
