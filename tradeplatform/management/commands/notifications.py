"""Shows the channels and what they last did, or sends a test message by one of them."""

from __future__ import annotations

import getpass
import json
import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from notifications.errors import DeliveryFailed, NotificationRefused
from notifications.notifier import outgoing
from notifications.selectors import channel_rows, message_list
from notifications.services import (
    channel_ensure,
    channel_test,
    messages_claim,
    messages_failed,
    messages_sent,
)
from tradeplatform.configuration import load
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.notifying import Wiring, wiring

SHOWN = 10


class Command(BaseCommand):
    help = __doc__
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("verb", choices=("status", "test"))
        parser.add_argument("channel", nargs="?", default="", help="of test")
        parser.add_argument("--json", action="store_true", help="one JSON object as last line")

    def handle(self, **options: Any) -> None:
        try:
            rules = load(settings.CONFIG_FILE).notifications
        except ConfigurationError as error:
            raise CommandError(str(error), returncode=2) from error
        if options["verb"] == "status":
            self._status(options["json"])
        else:
            self._test(wiring(rules, os.environ), options["channel"])

    def _status(self, as_json: bool) -> None:
        channels = channel_rows(timezone.now())
        messages = [
            {
                "at": row.created_at,
                "channel": row.channel,
                "kind": row.kind,
                "state": row.state,
                "tries": row.tries,
                "subject": row.subject,
                "why": row.why,
            }
            for row in message_list()[:SHOWN]
        ]
        out = self.stderr if as_json else self.stdout
        if not channels:
            out.write("no channel is configured, or the notifier has not started with one yet")
        for row in channels:
            out.write(
                f"{row['name']:20} {row['kind']:9} {row['state']:9} {row['address']}"
                f"  last sent {_when(row['last_sent_at'])}, {row['waiting']} waiting;"
                f" of a day: {row['sent']} sent, {row['suppressed']} suppressed,"
                f" {row['failed']} failed"
            )
            if said := row["problem"] or row["last_error"]:
                out.write(f"{'':20} {said}")
        for message in messages:
            why = f" ({message['why']})" if message["why"] else ""
            out.write(
                f"{_when(message['at'])} {message['channel']:12} {message['state']:10}"
                f" {message['subject']}{why}"
            )
        if as_json:
            document = {"channels": channels, "messages": messages}
            self.stdout.write(json.dumps(document, default=str))

    def _test(self, wired: Wiring, channel: str) -> None:
        """Send here and now, so that it also tells of a notifier that does not run."""
        now = timezone.now()
        if channel not in wired.usable:
            said = {row.name: row.problem for row in wired.found}.get(channel, "")
            allowed = ", ".join(sorted(wired.usable)) or "none can be used"
            raise CommandError(
                f"channel was {channel!r}{f' ({said})' if said else ''}, allowed: {allowed}",
                returncode=2,
            )
        # only where none is: what the running notifier found must not be overwritten from here
        channel_ensure(wired.usable[channel].found, now=now)
        try:
            message = channel_test(channel=channel, actor=f"command:{getpass.getuser()}"[:120])
        except NotificationRefused as error:
            raise CommandError(str(error), returncode=2) from error
        taken = messages_claim([message], now=now)
        if not taken:
            self.stdout.write(f"{channel}: the notifier took the test message already")
            return
        try:
            wired.usable[channel].send(outgoing(taken))
        except DeliveryFailed as error:
            messages_failed(taken, str(error), now=timezone.now())
            raise CommandError(f"{channel}: not sent, {error}", returncode=1) from error
        messages_sent(taken, now=timezone.now())
        self.stdout.write(f"{channel}: sent")


def _when(at: Any) -> str:
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"
