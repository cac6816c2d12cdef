"""Socket addresses."""

from __future__ import annotations

from django.urls import URLPattern, path

from monitoring.consumers import StreamConsumer
from monitoring.hub import Hub


def websocket_urlpatterns(hub: Hub) -> list[URLPattern]:
    return [path("ws/stream/", StreamConsumer.as_asgi(hub=hub))]
