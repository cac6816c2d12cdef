"""Telegram's bot API over plain HTTPS: two methods, no library, no token in any text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from notifications.errors import ChannelUnusable, TelegramUnavailable

API = "https://api.telegram.org"
CONNECT_S, READ_S = 5.0, 10.0
# How long one question for news waits at the server.
POLL_S = 25
_LONGEST_TEXT = 4_000
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Incoming:
    """One text message to the bot. ``at_s`` is Telegram's time; ``is_private`` says that chat and
    sender are one person: in a group anybody could speak."""

    update_id: int
    chat_id: int
    sender_id: int
    is_private: bool
    at_s: int
    text: str


class TelegramApi:
    """One bot. Never raises anything that holds the token: it is part of every address."""

    def __init__(self, token: str, *, base: str = API) -> None:
        """Raises:
        ChannelUnusable: a token that is none, or another address than Telegram's off this machine.
        """
        number, _, rest = token.partition(":")
        if not (number.isdigit() and rest and rest.replace("_", "").replace("-", "").isalnum()):
            raise ChannelUnusable("the bot's token was not NUMBER:LETTERS as BotFather gives it")
        host = urlsplit(base).hostname or ""
        if base != API and not (base.startswith("http://") and host in _LOOPBACK):
            raise ChannelUnusable(f"the address of Telegram was at {host!r}, allowed: {API}")
        self._url = f"{base}/bot{token}"
        self._session = requests.Session()
        # a proxy from the environment would see the token
        self._session.trust_env = False

    def updates(self, after: int, *, wait_s: int = POLL_S) -> list[Incoming | int]:
        """Return what came after an update's number, oldest first; what is no text message is
        its number alone.

        Raises:
            TelegramUnavailable: no answer, or not one of Telegram's.
        """
        given = {"offset": after + 1, "timeout": wait_s, "allowed_updates": ["message"]}
        found = self._call("getUpdates", given, read_s=READ_S + wait_s)
        if not isinstance(found, list):
            raise TelegramUnavailable("getUpdates did not answer with a list")
        return [incoming_of(update) for update in found if isinstance(update, dict)]

    def send(self, chat_id: int, text: str) -> None:
        """Send plain text; what is too long for one message is cut.

        Raises:
            TelegramUnavailable: as ``updates``.
        """
        given = {"chat_id": chat_id, "text": text[:_LONGEST_TEXT], "disable_web_page_preview": True}
        self._call("sendMessage", given, read_s=READ_S)

    def _call(self, method: str, given: Mapping[str, Any], *, read_s: float) -> Any:
        try:
            answer = self._session.post(
                f"{self._url}/{method}",
                json=dict(given),
                timeout=(CONNECT_S, read_s),
                allow_redirects=False,
            )
            document = answer.json()
        except (requests.RequestException, ValueError) as error:
            # its text holds the address, and that the token; so would its traceback
            raise TelegramUnavailable(f"{method}: {type(error).__name__}") from None
        if not isinstance(document, dict) or document.get("ok") is not True:
            said = document.get("description", "") if isinstance(document, dict) else ""
            raise TelegramUnavailable(f"{method}: {answer.status_code} {str(said)[:120]}".strip())
        return document.get("result")


def incoming_of(update: Mapping[str, Any]) -> Incoming | int:
    """Return a text message, or the update's number where it is none."""
    number = update.get("update_id")
    update_id = number if isinstance(number, int) else 0
    message = update.get("message")
    if not isinstance(message, dict):
        return update_id
    chat, sender = message.get("chat"), message.get("from")
    text, at_s = message.get("text"), message.get("date")
    if not (isinstance(chat, dict) and isinstance(sender, dict) and isinstance(text, str)):
        return update_id
    chat_id, sender_id = chat.get("id"), sender.get("id")
    if not (isinstance(chat_id, int) and isinstance(sender_id, int) and isinstance(at_s, int)):
        return update_id
    is_private = chat.get("type") == "private" and chat_id == sender_id
    return Incoming(update_id, chat_id, sender_id, is_private, at_s, text)
