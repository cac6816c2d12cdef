"""Headers of every answer: what a page may load, and that private pages are not kept."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

_COMMON = "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
_OWN_PAGES = (
    "default-src 'self'; script-src 'self'; "
    # the charts library sets style attributes; nothing else of ours is inline
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; " + _COMMON
)
# The admin theme (Alpine) evaluates expressions; the API pages start with an inline script.
_THEMED_PAGES = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; " + _COMMON
)
_THEMED_PREFIXES = ("/admin/", "/api/v1/docs/")


class PageHeaders:
    """Content security policy (SEC-6, D-38) and ``no-store`` for what needs a login (SEC-7)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        themed = request.path.startswith(_THEMED_PREFIXES)
        response.headers.setdefault(
            "Content-Security-Policy", _THEMED_PAGES if themed else _OWN_PAGES
        )
        response.headers.setdefault("Cache-Control", "no-store")
        # the API's pages would open themselves to whoever opened them
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        return response
