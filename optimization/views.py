"""The layer's page and its data. No arithmetic here: reads are selectors, writes are services."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from accounts.errors import Refused
from accounts.models import Scope, SettingsSource
from accounts.pages import back_to, is_same_person, needs
from accounts.roles import reaches, user_scope
from optimization import reports
from optimization.books import book_of, leading_run
from optimization.forms import parsed_settings
from optimization.selectors import get_optimization_status, update_list
from optimization.services import preview
from optimization.switches import KEYS, TOGGLES, effective, optimization_settings_change
from strategies import services as strategies
from strategies.errors import StrategyRefused
from strategies.models import HealthChange

PAGE = "optimization"
UPDATES_SHOWN = 12
CHANGES_SHOWN = 12
# What lets a strategy trade again asks for the password; what stops one asks nothing (SEC-19).
ACTS: dict[str, tuple[Callable[..., HealthChange], Scope, bool]] = {
    "suspend": (strategies.strategy_suspend, Scope.OPERATE, False),
    "unsuspend": (strategies.strategy_unsuspend, Scope.OPERATE, True),
    "activate": (strategies.strategy_activate, Scope.ADMIN, True),
    "retire": (strategies.strategy_retire, Scope.OPERATE, False),
    "reinstate": (strategies.strategy_reinstate, Scope.ADMIN, True),
}
HOLDING = frozenset({"unsuspend", "activate", "reinstate"})


@require_GET
@needs(Scope.READ)
def layer_page(request: HttpRequest) -> HttpResponse:
    may_set = reaches(user_scope(request.user), Scope.ADMIN)
    settings = effective()
    return render(
        request,
        "optimization/page.html",
        {
            "page": PAGE,
            "data": _data(),
            "settings": settings,
            "fields": [(key, settings.values[key.name]) for key in KEYS],
            "toggles": TOGGLES,
            "may_set": may_set,
            "verbs": [v for v, (_, scope, _) in ACTS.items() if _reaches(request, scope)],
            "final": reports.final_report_latest(),
        },
    )


@require_GET
@needs(Scope.READ, is_data=True)
def layer_data(request: HttpRequest) -> HttpResponse:
    return JsonResponse(_data())


@require_GET
@needs(Scope.READ, is_data=True)
def preview_data(request: HttpRequest) -> HttpResponse:
    """What would the next update do? Computed on a copy, nothing is written."""
    return JsonResponse(preview())


@require_POST
@needs(Scope.OPERATE)
def settings_save(request: HttpRequest) -> HttpResponse:
    """Change the switch or the settings; all but switching off is for an administrator with the
    password at hand."""
    try:
        changes = parsed_settings(request.POST)
        if changes != {"enabled": False}:
            _only(request, Scope.ADMIN)
            if not is_same_person(request):
                messages.error(request, "Nothing was changed: the password was wrong.")
                return back_to(request, PAGE)
        now = optimization_settings_change(
            changes=changes,
            actor=request.user.get_username(),
            reason=request.POST.get("reason", ""),
            source=SettingsSource.PAGE,
            expected_version=_version(request),
        )
    except Refused as refused:
        messages.error(request, f"Nothing was changed: {refused}")
        return back_to(request, PAGE)
    state = "on" if now.is_enabled else "off"
    messages.success(
        request, f"The layer is {state}; version {now.version} holds from the next event of a run."
    )
    return back_to(request, PAGE)


@require_POST
@needs(Scope.OPERATE)
def strategy_move(request: HttpRequest) -> HttpResponse:
    """Suspend, unsuspend, activate, retire or reinstate one strategy, with a reason."""
    verb, code = request.POST.get("verb", ""), request.POST.get("strategy", "")
    if verb not in ACTS:
        messages.error(request, f"Nothing was changed: act was {verb!r}.")
        return back_to(request, PAGE)
    act, scope, loosens = ACTS[verb]
    _only(request, scope)
    if loosens and not is_same_person(request):
        messages.error(request, "Nothing was changed: the password was wrong.")
        return back_to(request, PAGE)
    try:
        given = {"override_until": _until(request)} if verb in HOLDING else {}
        actor, reason = request.user.get_username(), request.POST.get("reason", "")
        change = act(code=code, actor=actor, reason=reason, **given)
    except Refused as refused:
        messages.error(request, f"Nothing was changed: {refused}")
    else:
        messages.success(request, f"{code} is {change.to_status} from the next event on.")
    return back_to(request, PAGE)


def _data() -> dict[str, Any]:
    run = leading_run()
    cuts = reports.cuts_of(run)
    return {
        "status": get_optimization_status(),
        "strategies": reports.strategy_summary(cuts),
        "regimes": reports.regime_effectiveness(cuts),
        "quality": reports.quality_histogram(run),
        "allocation": reports.allocation_series(),
        "changes": reports.changes_latest(CHANGES_SHOWN),
        "updates": reports.updates_latest(
            [] if run is None else update_list(book_of(run))[:UPDATES_SHOWN]
        ),
    }


def _version(request: HttpRequest) -> int | None:
    text = request.POST.get("version", "")
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _until(request: HttpRequest) -> datetime | None:
    """Return venue time up to which the decision holds; empty means until the evidence speaks."""
    text = request.POST.get("override_until", "").strip()
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise StrategyRefused(
            f"the override's end was {text[:40]!r}, allowed: a date and time"
        ) from None
    return at if timezone.is_aware(at) else timezone.make_aware(at)


def _reaches(request: HttpRequest, scope: Scope) -> bool:
    return reaches(user_scope(request.user), scope)


def _only(request: HttpRequest, scope: Scope) -> None:
    if not _reaches(request, scope):
        raise PermissionDenied(f"this needs the scope {scope}")
