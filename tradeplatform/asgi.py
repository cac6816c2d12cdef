"""The web process: HTTP by Django, ``/ws/stream/`` by Channels. It never trades."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeplatform.settings")
_django = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.db import database_sync_to_async  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402

from monitoring.hub import Hub  # noqa: E402
from monitoring.routing import websocket_urlpatterns  # noqa: E402
from monitoring.selectors import stream_snapshot  # noqa: E402
from tradeplatform.origins import SameOriginOnly  # noqa: E402

hub = Hub(settings.REDIS_URL, database_sync_to_async(stream_snapshot))
application = ProtocolTypeRouter(
    {
        "http": _django,
        "websocket": SameOriginOnly(AuthMiddlewareStack(URLRouter(websocket_urlpatterns(hub)))),
    }
)
