"""A process of a worker's pool that died within a job, killed or out of memory (F-009).

Celery makes a new one at once and nothing that trades is lost; only the log would know. It is
written down where the supervisor writes ends: the watchdog makes an alert and an incident of it.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from celery.exceptions import TimeLimitExceeded, WorkerLostError
from celery.signals import task_failure
from django.conf import settings

from tradeplatform.supervisor import ENDS_FILE


class LostJobs:
    """Hears what the main process of a worker has to say for jobs that cannot say it themselves.

    A job that Celery queues anew is not heard of: it is done again.
    """

    def __init__(self, worker: str) -> None:
        """``worker`` is its node name, such as ``trading1@host``."""
        self._name = f"{worker.partition('@')[0]} pool"

    def failed(self, *, sender: Any, exception: BaseException, **_: Any) -> None:
        """Write down a job that ended with its process; a full disk must not stop the worker."""
        if not isinstance(exception, (WorkerLostError, TimeLimitExceeded)):
            return
        how = f"lost a process within {sender.name}: {exception}"
        line = json.dumps({"name": self._name, "how": how[:300], "at": time.time()})
        path = Path(settings.VAR_DIR) / "run" / ENDS_FILE
        with contextlib.suppress(OSError), path.open("a") as file:
            file.write(line + "\n")

    def connect(self) -> None:
        task_failure.connect(self.failed, weak=False)  # type: ignore[no-untyped-call]
