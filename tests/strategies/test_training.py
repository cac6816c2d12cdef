"""From a trigger to a seat: one job a period, resumable, abortable, within its time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from strategies import training
from strategies.core.evolution import Table
from strategies.errors import PredictorUnknown, StrategyRefused
from strategies.lifecycle import table_of
from strategies.models import JobStatus, PredictorEvent, PredictorModel, Stage, TrainingJob
from strategies.scores import moment
from strategies.training import (
    MAX_ATTEMPTS,
    PERIOD_MS,
    check_trainable,
    training_abort,
    training_claim,
    training_run,
)
from tests.bar_factory import random_walk
from tests.strategies.core.test_desk import BARS, END_MS
from tests.strategies.models import CODE, SCOPE, make_candles, make_model, make_request

pytestmark = pytest.mark.django_db


def job() -> TrainingJob:
    return TrainingJob.objects.get()


def test_a_trigger_is_one_job_a_period_whoever_calls():
    """ORC-16: cool-down and dedupe, with an audit event."""
    assert make_request() is not None
    assert make_request("decline") is None, "one is open"
    TrainingJob.objects.update(status=JobStatus.DONE)
    assert make_request(at_ms=END_MS + 1) is None, "the same period"
    assert make_request(at_ms=END_MS + PERIOD_MS) is not None
    assert make_request("manual", at_ms=END_MS + PERIOD_MS) is None, "one is open again"
    assert AuditEvent.objects.filter(action="training.request").count() == 2


def test_soon_after_a_candidate_only_a_person_may_ask_again():
    """ORC-16: 2,000 bars of a minute are a day and a half."""
    make_request()
    TrainingJob.objects.update(status=JobStatus.DONE, model=make_model())
    assert make_request(at_ms=END_MS + 1_999 * 60_000) is None
    assert make_request("manual", at_ms=END_MS + 1) is not None
    TrainingJob.objects.update(status=JobStatus.DONE)
    assert make_request(at_ms=END_MS + 2_100 * 60_000) is not None


def test_what_learns_as_it_goes_is_no_job():
    assert make_request(code="online-linear") is None
    with pytest.raises(StrategyRefused, match="learns as it goes"):
        check_trainable("online-linear")
    with pytest.raises(PredictorUnknown, match="known are"):
        check_trainable("oracle")


def test_a_job_trains_judges_and_seats_a_candidate_that_is_better():
    """ORC-16, ORC-85: on stored candles up to the trigger, out of sample, with lineage."""
    make_candles()
    make_request()
    said = training_run()
    done = job()
    assert (done.status, done.progress_fraction) == (JobStatus.DONE, 1.0), done.error
    assert done.result["verdict"] == "CHALLENGER", said
    assert done.result["p_better"] < 0.05 and done.result["n"] >= 200
    model = done.model
    assert model.stage == Stage.CHALLENGER
    assert model.lineage["trained_to_ms"] < END_MS
    assert model.lineage["seed"] == done.seed
    assert table_of(code=CODE, scope=SCOPE) == Table("", model.version)
    stages = [(e.from_stage, e.to_stage) for e in PredictorEvent.objects.filter(model=model)]
    assert stages == [("CANDIDATE", "CHALLENGER"), ("", "CANDIDATE")]


def test_noise_ends_discarded_with_the_reason():
    """ORC-16: the champion stays."""
    make_candles(random_walk(7, 3_500))
    make_request(at_ms=int(random_walk(7, 3_500).ts_ms[-1]) + 60_000)
    training_run()
    assert job().result["verdict"] == "DISCARDED", job().error
    assert job().result["reason"].startswith("not better out of sample")
    assert table_of(code=CODE, scope=SCOPE) == Table()


def test_candles_after_the_trigger_are_not_read():
    """ORC-16: the same job gives the same model, however late it is done."""
    make_candles()
    make_request()
    rows = training._dataset(job())
    assert rows.label_ms.max() <= END_MS
    assert len(rows) > 500


def test_too_few_candles_is_said_and_nothing_is_broken():
    make_request()
    training_run()
    assert job().status == JobStatus.DONE
    assert job().result["verdict"] == "not trained"


def test_while_one_is_tried_no_other_is_trained():
    make_candles()
    make_request()
    training_run()
    TrainingJob.objects.update(model=None, until_at=timezone.now() - timedelta(days=900))
    make_request(at_ms=END_MS + 40 * PERIOD_MS)
    assert "is in its trial" in training_run()
    assert PredictorModel.objects.filter(payload__gt="").count() == 1


def test_a_job_whose_worker_died_is_taken_up_again_and_given_up_at_last():
    """ORC-16: resumable; claims by one row or nobody."""
    make_request()
    assert training_claim() is not None
    assert training_claim() is None, "it is claimed"
    for attempt in range(2, MAX_ATTEMPTS + 1):
        TrainingJob.objects.update(claimed_until_at=timezone.now() - timedelta(seconds=1))
        taken = training_claim()
        assert taken is not None and taken.attempts == attempt
    TrainingJob.objects.update(claimed_until_at=timezone.now() - timedelta(seconds=1))
    assert training_claim() is None
    assert (job().status, job().error) == (JobStatus.FAILED, "given up after 3 attempts")


def test_a_job_that_died_after_training_is_judged_without_training_again(monkeypatch):
    """ORC-16"""
    make_candles()
    make_request()
    TrainingJob.objects.update(model=make_model())
    monkeypatch.setattr(training, "train_candidate", pytest.fail)
    training_run()
    assert job().status == JobStatus.DONE and "verdict" in job().result


def test_an_aborted_job_stops_at_its_next_sign_of_progress(monkeypatch):
    """ORC-16: the person's reason stands."""
    make_candles()
    make_request()
    real = training.train_candidate

    def aborted(*given, progress, **named):
        training_abort(job=job(), actor="ada", reason="not now")
        return real(*given, progress=progress, **named)

    monkeypatch.setattr(training, "train_candidate", aborted)
    training_run()
    assert (job().status, job().error) == (JobStatus.ABORTED, "not now")
    assert PredictorModel.objects.filter(payload__gt="").count() == 0
    with pytest.raises(StrategyRefused, match="is over"):
        training_abort(job=job(), actor="ada", reason="again")


