"""The Celery application. Tasks live in each room's ``tasks.py``; Redis is only a doorbell."""

import os
import sys
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import beat_init, worker_process_init, worker_ready
from django.apps import apps
from django.conf import settings
from django.utils.module_loading import import_string

from resources.celery_counting import connect
from tradeplatform.addresses import database_refusal, one_line_refusals, refuse

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeplatform.settings")

app = Celery("tradeplatform")
app.config_from_object("django.conf:settings", namespace="CELERY")


def _rooms() -> list[str]:
    """Return the rooms whose tasks there are: a layer that cannot be imported is left out, or it
    would end every worker with it (F-077)."""
    rooms = [room.name for room in apps.get_app_configs()]
    wiring: str = getattr(settings, "OPTIMIZATION_WIRING", "")
    # by name: models cannot be imported before the settings were read
    layer = import_string("monitoring.layer.layer")()
    if layer.is_installed or not wiring:
        return rooms
    return [room for room in rooms if room != wiring.partition(".")[0]]


app.autodiscover_tasks(_rooms)
connect()


# The words of Celery's command line that do lasting work; ``inspect`` needs no database.
_LASTING = {"worker", "beat"}


def _is_celery_program() -> bool:
    program = Path(sys.argv[0])
    return program.name == "celery" or program.parts[-2:] == ("celery", "__main__.py")


if _is_celery_program():
    # Celery reads the settings late and wraps what they raise in errors of its own; beat reads
    # its schedule from the database before any of its signals
    with one_line_refusals():
        settings.DATABASES  # noqa: B018
    if _LASTING & set(sys.argv) and (line := database_refusal()):
        refuse(line)


@worker_process_init.connect
def note_how_jobs_end(**_: Any) -> None:
    """In each process of a pool; models can be imported there."""
    import_string("tradeplatform.job_outcomes.JobOutcomes")().connect()


@worker_ready.connect
def note_what_pools_lose(sender: Any = None, **_: Any) -> None:
    """In the main process of a worker, which alone outlives a process of its pool."""
    import_string("tradeplatform.lost_jobs.LostJobs")(sender.hostname).connect()


@worker_ready.connect
@beat_init.connect
def tell_supervisor(**_: Any) -> None:
    """Write the file the supervisor waits for; without a supervisor there is none to write."""
    if path := os.environ.get("TRADEPLATFORM_READY_FILE"):
        Path(path).touch()
