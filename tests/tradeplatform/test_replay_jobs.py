"""A replay job from claim to end: the same result as the command, or one line that says why not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from io import StringIO

import pytest
from django.conf import settings as live
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from research import children
from research.claims import claim_oldest
from research.errors import ReplayStopped
from research.models import ReplayJob
from research.pulse import Pulse
from research.services import replay_abort, replay_beat, replay_reap
from research.tasks import replays_due
from tests.research.scene import FILE, candle_folder, make_job
from tradeplatform.replay_jobs import STOPPED_BY_PLATFORM, job_run
from trades.models import Decision, Order, TradingRun

N_BARS = 1_500
NEVER_S = 3600.0


@pytest.fixture
def folder(tmp_path, settings):
    settings.RESEARCH_DATA_FOLDERS = [candle_folder(tmp_path, N_BARS)]
    return tmp_path


def run(job: ReplayJob) -> ReplayJob:
    """Work on a job in this process; its pulse waits, for the test holds the database."""
    job_run(job, Pulse(replay_beat(job), every_s=NEVER_S))
    job.refresh_from_db()
    return job


@pytest.mark.django_db
def test_what_stands_in_a_broken_file_is_no_job_s_reason(folder, settings):
    """SEC-28: every reader sees why a replay failed."""
    settings.CONFIG_FILE = folder / "config.yaml"
    settings.CONFIG_FILE.write_text("exchange: {secret: f3a0c1d2}\n")
    make_job(folder)
    job = run(claim_oldest(ReplayJob))
    assert (job.status, job.error) == ("FAILED", "config.yaml cannot be used")


@pytest.mark.django_db
def test_a_job_ends_with_the_result_of_the_command_and_touches_no_live_table(folder, tmp_path):
    """I-26: the same digest, whoever asks; and the report beside it is one of these bars."""
    make_job(folder)
    job = run(claim_oldest(ReplayJob))
    assert job.status == "DONE", job.error
    out, there = StringIO(), tmp_path / "out"
    call_command(
        "replay",
        data=[str(folder / FILE)],
        predictors="none",
        json=True,
        stdout=out,
        out=str(there),
    )
    printed = json.loads(out.getvalue().splitlines()[-1])
    measured = {"elapsed_s", "bars_per_s", "peak_rss_mb"}
    assert {k: v for k, v in job.result.items() if k not in measured} == {
        k: v for k, v in printed.items() if k not in measured
    }
    report = json.loads((there / "report.json").read_text())
    assert report == job.report
    assert report["trades_total"] == printed["trades"] > 0
    assert report["funnel"][0] == {"step": "bars", "n": N_BARS}
    assert sum(row["n"] for row in report["refused"]) == printed["filtered"]
    fees = sum(float(row["fees_quote"]) for row in report["trades"])
    assert report["costs"]["fees_quote"] >= fees > 0
    assert len((there / "trades.csv").read_text().splitlines()) == printed["trades"] + 1
    assert "<svg" in (there / "report.html").read_text()
    assert not (TradingRun.objects.exists() or Order.objects.exists() or Decision.objects.exists())


@pytest.mark.django_db
def test_what_is_wrong_with_the_data_ends_the_job_with_one_line(folder):
    """F-087"""
    make_job(folder, asked={"to": "2001-01-01"})
    job = run(claim_oldest(ReplayJob))
    assert job.status == "FAILED"
    assert job.error.startswith("no bar opens between")
    (folder / FILE).unlink()
    ReplayJob.objects.update(status="QUEUED")
    assert "no such file in the data folders any more" in run(claim_oldest(ReplayJob)).error


@pytest.mark.django_db
def test_an_abort_and_a_stop_of_the_platform_end_the_work_at_the_next_bars(folder):
    make_job(folder)
    job = claim_oldest(ReplayJob)
    pulse = Pulse(replay_beat(job), every_s=NEVER_S)
    replay_abort(job=job, actor="olga", reason="wrong file")
    pulse.beat()
    with pytest.raises(ReplayStopped, match="aborted"):
        pulse.tell(1, 2)
    job_run(job, pulse)
    job.refresh_from_db()
    assert (job.status, job.error, job.result) == ("ABORTED", "wrong file", None)
    make_job(folder)
    job = claim_oldest(ReplayJob)
    pulse = Pulse(replay_beat(job), every_s=NEVER_S)
    pulse.ask_to_stop(STOPPED_BY_PLATFORM)
    job_run(job, pulse)
    job.refresh_from_db()
    assert (job.status, job.attempts) == ("QUEUED", 0)


@pytest.mark.django_db
def test_memory_over_the_limit_fails_the_job_and_says_so(folder, monkeypatch):
    def greedy(*_):
        raise MemoryError

    monkeypatch.setattr("tradeplatform.replay_jobs.replayed", greedy)
    make_job(folder)
    job = run(claim_oldest(ReplayJob))
    assert (job.status, job.error) == ("FAILED", "memory was over 3000 MB, the limit of a replay")


@pytest.mark.django_db
def test_a_knock_starts_what_waits_once_and_does_not_wait_for_it(folder, monkeypatch):
    """Heartbeats of the same worker wait for no replay."""
    started = []
    monkeypatch.setattr(children.subprocess, "Popen", lambda argv, **_: started.append(argv))
    job = make_job(folder)
    assert replays_due() == f"started {job.code}"
    assert replays_due() == "nothing to start"
    assert [argv[1:] for argv in started] == [["manage.py", "replay_job", str(job.code), "1"]]


@pytest.mark.django_db
def test_a_job_that_is_not_claimed_is_refused_with_one_line(folder):
    job = make_job(folder)
    with pytest.raises(CommandError, match="is not claimed for attempt 1") as refused:
        call_command("replay_job", str(job.code), "1")
    assert refused.value.returncode == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="the child is given a database file")
def test_a_killed_process_leaves_a_job_that_another_finishes(folder):
    """A real process, a real SIGKILL; the job starts over and ends once."""
    make_job(folder)
    environment = os.environ | {
        "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}",
        "TRADEPLATFORM_MARKET_DATA": str(folder),
    }

    def start(job: ReplayJob) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "manage.py", "replay_job", str(job.code), str(job.attempts)]
        return subprocess.Popen(argv, cwd=live.BASE_DIR, env=environment, stderr=subprocess.PIPE)

    first = start(claim_oldest(ReplayJob))
    os.kill(first.pid, signal.SIGKILL)
    first.communicate(timeout=60)
    ReplayJob.objects.update(claimed_until_at=timezone.now() - timedelta(seconds=1))
    assert replay_reap() == 1
    second = start(claim_oldest(ReplayJob))
    # it runs at the lowest priority, so beside other tests it may wait long for a processor
    _, said = second.communicate(timeout=600)
    job = ReplayJob.objects.get()
    assert (job.status, job.attempts, job.slot) == ("DONE", 2, None), said.decode()[-500:]
