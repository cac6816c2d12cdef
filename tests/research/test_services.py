"""Replay jobs: one at a time, kept alive, never stuck, fenced, aborted, audited."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from research.claims import claim_oldest
from research.errors import ReplayRefused
from research.models import ReplayJob
from research.services import (
    MAX_ATTEMPTS,
    replay_abort,
    replay_done,
    replay_failed,
    replay_note,
    replay_pulse,
    replay_reap,
    replay_released,
    replay_start,
    replay_stopped,
)
from tests.research.scene import FILE, candle_folder, make_job

pytestmark = pytest.mark.django_db
RESULT = {"bars": 5, "bars_per_s": 2.0}
DONE = {"result": RESULT, "report": {"version": 1}, "code_version": "c", "config_digest": "d"}


@pytest.fixture
def folder(tmp_path):
    return candle_folder(tmp_path, 5)


def dies(job: ReplayJob) -> None:
    ReplayJob.objects.filter(pk=job.pk).update(
        claimed_until_at=timezone.now() - timedelta(seconds=1)
    )


def beat(job: ReplayJob) -> str:
    return replay_pulse(job=job, bars_done=2, bars_total=4, bars_per_s=9.0)


def test_a_person_has_one_replay_waiting(folder):
    """SEC-42: one queued a user; another person's does not count."""

    def start(actor):
        return replay_start(given={"data": [FILE]}, folders=[folder], actor=actor)

    first = start("olga")
    with pytest.raises(ReplayRefused, match=r"that wait were 1, allowed: 1"):
        start("olga")
    start("vera")
    assert claim_oldest(ReplayJob) == first
    start("olga")
    assert AuditEvent.objects.filter(action="replay.start").count() == 3


def test_one_replay_runs_at_a_time_oldest_first(folder):
    first, second = make_job(folder), make_job(folder)
    claimed = claim_oldest(ReplayJob)
    assert (claimed, claimed.status, claimed.attempts) == (first, "RUNNING", 1)
    assert claim_oldest(ReplayJob) is None, "the slot is taken"
    replay_done(job=claimed, **DONE)
    assert claim_oldest(ReplayJob) == second


def test_a_dead_process_leaves_no_job_running(folder):
    """Back to the queue at most twice, then failed with a reason."""
    job = make_job(folder)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        claimed = claim_oldest(ReplayJob)
        assert claimed.attempts == attempt
        assert replay_reap() == 0, "it was heard of a moment ago"
        dies(job)
        assert replay_reap() == 1
        job.refresh_from_db()
        assert (job.slot, job.claimed_until_at) == (None, None)
    assert job.status == "FAILED"
    assert "ended without a word 3 times" in job.error


def test_a_process_that_lost_its_job_writes_nothing(folder):
    """The attempt is the fence."""
    make_job(folder)
    old = claim_oldest(ReplayJob)
    dies(old)
    replay_reap()
    new = claim_oldest(ReplayJob)
    assert beat(old) == "taken over"
    assert replay_done(job=old, **DONE) is False
    replay_failed(job=old, reason="too late")
    new.refresh_from_db()
    assert (new.status, new.result, new.attempts) == ("RUNNING", None, 2)
    assert beat(new) == ""
    assert replay_done(job=new, **DONE) is True
    new.refresh_from_db()
    assert (new.status, new.progress_fraction, new.slot) == ("DONE", 1.0, None)


def test_a_sign_of_life_tells_progress_and_renews_the_claim(folder):
    job = make_job(folder, "RUNNING")
    dies(job)
    assert beat(job) == ""
    job.refresh_from_db()
    assert (job.progress_fraction, job.bars_done, job.bars_per_s) == (0.5, 2, 9.0)
    assert job.claimed_until_at > timezone.now()


def test_a_waiting_replay_is_aborted_at_once_and_a_running_one_at_its_next_sign(folder):
    waiting, running = make_job(folder), make_job(folder, "RUNNING")
    for job in (waiting, running):
        replay_abort(job=job, actor="olga", reason="wrong file")
        job.refresh_from_db()
    assert (waiting.status, running.status) == ("ABORTED", "ABORTING")
    assert beat(running) == "aborted"
    replay_stopped(job=running)
    running.refresh_from_db()
    assert (running.status, running.error, running.slot) == ("ABORTED", "wrong file", None)
    assert AuditEvent.objects.filter(action="replay.abort", reason="wrong file").count() == 2
    with pytest.raises(ReplayRefused, match="was ABORTED, allowed: QUEUED, RUNNING"):
        replay_abort(job=running, actor="olga", reason="again")
    with pytest.raises(ReplayRefused, match="reason was empty"):
        replay_abort(job=running, actor="olga", reason=" ")


def test_an_aborted_replay_whose_process_died_ends_aborted(folder):
    job = make_job(folder, "ABORTING", error="wrong file")
    dies(job)
    replay_reap()
    job.refresh_from_db()
    assert (job.status, job.error) == ("ABORTED", "wrong file")


def test_a_stop_of_the_platform_gives_the_job_back_without_counting_it(folder):
    make_job(folder)
    job = claim_oldest(ReplayJob)
    replay_released(job=job)
    job.refresh_from_db()
    assert (job.status, job.attempts, job.slot) == ("QUEUED", 0, None)


def test_notes_are_replaced_and_audited(folder):
    job = make_job(folder)
    replay_note(job=job, notes="better than before", actor="olga")
    job.refresh_from_db()
    assert job.notes == "better than before"
    event = AuditEvent.objects.get(action="replay.note")
    assert (event.before, event.after) == ({"notes": ""}, {"notes": "better than before"})
    with pytest.raises(ReplayRefused, match="notes had 2001 characters"):
        replay_note(job=job, notes="x" * 2001, actor="olga")