def test_a_training_past_its_time_is_stopped():
    """ORC-16: it shares a worker with heartbeats."""
    make_candles()
    make_request()
    ticks = iter(range(0, 10_000, 50))
    training_run(monotonic=lambda: float(next(ticks)))
    assert job().status == JobStatus.ABORTED
    assert "longer than 60 s" in job().error


def test_a_training_that_breaks_is_failed_with_the_error(monkeypatch):
    """ORC-17"""
    make_candles()
    make_request()

    def broken(*given, **named):
        raise MemoryError("no room")

    monkeypatch.setattr(training, "train_candidate", broken)
    training_run()
    assert (job().status, job().error) == (JobStatus.FAILED, "MemoryError: no room")


def test_an_abort_needs_a_reason():
    make_request()
    with pytest.raises(StrategyRefused, match="reason was empty"):
        training_abort(job=job(), actor="ada", reason=" ")


def test_nothing_due_is_nothing_done():
    assert training_run() == "nothing to train"
    assert len(BARS) == 4_000


def test_a_training_sees_bars_that_had_closed_at_its_trigger_and_no_other():
    """ORC-16: the bar that opens at the trigger's moment is still ahead of it."""
    make_candles()
    row = 400
    close_ms = int(BARS.ts_ms[row]) + BARS.timeframe_ms
    job = make_request(at_ms=close_ms)
    for at_ms, last in ((close_ms, row), (close_ms - 1, row - 1)):
        found = training._bars(job, job.symbols[0], 100, moment(at_ms))
        assert len(found) == 100
        assert int(found.ts_ms[-1]) == int(BARS.ts_ms[last])
