"""The Celery application. Tasks live in each room's ``tasks.py``; Redis is only a doorbell."""

import os
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import beat_init, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeplatform.settings")

app = Celery("tradeplatform")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect
@beat_init.connect
def tell_supervisor(**_: Any) -> None:
    """Write the file the supervisor waits for; without a supervisor there is none to write."""
    if path := os.environ.get("TRADEPLATFORM_READY_FILE"):
        Path(path).touch()
