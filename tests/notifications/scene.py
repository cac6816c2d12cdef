"""A channel that keeps what it was given, and a clock that is a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.utils import timezone

from notifications.core.config import ChannelSettings, Notifications
from notifications.errors import DeliveryFailed, MessageRefused
from notifications.models import ChannelKind
from notifications.notifier import Notifier
from notifications.services import FoundChannel, channels_sync
from notifications.transports import Outgoing, Transport


@dataclass
class Recorder:
    """Takes messages, or fails as long as ``trouble`` says why."""

    sent: list[Outgoing] = field(default_factory=list)
    trouble: Exception | None = None
    # what is in a text that this service will not take, or that fails without a word
    refuses: str = ""
    fails_for: str = ""

    def __call__(self, message: Outgoing) -> None:
        if self.trouble is not None:
            raise self.trouble
        whole = f"{message.subject} {message.text}"
        if self.refuses and self.refuses in whole:
            raise MessageRefused("error=400")
        if self.fails_for and self.fails_for in whole:
            raise DeliveryFailed("error=500")
        self.sent.append(message)

    @property
    def subjects(self) -> list[str]:
        return [message.subject for message in self.sent]

    def fails(self, why: str = "error=500") -> None:
        self.trouble = DeliveryFailed(why)


class Scene:
    """A notifier over recording channels; ``look`` moves the clock and works once."""

    def __init__(self, *names: str, ping: Any = None, **rules: Any) -> None:
        self.names = names or ("phone",)
        own = rules.pop("channels", {})
        # whatever the hour of the day is: a summary comes only where a test is about it
        rules["kinds"] = {"daily_summary": False} | rules.get("kinds", {})
        channels = {
            name: own.get(name, ChannelSettings(url_env="NOTIFY_PHONE_URL")) for name in self.names
        }
        self.rules = Notifications(channels=channels, **rules)
        self.heard = {name: Recorder() for name in self.names}
        self.now = timezone.now()
        self.ping = ping
        self.notifier = self.restarted()
        self.look()

    def restarted(self) -> Notifier:
        """Return a notifier as a new process would have it: it knows only rows."""
        usable = {
            name: Transport(FoundChannel(name, ChannelKind.CHAT, "tgram://…"), self.heard[name])
            for name in self.names
        }
        channels_sync([channel.found for channel in usable.values()], now=self.now)
        self.notifier = Notifier(self.rules, usable, ping=self.ping, send_within_s=5.0)
        return self.notifier

    def look(self, **later: float) -> int:
        self.now += timedelta(**later) if later else timedelta(seconds=2)
        return self.notifier.look(self.now)

    @property
    def phone(self) -> Recorder:
        return self.heard[self.names[0]]
