"""What beat knocks on: training has its queue, its limits and never that of trading."""

import pytest
from django.conf import settings

from strategies import tasks
from tests.strategies.models import CODE, make_request
from tradeplatform.celery import app

KNOCKS = {
    entry["task"]: entry
    for entry in settings.CELERY_BEAT_SCHEDULE.values()
    if entry["task"].startswith("strategies.")
}


@pytest.mark.parametrize("name", ["train_due", "trials_due", "scores_due"])
def test_a_knock_has_a_task_a_queue_of_its_own_and_limits(name):
    """ORC-16: research, not trading; a knock expires before the next one."""
    app.loader.import_default_modules()
    entry = KNOCKS[f"strategies.tasks.{name}"]
    task = app.tasks[entry["task"]]
    assert entry["options"]["queue"] == "research"
    assert entry["options"]["expires"] < entry["schedule"]
    assert task.soft_time_limit < task.time_limit <= 110


def test_anything_of_this_room_is_routed_to_research():
    assert settings.CELERY_TASK_ROUTES["strategies.tasks.*"] == {"queue": "research"}


@pytest.mark.django_db
def test_a_knock_does_what_waits():
    make_request()
    assert CODE in tasks.train_due()
    assert tasks.train_due() == "nothing to train"
    assert (tasks.trials_due(), tasks.scores_due()) == (0, 0)
