"""Pages and their data. No arithmetic here: reads are selectors, writes are services."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from accounts.models import Scope
from accounts.pages import back_to, is_same_person, needs
from accounts.preferences import preference_of
from engine.ports import TradingState
from monitoring import decisions, selectors
from monitoring.first_steps import first_steps, is_new_here
from monitoring.models import Alert
from monitoring.services import alert_acknowledge, control_change
from monitoring.shown import CHOSEN, run_of_page
from trades.errors import ControlRefused, LooseningRefused
from trades.kill_switch import changed_or_left
from trades.models import ControlState, TradingRun
from trades.scopes import GLOBAL_SCOPE, split

# that trading stands is no success: it has the colour of its state
_LEVELS = {TradingState.HALTED.value: messages.ERROR, TradingState.REDUCING.value: messages.WARNING}


@require_GET
@needs(Scope.READ)
def overview(request: HttpRequest) -> HttpResponse:
    run = run_asked(request)
    data = selectors.overview(run, request.GET.get("symbol"))
    context = {"page": "overview", "data": data, "run": run, "runs": selectors.run_choices()}
    is_led = preference_of(request.user).shows_steps
    if is_led and is_new_here(request.user.date_joined, timezone.now()):
        context["steps"] = first_steps(run)
    return render(request, "monitoring/overview.html", context)


@require_GET
@needs(Scope.READ, is_data=True)
def overview_data(request: HttpRequest) -> HttpResponse:
    return JsonResponse(selectors.overview(run_asked(request), request.GET.get("symbol")))


@require_GET
@needs(Scope.READ, is_data=True)
def strip_data(request: HttpRequest) -> HttpResponse:
    return JsonResponse(selectors.strip(run_asked(request)))


@require_GET
@needs(Scope.READ, is_data=True)
def price_data(request: HttpRequest) -> HttpResponse:
    run, symbol = run_asked(request), request.GET.get("symbol", "")
    if run is None or symbol not in run.symbols:
        raise Http404("no such symbol in this run")
    return JsonResponse(selectors.price_view(run, symbol))


@require_GET
@needs(Scope.READ, is_data=True)
def decision_data(request: HttpRequest, code: uuid.UUID) -> HttpResponse:
    return _decision(code)


@require_GET
@needs(Scope.READ, is_data=True)
def decision_by_key(request: HttpRequest) -> HttpResponse:
    """Find a decision by what makes it unique: frames carry that, and not always the id."""
    run, at_ms = run_asked(request), request.GET.get("at_ms", "")
    if run is None or not at_ms.isdecimal() or len(at_ms) > 15:
        raise Http404("no such decision")
    code = decisions.decision_code_at(
        run, request.GET.get("symbol", ""), request.GET.get("strategy", ""), int(at_ms)
    )
    if code is None:
        raise Http404("no such decision")
    return _decision(code)


@require_POST
@needs(Scope.OPERATE)
def control(request: HttpRequest) -> HttpResponse:
    """Halt, reduce or resume. What loosens asks for the password again (SEC-19)."""
    state, reason = request.POST.get("state", ""), request.POST.get("reason", "").strip()
    scope = request.POST.get("scope") or GLOBAL_SCOPE
    named = _named(scope)
    # a halt that comes between this look and the change stays: the service looks again
    is_confirmed = _loosens(scope, state) and is_same_person(request)
    told = {
        "scope": scope,
        "state": state,
        "actor": request.user.get_username(),
        "reason": reason,
    }
    try:
        is_changed = changed_or_left(
            lambda: control_change(may_loosen=is_confirmed, **told), **told
        )
    except LooseningRefused:
        messages.error(request, f"{named} was not set to {state}: the password was wrong.")
        return back_to(request, "overview")
    except ControlRefused as error:
        messages.error(request, f"Nothing was changed: {error}")
        return back_to(request, "overview")
    if is_changed is None:
        text = "The database does not answer: no order leaves until it does, then"
        messages.warning(request, f"{text} {named} is {state}.")
    elif is_changed:
        level = _LEVELS.get(state, messages.SUCCESS)
        messages.add_message(request, level, f"{named} is now {state}.")
    else:
        messages.info(request, f"{named} was {state} already.")
    return back_to(request, "overview")


@require_POST
@needs(Scope.OPERATE)
def acknowledge(request: HttpRequest, alert_id: int) -> HttpResponse:
    try:
        alert_acknowledge(alert_id=alert_id, actor=request.user.get_username())
    except Alert.DoesNotExist:
        raise Http404("no such alert") from None
    return back_to(request, "overview")


def _decision(code: uuid.UUID) -> HttpResponse:
    view = decisions.decision_view(code)
    if view is None:
        raise Http404("no such decision")
    return JsonResponse(view)


def _named(scope: str) -> str:
    """Say a scope of the kill switch as people do."""
    account, inner = split(scope)
    part = "Trading" if inner == GLOBAL_SCOPE else inner.partition(":")[2]
    if not account:
        return part
    return f"Account {account}" if inner == GLOBAL_SCOPE else f"{part} on account {account}"


def _loosens(scope: str, state: str) -> bool:
    """Return whether a state is milder than the present one, so that tightening asks nothing."""
    row = ControlState.objects.filter(scope=scope).first()
    present = TradingState(row.state) if row else TradingState.ACTIVE
    known = state in {known.value for known in TradingState}
    return known and TradingState(state).severity < present.severity


def run_asked(request: HttpRequest) -> TradingRun | None:
    run = run_of_page(request)
    if run is None and request.GET.get("run"):
        raise Http404("no such run")
    return run


@require_POST
@needs(Scope.READ)
def account_choose(request: HttpRequest) -> HttpResponse:
    """Show another account's run from now on, on every page of this session."""
    account = request.POST.get("account", "")
    if account not in {choice["account"] for choice in selectors.account_choices()}:
        messages.error(request, f"There is no open run of an account {account[:40]!r}.")
    else:
        request.session[CHOSEN] = account
    return back_to(request, "overview")
