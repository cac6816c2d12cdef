"""The page Alerts: what needs a person, what somebody knows of, and what is over."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from accounts.models import Scope
from accounts.pages import back_to, needs, page_of, query_of
from monitoring.errors import SilenceRefused
from monitoring.layer import layer
from monitoring.models import Alert, AlertSilence, Severity
from monitoring.silences import (
    alert_silence,
    may_silence,
    silence_end,
    silence_list,
    silence_made,
    silence_of,
    silences_holding,
)
from monitoring.system import system_status

PAGE = "alerts"
STATES = {"": "Open", "unseen": "Open, not acknowledged", "closed": "Over", "all": "All"}
SPANS = {"60": "an hour", "480": "8 hours", "1440": "a day", "10080": "7 days"}
SILENCES_SHOWN = 20
# Where an alert of a code is looked into; by the longest beginning of the code that is named here.
LEADS: dict[str, tuple[str, str, str]] = {
    "": ("decisions", "", "Decisions"),
    "AUTH": ("audit", "", "Audit trail"),
    "BALANCE_DIFFERENCE": ("risk", "", "Risk"),
    "CEILING": ("ceilings", "", "Limits"),
    "CLOCK": ("system", "", "System"),
    "HEARTBEAT": ("system", "#components", "Components"),
    "INVARIANT": ("risk", "", "Risk"),
    "JOB": ("system", "", "System"),
    "LAYER_": ("optimization", "", "Optimization"),
    "NEVER_SENT": ("orders", "", "Orders"),
    "NO_RESTING_STOPS": ("orders", "", "Orders"),
    "NOTIFICATIONS": ("notifications", "", "Notifications"),
    "ORDER": ("orders", "", "Orders"),
    "PROCESS": ("system", "#incidents", "Incidents"),
    "REJECTIONS": ("orders", "?status=REJECTED", "Orders"),
    "RESOURCE": ("system", "#incidents", "Incidents"),
    "SELF_ASSESSMENT": ("optimization", "", "Optimization"),
    "STOP_REFUSED": ("orders", "", "Orders"),
    "UNPROTECTED": ("orders", "", "Orders"),
    "VENUE": ("system", "", "System"),
}


class AlertLine(NamedTuple):
    """An alert with the silence it falls under, and where one looks further.

    ``is_silent`` is False where the alert is told in spite of it.
    """

    alert: Alert
    silence: AlertSilence | None
    is_silent: bool
    may_silence: bool
    address: str
    leads_to: str


@require_GET
@needs(Scope.READ)
def alert_page(request: HttpRequest) -> HttpResponse:
    chosen = {name: request.GET.get(name, "") for name in ("state", "severity", "code")}
    codes = list(Alert.objects.order_by("code").values_list("code", flat=True).distinct())
    for name, allowed in (("state", STATES), ("severity", Severity.values), ("code", codes)):
        if chosen[name] not in allowed:
            chosen[name] = ""
    now = timezone.now()
    silences = silences_holding(now)
    shown = page_of(request, _rows(chosen))
    context = {
        "page": PAGE,
        "system_state": "" if shown else system_status(now)["state"],
        "rows": shown,
        "lines": [_line(alert, silences) for alert in shown],
        "query": query_of(request),
        "chosen": chosen,
        "codes": codes,
        "states": STATES,
        "severities": Severity.values,
        "spans": SPANS,
        "silences": silence_list()[:SILENCES_SHOWN],
        "holding": {silence.pk for silence in silences},
    }
    return render(request, "monitoring/alerts.html", context)


@require_POST
@needs(Scope.OPERATE)
def silence_add(request: HttpRequest, alert_id: int) -> HttpResponse:
    minutes = request.POST.get("minutes", "")
    try:
        silence = alert_silence(
            alert_id=alert_id,
            minutes=int(minutes) if minutes.isdecimal() and len(minutes) < 7 else 0,
            whole_code=request.POST.get("whole_code") == "true",
            reason=request.POST.get("reason", ""),
            actor=request.user.get_username(),
        )
    except Alert.DoesNotExist:
        raise Http404("no such alert") from None
    except SilenceRefused as refused:
        messages.error(request, f"Nothing was silenced: {refused}")
    else:
        messages.success(
            request, f"{silence.code} is silent; what is critical is told all the same."
        )
    return back_to(request, PAGE)


@require_POST
@needs(Scope.OPERATE)
def silence_stop(request: HttpRequest, silence_id: int) -> HttpResponse:
    try:
        is_ended = silence_end(
            silence_id=silence_id,
            reason=request.POST.get("reason", ""),
            actor=request.user.get_username(),
        )
    except SilenceRefused as refused:
        messages.error(request, f"Nothing was changed: {refused}")
    else:
        messages.success(request, "The silence has ended." if is_ended else "It had ended already.")
    return back_to(request, PAGE)


def _rows(chosen: dict[str, str]) -> QuerySet[Alert]:
    rows = Alert.objects.all()
    match chosen["state"]:
        case "all":
            pass
        case "closed":
            rows = rows.filter(resolved_at__isnull=False)
        case state:
            rows = rows.filter(resolved_at__isnull=True)
            if state == "unseen":
                rows = rows.filter(acknowledged_at__isnull=True)
    wanted = {name: chosen[name] for name in ("severity", "code") if chosen[name]}
    return rows.filter(**wanted).order_by("-last_at", "-id")


def _line(alert: Alert, silences: list[AlertSilence]) -> AlertLine:
    silence = silence_made(alert, silences) if alert.resolved_at is None else None
    is_silent = silence is not None and silence_of(alert, [silence]) is not None
    known = max((start for start in LEADS if alert.code.startswith(start)), key=len)
    name, rest, title = LEADS[known]
    return AlertLine(
        alert, silence, is_silent, may_silence(alert), _address(name, rest, alert), title
    )


def _address(name: str, rest: str, alert: Alert) -> str:
    """Return the page that tells more; of the alert's run, where that page is one of a run."""
    query: dict[str, Any] = {}
    if alert.run_code and name in ("decisions", "orders", "risk") and "?" not in rest:
        query["run"] = alert.run_code
    if name == "optimization" and not layer().page_patterns():
        name = "decisions"
    return reverse(name, query=query) + rest
