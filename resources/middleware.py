"""How long requests take and how often they fail (ORC-27 to ORC-29)."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from resources.counters import work


class RequestCounting:
    """Counts every request; an answer of 500 and above is a failure, a refusal is not."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.monotonic()
        response = self.get_response(request)
        work().add("http", time.monotonic() - began, failed=response.status_code >= 500)
        return response
