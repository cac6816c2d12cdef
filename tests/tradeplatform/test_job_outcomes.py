"""How jobs end is written down where they ran, and judged in another process."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from monitoring.models import Alert, Heartbeat, JobRun
from monitoring.services import heartbeat, job_ended
from tests.trades.rows import make_run
from tradeplatform.configuration import Monitoring
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.job_outcomes import JobOutcomes
from tradeplatform.watchdog import Watchdog
from trades.lease import lease_reserve

pytestmark = pytest.mark.django_db
TASK = "trades.tasks.thin_holds"


def ended(outcomes, name=TASK, state="SUCCESS", retval=None):
    outcomes.ended(task=SimpleNamespace(name=name), state=state, retval=retval)


def test_the_end_of_a_job_is_written_with_its_error_and_the_version():
    """ORC-65"""
    outcomes = JobOutcomes()
    ended(outcomes, state="FAILURE", retval=OSError("disk full"))
    row = JobRun.objects.get()
    assert (row.task, row.error, row.succeeded_at) == (TASK, "OSError: disk full", None)
    ended(outcomes)
    row.refresh_from_db()
    assert row.succeeded_at > row.failed_at
    assert row.code_version == settings.CODE_VERSION


def test_what_stands_in_a_broken_file_is_not_written_to_a_job():
    """SEC-28: every reader sees how jobs ended."""
    error = ConfigurationError("config.yaml: exchange.secret was f3a0c1d2, allowed: the keys id")
    ended(JobOutcomes(), state="FAILURE", retval=error)
    assert JobRun.objects.get().error == "ConfigurationError: config.yaml cannot be used"


def test_other_tasks_and_retries_are_nobodys_jobs():
    outcomes = JobOutcomes()
    ended(outcomes, name="trades.tasks.advance")
    ended(outcomes, state="RETRY")
    assert not JobRun.objects.exists()


def test_a_knock_a_second_writes_seldom(django_assert_num_queries):
    outcomes = JobOutcomes()
    ended(outcomes, name="trades.tasks.advance_due")
    with django_assert_num_queries(0):
        ended(outcomes, name="trades.tasks.advance_due")


def test_a_database_that_is_away_leaves_the_job_as_it_was(monkeypatch):
    def away(**_):
        raise DatabaseError("locked")

    outcomes = JobOutcomes()
    with monkeypatch.context() as broken:
        broken.setattr("tradeplatform.job_outcomes.job_ended", away)
        ended(outcomes)
    ended(outcomes)
    assert JobRun.objects.exists()


def watchdog(now):
    return Watchdog(
        Monitoring(),
        end=lambda *_: pytest.fail("nobody is ended for it"),
        monotonic=lambda: 0.0,
        started_at=now - timedelta(days=1),
    )


def test_the_watchdog_tells_of_a_job_that_is_down_once_and_when_it_is_over():
    """ORC-65, ORC-78"""
    now = timezone.now()
    every = IntervalSchedule.objects.create(every=900, period="seconds")
    PeriodicTask.objects.create(name="thin old holds", task=TASK, interval=every)
    job_ended(task=TASK, at=now - timedelta(hours=2))
    job_ended(task=TASK, error="OSError: disk full", at=now - timedelta(hours=1))
    judge = watchdog(now)
    for _ in range(3):
        judge.look(now)
    alert = Alert.objects.get()
    assert (alert.code, alert.severity, alert.count) == ("JOB_DOWN", "warning", 1)
    assert "thin old holds" in alert.text and "OSError: disk full" in alert.text
    job_ended(task=TASK, at=now)
    judge.look(now)
    alert.refresh_from_db()
    assert alert.resolved_at == now


def test_the_watchdog_remembers_since_when_a_job_is_expected():
    """ORC-65: a job that never ends is down by and by, however often it is knocked for."""
    now = timezone.now()
    every = IntervalSchedule.objects.create(every=900, period="seconds")
    PeriodicTask.objects.create(name="thin old holds", task=TASK, interval=every)
    watchdog(now).look(now)
    assert not Alert.objects.exists()
    watchdog(now).look(now + timedelta(hours=1))
    assert Alert.objects.get().text.startswith('the job "thin old holds" did not end well yet')


def test_what_was_told_of_a_job_is_over_when_the_job_is_taken_away(settings):
    """ORC-65: its row stays with beat; no outcome will ever end the alert."""
    now = timezone.now()
    every = IntervalSchedule.objects.create(every=900, period="seconds")
    PeriodicTask.objects.create(name="thin old holds", task=TASK, interval=every)
    job_ended(task=TASK, at=now - timedelta(hours=2))
    judge = watchdog(now)
    judge.look(now)
    assert Alert.objects.filter(resolved_at__isnull=True).count() == 1
    settings.CELERY_BEAT_SCHEDULE = {}
    judge.look(now)
    assert Alert.objects.get().resolved_at == now


def test_a_run_that_stands_idle_is_told_with_its_reason_and_not_as_a_late_heartbeat():
    """F-091"""
    now = timezone.now()
    run = make_run()
    lease_reserve(run=run, code_version="2.0")
    heartbeat(component="loop", expected_every_s=10, at=now - timedelta(minutes=5))
    heartbeat(component="trading", expected_every_s=10, code_version="1.0", at=now)
    watchdog(now).look(now)
    alert = Alert.objects.get()
    assert (alert.code, alert.severity) == ("RUN_IDLE", "critical")
    assert "loop stands idle: the run is reserved for version 2.0" in alert.text
    Heartbeat.objects.filter(component="loop").update(at=now)
    watchdog(now).look(now)
    alert.refresh_from_db()
    assert alert.resolved_at == now


def test_a_loop_whose_run_was_ended_is_no_alert():
    now = timezone.now()
    heartbeat(component="loop", expected_every_s=10, at=now - timedelta(minutes=5))
    assert watchdog(now).look(now) == []
    assert not Alert.objects.exists()
