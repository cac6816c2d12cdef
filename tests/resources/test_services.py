"""Samples, roll-ups, retention, the timetable."""

import random
from datetime import timedelta

import pytest

from resources.core.readings import MetricVector
from resources.core.windows import percentile
from resources.models import Maintenance, OptimizerAction, Resolution, Sample, SlowQuery
from resources.queries import QueryWatch, slow_lines
from resources.services import (
    TIMETABLE,
    as_ms,
    maintenance_run,
    sample_record,
    samples_prune,
    samples_roll_up,
    slow_queries_record,
    timetable_ensure,
)
from tests.resources.fakes import NOW

pytestmark = pytest.mark.django_db
HOST = "here"


def store(minutes, value=lambda index: 0.5):
    start = NOW - timedelta(minutes=minutes)
    values = []
    for index in range(minutes * 12):
        at = start + timedelta(seconds=5 * index)
        values.append(value(index))
        vector = MetricVector.of(as_ms(at), {"host.cpu": values[-1], "gpu:0.gpu": None})
        sample_record(vector=vector, host=HOST)
    return values


def test_a_minute_and_an_hour_are_what_recomputing_from_the_rounds_gives():
    """ORC-68"""
    draw = random.Random(3)
    values = store(60, lambda index: draw.random())
    assert samples_roll_up(now=NOW, host=HOST) == 61
    assert samples_roll_up(now=NOW, host=HOST) == 0
    minute = Sample.objects.filter(resolution_s=Resolution.MINUTE).order_by("at")[7]
    own = values[7 * 12 : 8 * 12]
    assert minute.at == NOW - timedelta(minutes=53)
    assert minute.values == {
        "host.cpu": [12, pytest.approx(sum(own) / 12), min(own), max(own), percentile(own, 0.95)]
    }
    hour = Sample.objects.get(resolution_s=Resolution.HOUR)
    assert hour.values["host.cpu"][:2] == [720, pytest.approx(sum(values) / 720)]


def test_a_minute_that_is_not_over_is_not_summarised():
    store(1)
    samples_roll_up(now=NOW - timedelta(seconds=5), host=HOST)
    assert not Sample.objects.filter(resolution_s=Resolution.MINUTE).exists()


def test_what_is_older_than_its_retention_goes_and_the_rest_stays():
    """ORC-51"""
    ages = {
        Resolution.RAW: timedelta(hours=6),
        Resolution.MINUTE: timedelta(days=7),
        Resolution.HOUR: timedelta(days=400),
    }
    for resolution, kept in ages.items():
        for age in (kept - timedelta(minutes=1), kept + timedelta(minutes=1)):
            Sample.objects.create(host=HOST, resolution_s=resolution, at=NOW - age, values={})
    old = {"action": "clean-temp", "origin": "schedule", "actor": "timetable", "reason": "time"}
    for days in (399, 401):
        OptimizerAction.objects.create(**old, state="judged", started_at=NOW - timedelta(days=days))
    assert samples_prune(now=NOW) == 4
    assert Sample.objects.count() == 3
    assert OptimizerAction.objects.get().started_at == NOW - timedelta(days=399)


def test_maintenance_runs_at_its_time_and_its_next_time_can_be_seen():
    """ORC-49"""
    timetable_ensure(now=NOW)
    due = Maintenance.objects.get(code="prune-samples").next_at
    assert due == NOW + timedelta(minutes=5)
    assert maintenance_run(now=due - timedelta(seconds=1), run=str) == []
    assert maintenance_run(now=due, run=lambda code: f"{code} done") == ["prune-samples"]
    row = Maintenance.objects.get(code="prune-samples")
    assert (row.next_at, row.last_run_at) == (due + timedelta(hours=1), due)
    assert (row.last_outcome, row.missed) == ("prune-samples done", 0)
    assert {code for code, _, _ in TIMETABLE} == set(
        Maintenance.objects.values_list("code", flat=True)
    )


def test_missed_times_are_caught_up_once():
    """ORC-49"""
    timetable_ensure(now=NOW)
    later, ran = NOW + timedelta(hours=9), []
    maintenance_run(now=later, run=lambda code: ran.append(code) or "done")
    assert ran.count("prune-samples") == 1
    assert Maintenance.objects.get(code="prune-samples").missed == 8
    assert maintenance_run(now=later + timedelta(seconds=30), run=str) == []


def test_one_worker_alone_does_what_two_find_due():
    """ORC-49: the other one looks while this one is at its first; both know of all."""
    timetable_ensure(now=NOW)
    later, ran = NOW + timedelta(days=2), []

    def and_the_other_worker_looks_now(code):
        ran.append(code)
        maintenance_run(now=later, run=lambda again: ran.append(again) or "")
        return ""

    maintenance_run(now=later, run=and_the_other_worker_looks_now)
    assert sorted(ran) == sorted(code for code, _, _ in TIMETABLE)


def test_work_that_fails_is_told_and_its_next_time_comes():
    def fail(code):
        raise ValueError("no such folder")

    timetable_ensure(now=NOW)
    maintenance_run(now=NOW + timedelta(minutes=5), run=fail)
    row = Maintenance.objects.get(code="prune-samples")
    assert row.last_outcome == "failed: ValueError: no such folder"
    assert row.next_at > NOW + timedelta(minutes=5)


def test_slow_statements_are_kept_without_their_values(tmp_path):
    """ORC-43"""
    watch = QueryWatch(tmp_path, slow_s=0.0)
    for secret in ("hunter2", "swordfish"):
        watch(lambda *given: None, f"SELECT 1 FROM u WHERE p = '{secret}' AND n IN (%s, %s)",
              (1, 2), False, {})  # fmt: skip
    QueryWatch(tmp_path, slow_s=9.0)(lambda *given: None, "SELECT fast", (), False, {})
    assert slow_queries_record(slow_lines(tmp_path)) == 2
    row = SlowQuery.objects.get()
    assert row.count == 2
    assert row.statement == "SELECT # FROM u WHERE p = # AND n IN (…)"
    assert slow_lines(tmp_path) == []


def test_a_failing_statement_still_raises_and_is_counted(tmp_path):
    def fail(*given):
        raise RuntimeError("no such table")

    with pytest.raises(RuntimeError):
        QueryWatch(tmp_path, slow_s=9.0)(fail, "SELECT 1", (), False, {})
