"""The notifier as configured here: its channels, its ping, its bot, from file and environment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from notifications.core.config import Notifications, TelegramSettings
from notifications.errors import ChannelUnusable
from notifications.models import ChannelKind
from notifications.notifier import Notifier
from notifications.ping import ping_of
from notifications.services import FoundChannel
from notifications.telegram import API, TelegramApi
from notifications.telegram_bot import CHANNEL, TelegramBot
from notifications.transports import Transport, secret_of, transports

# Another address of Telegram's API, on this machine only: for trying the bot without Telegram.
API_VARIABLE = "TRADEPLATFORM_TELEGRAM_API"


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the notifier works with; ``found`` is what the pages show of it."""

    notifier: Notifier
    usable: Mapping[str, Transport]
    bot: TelegramBot | None
    found: tuple[FoundChannel, ...]


def wiring(rules: Notifications, environment: Mapping[str, str]) -> Wiring:
    """Return everything that can be used; what cannot is found with its problem, and the rest
    works without it."""
    usable, found = transports(rules, environment=environment)
    ping, of_ping = ping_of(rules.ping, environment)
    bot, of_bot = _bot(rules.telegram, environment)
    return Wiring(Notifier(rules, usable, ping=ping), usable, bot, (*found, *of_ping, *of_bot))


def _bot(
    rules: TelegramSettings | None, environment: Mapping[str, str]
) -> tuple[TelegramBot | None, list[FoundChannel]]:
    if rules is None:
        return None, []
    try:
        token = secret_of(rules.token_env, environment)
        api = TelegramApi(token, base=environment.get(API_VARIABLE) or API)
    except ChannelUnusable as error:
        return None, [FoundChannel(CHANNEL, ChannelKind.TELEGRAM, rules.token_env, str(error))]
    people = ", ".join(sorted(set(rules.people.values())))
    bot = TelegramBot(api, rules.people, monotonic=time.monotonic)
    return bot, [FoundChannel(CHANNEL, ChannelKind.TELEGRAM, f"listens to {people}"[:300])]
