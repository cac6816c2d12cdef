"""The page of the hard ceilings: look, ask what a change would do, then make it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.errors import Refused
from accounts.models import Scope, SettingsSource
from accounts.money import amount_of
from accounts.pages import is_same_person, needs
from accounts.roles import reaches, user_scope
from monitoring.limit_words import limit_words
from monitoring.selectors import run_shown
from trades.ceiling_changes import DELAY, Preview, ceiling_confirm, ceiling_preview
from trades.ceilings import ceiling_list
from trades.errors import CeilingRaised, CeilingRefused
from trades.models import TradingRun


@require_GET
@needs(Scope.READ)
def ceiling_page(request: HttpRequest) -> HttpResponse:
    return _page(request)


@require_POST
@needs(Scope.OPERATE)
def ceiling_change(request: HttpRequest) -> HttpResponse:
    """Show what a change would do; with its token, make it. A raise asks for the password."""
    asks = not request.POST.get("token")
    try:
        run = run_shown()
        if run is None:
            raise CeilingRefused("no run is open, its configuration says what the ceilings are")
        if asks:
            return _page(request, _previewed(request, run))
        _confirm(request, run)
    except CeilingRaised as error:
        is_admin = reaches(user_scope(request.user), Scope.ADMIN)
        need = "the password was wrong" if is_admin else "that needs an administrator"
        messages.error(request, f"Nothing was changed: {error}; {need}.")
    except (Refused, ValueError) as error:
        messages.error(request, f"Nothing was changed: {error}")
        if asks:
            # what was typed stays, to be mended
            return _page(request, entered=request.POST, status=400)
    else:
        messages.success(request, "The ceilings are as you confirmed them; see below from when.")
    return redirect("ceilings")


def _previewed(request: HttpRequest, run: TradingRun) -> Preview:
    name = request.POST.get("name", "")
    value = amount_of(name or "limit", request.POST.get("value"))
    actor = request.user.get_username()
    return ceiling_preview(run=run, changes={name: value}, actor=actor)


def _confirm(request: HttpRequest, run: TradingRun) -> None:
    may_raise = reaches(user_scope(request.user), Scope.ADMIN) and "password" in request.POST
    ceiling_confirm(
        run=run,
        token=request.POST.get("token", ""),
        actor=request.user.get_username(),
        reason=request.POST.get("reason", ""),
        may_raise=may_raise and is_same_person(request),
        source=SettingsSource.PAGE,
    )


def _page(
    request: HttpRequest,
    preview: Preview | None = None,
    entered: Mapping[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    run = run_shown()
    context: dict[str, Any] = {
        "page": "ceilings",
        "run": run,
        "rows": [(row, *limit_words(row.name)) for row in ceiling_list(run)] if run else [],
        "preview": preview,
        "changes": [(c, *limit_words(c.name)) for c in preview.changes] if preview else [],
        "entered": entered or {},
        "delay_minutes": int(DELAY.total_seconds() // 60),
    }
    return render(request, "monitoring/ceilings.html", context, status=status)
