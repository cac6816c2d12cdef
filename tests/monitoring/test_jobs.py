"""Jobs of the schedule, judged by how long ago they last ended well."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from monitoring.jobs import job_list
from monitoring.services import job_ended, jobs_know
from tests.accounts.callers import by_token

pytestmark = pytest.mark.django_db
TASK = "resources.tasks.maintenance_due"


@pytest.fixture
def now():
    """The moment at which is judged; there is one job, every ten minutes."""
    every = IntervalSchedule.objects.create(every=600, period="seconds")
    PeriodicTask.objects.create(name="maintenance that is due", task=TASK, interval=every)
    return timezone.now()


def state(now, **given):
    (job,) = job_list(now, **given)
    return job.state.value


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [(0, "up"), (959, "up"), (961, "late"), (1_859, "late"), (1_861, "down")],
)
def test_a_job_is_as_well_as_its_last_success_is_young(now, age_s, expected):
    """ORC-65: half a period and a minute of grace, down after three periods."""
    job_ended(task=TASK, code_version="1.2", at=now - timedelta(seconds=age_s))
    assert state(now) == expected


def test_a_job_that_never_ended_is_new_for_its_period_and_then_late(now):
    """ORC-65"""
    assert state(now) == "new", "nobody has looked yet"
    jobs_know(tasks=[TASK], at=now)
    for age_s, expected in ((959, "new"), (961, "late"), (1_861, "down")):
        later = now + timedelta(seconds=age_s)
        # it is knocked for all the while
        PeriodicTask.objects.update(last_run_at=later, date_changed=later)
        jobs_know(tasks=[TASK], at=later)
        assert state(later) == expected


def test_a_job_that_is_switched_off_is_paused_however_long_ago_it_ran(now):
    """ORC-65"""
    job_ended(task=TASK, at=now - timedelta(days=9))
    PeriodicTask.objects.update(enabled=False)
    assert state(now) == "paused"


def test_what_lies_before_the_judge_began_is_not_held_against_a_job(now):
    """F-025: after a pause of hours everything is old."""
    job_ended(task=TASK, at=now - timedelta(hours=9))
    assert state(now) == "down"
    assert state(now, judged_from=now - timedelta(seconds=5)) == "up"


def test_a_row_whose_task_is_not_on_the_schedule_is_no_job(now):
    """ORC-65: beat keeps the rows of jobs that were taken away, and nobody writes how they end."""
    every = IntervalSchedule.objects.get()
    for name, task in (("a job that was renamed", "gone.tasks.due"), ("by hand", "trades.x")):
        PeriodicTask.objects.create(name=name, task=task, interval=every)
    assert [job.task for job in job_list(now)] == [TASK]


def test_the_last_error_is_told_until_a_later_success(now):
    job_ended(task=TASK, at=now - timedelta(seconds=30))
    job_ended(task=TASK, error="OSError: disk full", at=now - timedelta(seconds=20))
    (job,) = job_list(now)
    assert (job.state.value, job.reason) == ("up", "failed last: OSError: disk full")
    job_ended(task=TASK, code_version="1.2", at=now - timedelta(seconds=10))
    (job,) = job_list(now)
    assert (job.reason, job.code_version) == ("", "1.2")


def test_the_system_tells_of_each_job_and_a_late_one_is_a_warning(now):
    """ORC-65: state, last success, version."""
    job_ended(task=TASK, code_version="1.2", at=now - timedelta(hours=1))
    (job,) = by_token("viewer").get("/api/v1/monitoring/components").json()["jobs"]
    assert (job["job"], job["state"], job["code_version"]) == (
        "maintenance that is due",
        "down",
        "1.2",
    )
    status = by_token("viewer").get("/api/v1/monitoring/status").json()
    assert [row["state"] for row in status["jobs"]] == ["down"]
