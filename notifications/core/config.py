"""The section ``notifications`` of the configuration file: channels, switches, hours, people.

Addresses of channels carry tokens, so the file names the environment variable that holds one.
Every such name starts with NOTIFY_: a section of the file must not be able to reach for another
secret, nor take it away from the process that needs it.
"""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from notifications.core.events import Kind, Severity

# YAML reads on and off as booleans; who quotes them is understood as well
Switch = bool | Literal["on", "off", "silent"]
Level = Literal["info", "warning", "critical"]
SecretName = Annotated[str, Meta(pattern=r"^NOTIFY_[A-Z0-9_]{1,60}$")]
HostName = Annotated[str, Meta(pattern=r"^\.?[a-z0-9]([a-z0-9.-]{0,250})$")]
# 22:00 without quotes is a number to YAML: minutes since midnight, which is what it means here
ClockTime = (
    Annotated[int, Meta(ge=0, le=1_439)]
    | Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
)
ChannelName = r"^[a-z0-9][a-z0-9-]{0,39}$"
SWITCHABLE = tuple(kind.value for kind in Kind if kind is not Kind.TEST)
DEFAULT_SWITCHES: dict[str, str] = dict.fromkeys(SWITCHABLE, "on") | {
    Kind.FILL.value: "off",
    Kind.ALERT_CLOSED.value: "silent",
}


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Immutable, keyword-only, unknown keys refused."""


class ChannelSettings(_Section, frozen=True):
    """One place to tell. ``hosts`` is where a webhook of one's own may lead (SEC-41)."""

    url_env: SecretName
    minimum_severity: Level | None = None
    """Of alerts; null leaves the section's own."""
    kinds: dict[str, Switch] = {}
    hosts: Annotated[tuple[HostName, ...], Meta(max_length=10)] = ()

    def __post_init__(self) -> None:
        _known_kinds(self.kinds)


class QuietHours(_Section, frozen=True):
    """Between these times only what is critical is sent; the rest waits for the end."""

    start: ClockTime = "22:00"
    end: ClockTime = "07:00"
    time_zone: Annotated[str, Meta(max_length=60)] = "UTC"

    def __post_init__(self) -> None:
        zone_of(self.time_zone)


class TelegramSettings(_Section, frozen=True):
    """Who may ask the bot: the number of a private chat and the person it belongs to."""

    token_env: SecretName
    people: Annotated[
        dict[
            Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,18}$")],
            Annotated[str, Meta(min_length=1, max_length=150)],
        ],
        Meta(min_length=1, max_length=50),
    ]


class PingSettings(_Section, frozen=True):
    """An address outside that raises the alarm when we fall silent."""

    url_env: SecretName
    hosts: Annotated[tuple[HostName, ...], Meta(min_length=1, max_length=10)] = ("hc-ping.com",)
    every_seconds: Annotated[float, Meta(ge=10.0, le=3_600.0)] = 60.0


class Notifications(_Section, frozen=True):
    """What leaves the machine, where to and when; nothing does without a channel."""

    minimum_severity: Level = "warning"
    """Of alerts; trades, the trading state and the rest are switched by ``kinds``."""
    channels: Annotated[dict[str, ChannelSettings], Meta(max_length=20)] = {}
    kinds: dict[str, Switch] = {}
    quiet_hours: QuietHours | None = None
    digest_minutes: Annotated[float, Meta(ge=0.0, le=1_440.0)] = 0.0
    dedupe_minutes: Annotated[float, Meta(ge=0.0, le=1_440.0)] = 15.0
    messages_per_hour: Annotated[int, Meta(ge=1, le=1_000)] = 30
    daily_summary_at: ClockTime = "07:00"
    time_zone: Annotated[str, Meta(max_length=60)] = "UTC"
    page_url: Annotated[str, Meta(pattern=r"^(https?://[^\s/?#@]+)?$", max_length=200)] = ""
    telegram: TelegramSettings | None = None
    ping: PingSettings | None = None

    def __post_init__(self) -> None:
        _known_kinds(self.kinds)
        zone_of(self.time_zone)
        for name in self.channels:
            if not _is_channel_name(name):
                raise ValueError(f"channels.{name} was not a name, allowed: {ChannelName}")

    @property
    def is_wanted(self) -> bool:
        """Return whether there is anything for a notifier to do."""
        return bool(self.channels) or self.telegram is not None or self.ping is not None

    def secret_names(self) -> tuple[str, ...]:
        """Return every variable that may hold a secret of this section, its _FILE form too."""
        names = [channel.url_env for channel in self.channels.values()]
        names += [part.token_env for part in (self.telegram,) if part is not None]
        names += [part.url_env for part in (self.ping,) if part is not None]
        return tuple(form for name in dict.fromkeys(names) for form in (name, f"{name}_FILE"))

    def switch(self, kind: Kind, channel: str) -> str:
        """Return on, off or silent: the channel's word, else the section's, else the default."""
        own = self.channels[channel].kinds if channel in self.channels else {}
        for said in (own, self.kinds):
            if kind.value in said:
                return _word(said[kind.value])
        return DEFAULT_SWITCHES.get(kind.value, "on")

    def threshold(self, channel: str) -> Severity:
        """Return the least severity of an alert that this channel hears of."""
        own = self.channels[channel].minimum_severity if channel in self.channels else None
        return Severity(own or self.minimum_severity)


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        ValueError: no such zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"time_zone was {name!r}, allowed: a name such as Europe/Berlin"
        ) from error


def minutes_of(value: int | str) -> int:
    """Return minutes since midnight of ``22:00`` or of the number YAML made of it."""
    if isinstance(value, int):
        return value
    hours, _, minutes = value.partition(":")
    return int(hours) * 60 + int(minutes)


def _word(value: bool | str) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return value


def _known_kinds(given: dict[str, Switch]) -> None:
    for kind in given:
        if kind not in SWITCHABLE:
            raise ValueError(f"kinds.{kind} was unknown, allowed: {', '.join(SWITCHABLE)}")


def _is_channel_name(name: str) -> bool:
    return 1 <= len(name) <= 40 and all(c in "abcdefghijklmnopqrstuvwxyz0123456789-" for c in name)
