"""The dead man's ping: an address outside hears from us only while trading is healthy.

What no process of this machine can tell (the machine is gone, the network is gone, all of us hang)
the service at that address tells, by noticing that nothing came.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from notifications import services
from notifications.core.config import PingSettings
from notifications.core.masking import shown_address
from notifications.errors import ChannelUnusable, DeliveryFailed
from notifications.models import ChannelKind
from notifications.selectors import trading_unwell
from notifications.services import FoundChannel
from notifications.transports import Post, post_guarded, posted, secret_of

NAME = "dead-man-ping"


class DeadManPing:
    """Pings at its pace; each ping is judged at that moment."""

    def __init__(self, rules: PingSettings, url: str, *, post: Post = post_guarded) -> None:
        self._rules = rules
        self._url = url
        self._post = post
        self._next_at: datetime | None = None

    @property
    def found(self) -> FoundChannel:
        return FoundChannel(NAME, ChannelKind.PING, shown_address(self._url))

    def look(self, now: datetime) -> str:
        """Ping where it is time and trading is healthy; return why not, ``sent`` where it was."""
        if self._next_at is not None and now < self._next_at:
            return "not yet"
        self._next_at = now + timedelta(seconds=self._rules.every_seconds)
        if why := trading_unwell(now):
            services.channel_withheld(NAME, f"withheld: {why}", now=now)
            return why
        try:
            status = posted(self._url, b"", self._rules.hosts, self._post)
            if not 200 <= status < 300:
                raise DeliveryFailed(f"the address answered {status}")
        except DeliveryFailed as error:
            services.channel_failed(NAME, str(error), now=now)
            return str(error)
        services.channel_worked(NAME, now=now)
        return "sent"


def ping_of(
    rules: PingSettings | None, environment: Mapping[str, str], *, post: Post = post_guarded
) -> tuple[DeadManPing | None, list[FoundChannel]]:
    """Return the ping where one is configured and can be used, and what to show of it."""
    if rules is None:
        return None, []
    try:
        ping = DeadManPing(rules, secret_of(rules.url_env, environment), post=post)
    except ChannelUnusable as error:
        return None, [FoundChannel(NAME, ChannelKind.PING, rules.url_env, str(error))]
    return ping, [ping.found]
