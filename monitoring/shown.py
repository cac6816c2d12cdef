"""Which run a page shows: the one its address names, else that of the account chosen before."""

from __future__ import annotations

from django.http import HttpRequest

from monitoring import selectors
from trades.models import TradingRun

CHOSEN = "account"


def run_of_page(request: HttpRequest) -> TradingRun | None:
    """Return the run a page is about, None where there is none or its address names no run."""
    return selectors.run_shown(request.GET.get("run"), account_chosen(request))


def account_chosen(request: HttpRequest) -> str | None:
    """Return the account that was chosen in this session; None where none was, or no page is."""
    session = getattr(request, "session", None)
    return None if session is None else session.get(CHOSEN)
