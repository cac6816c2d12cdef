"""What the admin pages show of the whole installation."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django_celery_beat import admin as _beat_pages  # noqa: F401  (registers what is removed here)
from django_celery_beat import models as beat

from trades.models import Mode
from trades.selectors import run_current

# The schedule stands in the code; editing it here would stop trading without a trace in the audit.
for model in (
    beat.PeriodicTask,
    beat.IntervalSchedule,
    beat.CrontabSchedule,
    beat.SolarSchedule,
    beat.ClockedSchedule,
):
    admin.site.unregister(model)

_LABELS = {
    Mode.LIVE: ["LIVE", "danger"],
    Mode.PAPER: ["PAPER", "warning"],
}


def environment_label(request: HttpRequest) -> list[str]:
    """Return text and colour of the badge on every admin page: is this real money?"""
    run = run_current()
    return _LABELS.get(Mode(run.mode), ["SIMULATED", "info"]) if run else ["NO RUN", "info"]
