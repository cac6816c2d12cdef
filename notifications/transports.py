"""Where a message leaves: chat and mail by apprise, webhooks of one's own by the house's guard.

Apprise reaches the services named in ``SCHEMES``, whose hosts are its own, and mail servers. What
posts to any address (its json, xml and form plugins) is not among them: an https address that is
no known service is a webhook, goes through ``accounts.outbound`` and to listed hosts only (SEC-41).
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accounts.errors import OutboundRefused
from accounts.outbound import outbound_post, outbound_target
from notifications.core import delivery
from notifications.core.config import Notifications
from notifications.core.masking import scrubbed, shown_address
from notifications.errors import ChannelUnusable, DeliveryFailed, MessageRefused
from notifications.models import ChannelKind
from notifications.services import FoundChannel

# mail, and services whose hosts are built into apprise
SCHEMES = ("discord", "mailto", "mailtos", "pover", "slack", "tgram")
_LONGEST_REASON = 300
# what apprise puts around a title
_MARKUP = 20
# what a service answers to a message it will not take, however often it is asked
_NOT_THIS_ONE = (400, 413, 422)
_REFUSED = re.compile(r"\berror=(400|413|422)\b")
# apprise takes tags out of a title where it would only escape them in a text
_PLAIN = str.maketrans("<>", "\u2039\u203a")
# url, body, hosts -> status of the answer
Post = Callable[[str, bytes, Sequence[str]], int]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message as it leaves."""

    subject: str
    text: str
    severity: str
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class Transport:
    """One usable channel. Its text never shows the address."""

    found: FoundChannel
    send: Callable[[Outgoing], None] = field(repr=False)


