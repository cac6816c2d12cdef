"""What every request passes: an id for its answer, log and audit, and the age of its login."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils import timezone

from accounts.context import CallContext, call_context
from accounts.preferences import zone_of_pages
from accounts.second_factor import is_enrolled
from accounts.sessions import session_row, session_touch

# What pages ask for by themselves; a screen left open is not a person at it.
_UNATTENDED_PREFIX = "/data/"
_IN_UTC = ("/api/", "/data/", "/admin/", "/metrics", "/freqtrade/", "/static/")
# What a person without the demanded second step may still do.
_BEFORE_ENROLMENT = ("/account/", "/logout/", "/static/")


class CallContextMiddleware:
    """Sets the call context for one request and clears it afterwards."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        call = CallContext(uuid.uuid4().hex, str(request.META.get("REMOTE_ADDR", ""))[:45])
        reset = call_context.set(call)
        try:
            response = self._get_response(request)
        finally:
            call_context.reset(reset)
        response["X-Request-Id"] = call.request_id
        return response


class PersonalZone:
    """Shows times on pages in the person's own zone, and reads those typed there likewise.

    What programs read stays UTC: the API, the data of charts, files and the admin.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(_IN_UTC) or not request.user.is_authenticated:
            return self._get_response(request)
        with timezone.override(zone_of_pages(request.user)):
            return self._get_response(request)


class LoginAge:
    """Ends logins that are twelve hours old, idle for half an hour or ended elsewhere (SEC-18).

    Where the second step is demanded, staff without one reach only the page that sets it up.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.user.is_authenticated:
            return self._get_response(request)
        row = session_row(request.session.session_key)
        if row is None:
            logout(request)
            return self._get_response(request)
        if not request.path.startswith(_UNATTENDED_PREFIX):
            session_touch(row)
        if _must_enrol(request):
            return _enrol_first(request)
        return self._get_response(request)


def _must_enrol(request: HttpRequest) -> bool:
    if not settings.TOTP_REQUIRED or not request.user.is_staff:
        return False
    return not request.path.startswith(_BEFORE_ENROLMENT) and not is_enrolled(request.user)


def _enrol_first(request: HttpRequest) -> HttpResponse:
    if request.path.startswith(("/api/", _UNATTENDED_PREFIX)):
        detail = "Staff log in with a second step here; set it up on the page Account."
        return JsonResponse({"detail": detail, "reason_code": "totp_required"}, status=403)
    return redirect("account")
