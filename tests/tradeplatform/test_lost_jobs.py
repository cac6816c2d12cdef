"""A process of a pool that died within a job: written down, and told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import TimeLimitExceeded, WorkerLostError
from django.utils import timezone

from monitoring.models import Alert, Incident
from tradeplatform import probes
from tradeplatform.lost_jobs import LostJobs
from trades.tasks import advance

pytestmark = pytest.mark.django_db


def test_a_job_whose_process_was_killed_is_an_alert_and_an_incident(
    tmp_path: Path, settings: Any
) -> None:
    """F-009: only what the job could not say itself; how a job failed is told elsewhere."""
    settings.VAR_DIR, run_dir = tmp_path, tmp_path / "run"
    heard = LostJobs("trading1@host")
    lost = WorkerLostError("Worker exited prematurely: signal 9 (SIGKILL) Job: 7.")
    heard.failed(sender=advance, exception=lost)
    assert probes.tell_of_ends(tmp_path, timezone.now()) == 0, "no folder: nothing to write in"
    run_dir.mkdir()
    heard.failed(sender=advance, exception=ValueError("its own"))
    assert probes.tell_of_ends(run_dir, timezone.now()) == 0
    for error in (lost, TimeLimitExceeded(60)):
        heard.failed(sender=advance, exception=error)
    assert probes.tell_of_ends(run_dir, timezone.now()) == 2
    alert = Alert.objects.get()
    assert (alert.code, alert.count, alert.dedupe_key) == (
        "PROCESS_RESTARTED",
        2,
        "restarted:trading1 pool",
    )
    assert "trading1 pool lost a process within trades.tasks.advance" in alert.text
    assert Incident.objects.count() == 2
