"""What every page's template may use."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from accounts.models import Scope
from accounts.roles import reaches, user_scope
from accounts.second_factor import is_enrolled
from monitoring import selectors
from monitoring.shown import run_of_page
from strategies.models import Strategy
from trades.models import TradingRun

# pages that the header does not lead to
BESIDE = (
    ("performance", "Performance of decisions"),
    ("sources", "Sources of opinions"),
    ("evolution", "Evolution of models"),
    ("sweep-list", "Sweeps"),
    ("flatten", "Flatten"),
)


def palette(run: TradingRun | None) -> dict[str, Any]:
    """Return what the command palette finds besides the links of the header."""
    return {
        "pages": [(title, reverse(name)) for name, title in BESIDE],
        "symbols": [] if run is None else list(run.symbols),
        "strategies": list(Strategy.objects.order_by("code").values_list("code", flat=True)),
    }


def strip(request: HttpRequest) -> dict[str, Any]:
    """Offer the mode strip. Templates call what is callable, so a page without the strip costs
    nothing, and one that uses it many times reads it once."""
    return {
        "strip": cache(lambda: selectors.strip(run_of_page(request))),
        "palette": cache(lambda: palette(run_of_page(request))),
        "accounts": cache(selectors.account_choices),
        "has_second_step": cache(lambda: is_enrolled(request.user)),
        "may_administer": cache(lambda: reaches(user_scope(request.user), Scope.ADMIN)),
        "may_operate": cache(lambda: reaches(user_scope(request.user), Scope.OPERATE)),
    }
