"""``manage.py watchdog``: looks at every heartbeat until it is told to stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from notifications.services import notifier_forget
from resources.levers import levers_from_settings
from resources.watch import ResourceWatch
from tradeplatform.configuration import load
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.probes import forget_the_unasked, look_around, probes
from tradeplatform.watchdog import EVERY_S, Watchdog, end_child

# A round that hangs in a driver must not hold up the end; the process ends with its threads.
_SAMPLER_ENDS_S = 2.0


class Command(BaseCommand):
    help = "Raise an alert when a component falls silent; end a worker that stays silent."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: stopping.set())
        try:
            config = load(settings.CONFIG_FILE)
        except ConfigurationError as error:
            raise CommandError(str(error), returncode=2) from error
        limits = config.monitoring
        watchdog = Watchdog(
            limits,
            end=lambda component, up_for_s: end_child(
                settings.VAR_DIR / "run", component, up_for_s
            ),
            monotonic=time.monotonic,
            started_at=timezone.now(),
        )
        if path := os.environ.get("TRADEPLATFORM_READY_FILE"):
            Path(path).touch()
        resources = ResourceWatch(levers_from_settings(), settings.VAR_DIR, limits.optimizer)
        sampling = threading.Thread(
            target=resources.run, args=(stopping,), name="sampler", daemon=True
        )
        sampling.start()
        asked = probes(os.environ)
        is_first = True
        while not stopping.is_set():
            try:
                if is_first:
                    forget_the_unasked(asked)
                    if not config.notifications.is_wanted:
                        notifier_forget(now=timezone.now())
                    is_first = False
                look_around(asked, settings.VAR_DIR / "run", timezone.now())
                watchdog.look(timezone.now())
            except DatabaseError as error:
                # the next look tries again; the screens show this process's own age meanwhile
                self.stderr.write(f"heartbeats could not be read: {error}")
            close_old_connections()
            stopping.wait(EVERY_S)
        sampling.join(_SAMPLER_ENDS_S)
