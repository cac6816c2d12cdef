"""The web process: HTTP by Django, ``/ws/stream/`` by Channels. It never trades."""

import os
from typing import Any

from django.core.asgi import get_asgi_application

from tradeplatform.addresses import one_line_refusals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeplatform.settings")
with one_line_refusals():
    _django = get_asgi_application()

from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.dispatch import receiver

from accounts.sessions import access_changed
from monitoring.hub import Hub
from monitoring.routing import websocket_urlpatterns
from monitoring.selectors import stream_snapshot
from tradeplatform.origins import SameOriginOnly

hub = Hub(settings.REDIS_URL, database_sync_to_async(stream_snapshot))


@receiver(access_changed)
def sockets_look_again(**_: Any) -> None:
    """Whoever was logged out a moment ago hears nothing more, not even for a minute (SEC-17)."""
    hub.recheck_soon()


application = ProtocolTypeRouter(
    {
        "http": _django,
        "websocket": SameOriginOnly(AuthMiddlewareStack(URLRouter(websocket_urlpatterns(hub)))),
    }
)
