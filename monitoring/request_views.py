"""What a person asks of a run, by pages: close, exits, flatten, deposits, trades by hand, locks."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_GET, require_POST

from accounts.errors import Refused
from accounts.models import Scope
from accounts.money import amount_of
from accounts.pages import back_to, is_same_person, needs, page_of, query_of
from monitoring.selectors import run_shown
from monitoring.views import run_asked
from trades.apis.gains import csv_answer
from trades.errors import LockRefused, RequestRefused, WideningRefused
from trades.flatten import flatten_confirm, flatten_preview
from trades.locks import lock_lift, lock_set
from trades.models import OperatorRequest, TradingRun
from trades.requests import (
    position_of,
    request_adjust,
    request_book_external,
    request_close,
    request_exits,
)
from trades.selectors.gains import gain_csv, gain_list
from trades.selectors.requests import (
    external_fill_get,
    external_fill_list,
    lock_get,
    lock_list,
    request_list,
    venue_now,
)
from trades.services import GLOBAL_SCOPE

HALF = Decimal("0.5")


@require_GET
@needs(Scope.READ)
def request_page(request: HttpRequest) -> HttpResponse:
    run = run_asked(request)
    now = venue_now()
    context = {
        "page": "requests",
        "run": run,
        "rows": page_of(request, request_list(run=run)),
        "query": query_of(request),
        "external": external_fill_list(run=run)[:50],
        "locks": lock_list(standing=True),
        "years": [now.year, now.year - 1],
        "key": uuid.uuid4().hex,
    }
    return render(request, "monitoring/requests.html", context)


@require_POST
@needs(Scope.OPERATE)
def position_act(request: HttpRequest) -> HttpResponse:
    """Close a position, half of it, or move its exits. A wider stop asks for the password."""

    def ask(run: TradingRun) -> OperatorRequest:
        given = request.POST
        about = {
            "run": run,
            "strategy": given.get("strategy", ""),
            "symbol": given.get("symbol", ""),
            "actor": request.user.get_username(),
            "reason": given.get("reason", ""),
            "key": given.get("key", "")[:120],
        }
        if given.get("act") == "exits":
            return _exits(request, about)
        part = HALF if given.get("act") == "half" else None
        return request_close(**about, fraction=part)

    return _asked(request, ask, "overview")


@require_POST
@needs(Scope.ADMIN)
def adjust(request: HttpRequest) -> HttpResponse:
    def ask(run: TradingRun) -> OperatorRequest:
        amount = amount_of("amount", request.POST.get("amount"))
        if amount is None:
            raise RequestRefused("amount was empty, allowed: a number")
        return request_adjust(
            run=run,
            asset=request.POST.get("asset", "").strip(),
            amount=amount,
            actor=request.user.get_username(),
            reason=request.POST.get("reason", ""),
            key=request.POST.get("key", "")[:120],
        )

    return _asked(request, ask, "requests")


@require_POST
@needs(Scope.ADMIN)
def book(request: HttpRequest) -> HttpResponse:
    def ask(run: TradingRun) -> OperatorRequest:
        number = request.POST.get("fill", "")
        fill = external_fill_get(int(number)) if _is_number(number) else None
        if fill is None:
            raise RequestRefused(f"trade was {number[:20]!r}, allowed: one of the list")
        return request_book_external(
            fill=fill,
            as_lots=request.POST.get("book_as") == "lots",
            actor=request.user.get_username(),
            reason=request.POST.get("reason", ""),
        )

    return _asked(request, ask, "requests")


@require_POST
@needs(Scope.OPERATE)
def lock(request: HttpRequest) -> HttpResponse:
    until = request.POST.get("until", "").strip()
    try:
        at = parse_datetime(until) if until else None
        if until and at is None:
            raise LockRefused(f"until was {until[:40]!r}, allowed: a date and time")
        lock_set(
            symbol=request.POST.get("symbol", ""),
            strategy=request.POST.get("strategy", ""),
            reason=request.POST.get("reason", ""),
            actor=request.user.get_username(),
            expires_at=None if at is None else _in_utc(at),
            now=venue_now(),
        )
    except (Refused, ValueError) as error:
        messages.error(request, f"Nothing was locked: {error}")
    else:
        messages.success(request, f"{request.POST['symbol']} takes no entries now.")
    return back_to(request, "requests")


@require_POST
@needs(Scope.OPERATE)
def lift(request: HttpRequest) -> HttpResponse:
    number = request.POST.get("lock", "")
    found = lock_get(int(number)) if _is_number(number) else None
    try:
        if found is None:
            raise LockRefused(f"lock was {number[:20]!r}, allowed: one of the list")
        lock_lift(
            lock=found, actor=request.user.get_username(), reason=request.POST.get("reason", "")
        )
    except Refused as error:
        messages.error(request, f"Nothing was lifted: {error}")
    else:
        messages.success(request, f"{found} may be entered again.")
    return back_to(request, "requests")


@require_GET
@needs(Scope.READ)
def gains(request: HttpRequest) -> HttpResponse:
    year = request.GET.get("year", "")
    if not (_is_number(year) and 2009 <= int(year) <= 2200):
        messages.error(request, f"year was {year[:20]!r}, allowed: 2009 to 2200")
        return redirect("requests")
    found = gain_list(run=run_asked(request), year=int(year))
    return csv_answer(gain_csv(found), int(year))


@needs(Scope.OPERATE)
def flatten_page(request: HttpRequest) -> HttpResponse:
    """First look, then confirm: a GET shows what would be closed, a POST with its token does it."""
    scope = (request.POST if request.method == "POST" else request.GET).get("scope", GLOBAL_SCOPE)
    actor = request.user.get_username()
    try:
        if request.method == "POST":
            rows = flatten_confirm(
                scope=scope,
                token=request.POST.get("token", ""),
                actor=actor,
                reason=request.POST.get("reason", ""),
            )
            numbers = ", ".join(str(row.pk) for row in rows)
            messages.success(request, f"{scope} takes no entries now; request {numbers} closes it.")
            return redirect("requests")
    except Refused as error:
        messages.error(request, f"Nothing was done: {error}")
    context: dict[str, Any] = {"page": "flatten", "scope": scope, "run": run_asked(request)}
    try:
        context["preview"] = flatten_preview(scope=scope, actor=actor)
    except Refused as error:
        context["refusal"] = str(error)
    return render(request, "monitoring/flatten.html", context)


def _asked(
    request: HttpRequest, ask: Callable[[TradingRun], OperatorRequest], page: str
) -> HttpResponse:
    try:
        run = _run_of(request)
        row = ask(run)
    except Refused as error:
        messages.error(request, f"Nothing was asked: {error}")
    else:
        messages.success(
            request, f"Request {row.pk} waits for the trading worker; Requests shows its end."
        )
    return back_to(request, page)


def _exits(request: HttpRequest, about: dict[str, Any]) -> OperatorRequest:
    held = position_of(about["run"], about["strategy"], about["symbol"])
    given = {
        name: amount_of(name, request.POST.get(name)) for name in ("stop_price", "target_price")
    }
    changes = {name: value for name, value in given.items() if value != getattr(held, name)}
    if not changes:
        raise RequestRefused("stop and target were the present ones, nothing would change")
    try:
        return request_exits(**about, changes=changes)
    except WideningRefused as error:
        if not is_same_person(request):
            raise WideningRefused(f"{error}; that needs your password") from error
        return request_exits(**about, changes=changes, may_widen=True)


def _run_of(request: HttpRequest) -> TradingRun:
    """Return the run the form was shown for: a button pressed late acts on no other one."""
    try:
        run = run_shown(str(uuid.UUID(request.POST.get("run", ""))))
    except ValueError:
        run = None
    if run is None:
        raise RequestRefused("the form named no run")
    return run


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < 12


def _in_utc(at: Any) -> Any:
    return at if timezone.is_aware(at) else timezone.make_aware(at)
