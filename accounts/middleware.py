"""Gives each request an id that its answer, its log lines and its audit events share."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from accounts.context import CallContext, call_context


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
