"""Refuses a WebSocket whose page came from elsewhere (cross-site WebSocket hijacking)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http.request import split_domain_port, validate_host

_HTTP_SCHEME = {"ws": "http", "wss": "https"}


class SameOriginOnly:
    """Compares the full ``scheme://host:port``: a list of hosts alone would accept plain http and
    any port (SEC-14). A missing or ``null`` origin is refused: a browser always sends one.

    A script with a bearer token has no origin and needs none: no page can send that header with
    a socket, so nobody's browser can be used for it. Behind a proxy that ends TLS the page's
    origin is listed in ``CSRF_TRUSTED_ORIGINS``, as Django asks for its forms.
    """

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if may_connect(scope):
            await self.application(scope, receive, send)
            return
        # closing before accepting answers the handshake with 403; no channel layer is asked
        await receive()
        await send({"type": "websocket.close", "code": 4403})


def may_connect(scope: dict[str, Any]) -> bool:
    headers = {name.lower(): value.decode("latin1") for name, value in scope.get("headers", [])}
    origin = headers.get(b"origin", "").lower()
    host = headers.get(b"host", "").lower()
    domain, _ = split_domain_port(host)
    if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
        return False
    if b"authorization" in headers and not origin:
        return True
    own = f"{_HTTP_SCHEME.get(scope.get('scheme', 'ws'), 'http')}://{host}"
    return origin == own or origin in {o.lower() for o in settings.CSRF_TRUSTED_ORIGINS}
