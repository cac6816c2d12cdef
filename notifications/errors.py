"""Errors of this room. No message of theirs holds an address or a token."""

from __future__ import annotations

from accounts.errors import Refused


class DeliveryFailed(Exception):
    """A message did not leave; the text says why and may be shown."""


class MessageRefused(DeliveryFailed):
    """The service works and would not take this message as it is."""


class ChannelUnusable(Exception):
    """A channel that cannot be used as it is configured; the text says what is wrong."""


class TelegramUnavailable(Exception):
    """Telegram did not answer, or not with what was asked."""


class NotificationRefused(Refused):
    """Something asked of the notifier that is not done."""

    status = 400
    reason_code = "notification_refused"