def secret_of(name: str, environment: Mapping[str, str]) -> str:
    """Return what ``NAME`` or the file ``NAME_FILE`` holds.

    Raises:
        ChannelUnusable: neither is set, or the file cannot be read.
    """
    if value := environment.get(name, "").strip():
        return value
    if file_name := environment.get(f"{name}_FILE", ""):
        try:
            return Path(file_name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ChannelUnusable(f"{name}_FILE was not readable") from error
    raise ChannelUnusable(f"{name} is not set where the notifier runs")


def post_guarded(url: str, body: bytes, hosts: Sequence[str]) -> int:
    """Post JSON to a listed public host and return the answer's status.

    Raises:
        OutboundRefused: an address we do not post to.
        OSError: no connection or no answer in time.
    """
    target = outbound_target(url, allowed_hosts=hosts)
    return outbound_post(target, body, headers={"Content-Type": "application/json"}).status


def transports(
    rules: Notifications,
    *,
    environment: Mapping[str, str] | None = None,
    post: Post = post_guarded,
) -> tuple[dict[str, Transport], list[FoundChannel]]:
    """Return usable channels by name, and everything found, the unusable with their problem."""
    given = os.environ if environment is None else environment
    usable, found = {}, []
    for name, channel in sorted(rules.channels.items()):
        shown = channel.url_env
        kind = ChannelKind.CHAT
        try:
            url = secret_of(channel.url_env, given)
            shown, plugin = shown_address(url), _plugin(url)
            kind = ChannelKind.WEBHOOK if plugin is None else ChannelKind.CHAT
            known = FoundChannel(name, kind, shown)
            send = _webhook(url, channel.hosts, post) if plugin is None else _chat(url)
        except ChannelUnusable as error:
            found.append(FoundChannel(name, kind, shown, str(error)))
            continue
        usable[name] = Transport(known, send)
        found.append(known)
    return usable, found


def _plugin(url: str) -> Any:
    """Return apprise's plugin for an address, None for a webhook of one's own.

    Raises:
        ChannelUnusable: a scheme that is not used here, or an address apprise does not understand.
    """
    # half a second and 20 MB that only the notifier pays
    import apprise

    scheme = url.partition("://")[0].lower()
    # our name, and no pictures from other people's servers
    asset = apprise.AppriseAsset(
        app_id="Tradeplatform",
        app_desc="Tradeplatform",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        async_mode=False,
    )
    plugin = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if scheme == "https":
        is_known = plugin is not None and _scheme_of(plugin) in SCHEMES
        return plugin if is_known else None
    if scheme not in SCHEMES:
        allowed = ", ".join(f"{s}://" for s in SCHEMES)
        # shown_address: a token pasted without a scheme must not be shown as one
        raise ChannelUnusable(f"the address was {shown_address(url)}, allowed: https://, {allowed}")
    if plugin is None:
        raise ChannelUnusable(f"the {scheme} address was not one that apprise understands")
    return plugin


def _scheme_of(plugin: Any) -> str:
    own = plugin.secure_protocol or plugin.protocol
    return str(own if isinstance(own, str) else own[0]).lower()


def _chat(url: str) -> Callable[[Outgoing], None]:
    def send(message: Outgoing) -> None:
        import apprise

        # one plugin a message: a session that hangs is not the next message's
        plugin = _plugin(url)
        title = message.subject.translate(_PLAIN)
        # what is longer the service refuses as a whole; all of it stands on the page
        room = plugin.body_maxlen - delivery.sent_length(title) - _MARKUP
        if message.is_silent and hasattr(plugin, "silent"):
            plugin.silent = True
        with _heard() as said:
            is_sent = plugin.notify(
                body=delivery.cut_as_sent(message.text, room),
                title=title,
                # our words, not markup: a price below a limit is no tag
                body_format=apprise.NotifyFormat.TEXT,
                notify_type=_NOTIFY_TYPES[message.severity],
            )
            heard = said.getvalue()
        if not is_sent:
            is_refused = _REFUSED.search(heard) is not None
            raise (MessageRefused if is_refused else DeliveryFailed)(_reason(heard, url))

    return send


def _heard() -> Any:
    """Return what apprise says of a failure while it sends; it returns only yes or no."""
    import apprise

    # its lines may hold addresses: they are heard here, and go nowhere else
    logging.getLogger("apprise").propagate = False
    return apprise.LogCapture(level=logging.WARNING, fmt="%(message)s")  # type: ignore[no-untyped-call]


_NOTIFY_TYPES = {"info": "info", "warning": "warning", "critical": "failure"}


def _reason(heard: str, url: str) -> str:
    """Return apprise's own words without anything of the address."""
    lines = [line.strip() for line in scrubbed(heard, [url]).splitlines() if line.strip()]
    text = lines[-1] if lines else "the service did not take it"
    return text[:_LONGEST_REASON]


def _webhook(url: str, hosts: Sequence[str], post: Post) -> Callable[[Outgoing], None]:
    def send(message: Outgoing) -> None:
        body = json.dumps(
            {
                "title": message.subject,
                "text": message.text,
                "severity": message.severity,
                "silent": message.is_silent,
            }
        ).encode()
        status = posted(url, body, hosts, post)
        if status in _NOT_THIS_ONE:
            raise MessageRefused(f"the webhook answered {status}")
        if not 200 <= status < 300:
            raise DeliveryFailed(f"the webhook answered {status}")

    return send


def posted(url: str, body: bytes, hosts: Sequence[str], post: Post) -> int:
    """Post and return the status.

    Raises:
        DeliveryFailed: refused by the guard, or no answer; the text holds nothing of the path.
    """
    try:
        return post(url, body, hosts)
    except OutboundRefused as error:
        raise DeliveryFailed(scrubbed(str(error), [])) from error
    except OSError as error:
        said = error.strerror or type(error).__name__
        raise DeliveryFailed(f"no answer: {scrubbed(said, [url])}"[:_LONGEST_REASON]) from error
    except ValueError as error:
        # its text may hold the address
        said = type(error).__name__
        raise DeliveryFailed(f"the address cannot be used as it is written: {said}") from error
