"""Tells people what happened, by the configured channels; trading never waits for it."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from notifications.core.config import Notifications
from notifications.notifier import EVERY_S
from notifications.services import channels_sync, unheard_tell
from notifications.telegram_bot import run_bot
from tradeplatform.configuration import load
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.notifying import Wiring, wiring


class Command(BaseCommand):
    help = __doc__
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: stopping.set())
        try:
            rules = load(settings.CONFIG_FILE).notifications
        except ConfigurationError as error:
            raise CommandError(str(error), returncode=2) from error
        if path := os.environ.get("TRADEPLATFORM_READY_FILE"):
            Path(path).touch()
        if not rules.is_wanted:
            self.stdout.write("notifications names no channel: nothing to do until it does")
            stopping.wait()
            return
        self._work(rules, wiring(rules, os.environ), stopping)

    def _work(self, rules: Notifications, wired: Wiring, stopping: threading.Event) -> None:
        for channel in wired.found:
            self.stdout.write(f"{channel.name}: {channel.problem or channel.address_shown}")
        if wired.bot is not None:
            threading.Thread(
                target=run_bot, args=(wired.bot, stopping), name="telegram", daemon=True
            ).start()
        is_known = False
        while not stopping.is_set():
            try:
                if not is_known:
                    channels_sync(wired.found, now=timezone.now())
                    unheard_tell(rules, wired.usable, now=timezone.now())
                    is_known = True
                wired.notifier.look(timezone.now())
            except DatabaseError as error:
                # nothing was lost: the next look reads on from the cursors
                self.stderr.write(f"notifications waited for the database: {error}")
            close_old_connections()
            stopping.wait(EVERY_S)
