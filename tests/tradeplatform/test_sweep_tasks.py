"""Units of a sweep shared out over workers: each stored once, whoever runs it, dies or comes twice.

Messages lie in a list; what a unit finds is a figure of its parameters, so that a sweep of many
units takes no time. What real replays find is in test_sweep_jobs.py.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from django.conf import settings as live
from django.db import connection
from django.utils import timezone

from research import tasks
from research.claims import claim_oldest
from research.core.sweep import Outcome, result_digest
from research.errors import ReplayStopped
from research.models import Sweep, SweepStatus, SweepUnit
from research.pulse import Pulse
from research.sweep_services import sweep_change, sweep_reap, sweep_start
from research.sweep_units import unit_claim, unit_pulse
from tests.research.scene import FILE, candle_folder, csv_of
from tradeplatform import sweep_jobs, sweep_tasks
from tradeplatform.sweep_jobs import sweep_run

ASKED = {"data": [FILE], "strategy": "breakout", "trials": 7, "folds": 2, "purge_bars": 20}
ASKED |= {"ranges": {"channel_bars": [8, 40], "stop_atr": [1.0, 3.0]}, "in_sample_share": 0.6}
NEVER_S = 3600.0
N_UNITS = 2 * (7 + 2)


class Mail:
    """The broker: what was sent and not yet delivered, in order."""

    def __init__(self) -> None:
        self.plans: list[str] = []
        self.units: list[int] = []

    def plan_send(self, sweep: Sweep) -> None:
        self.plans.append(str(sweep.code))

    def units_send(self, units) -> None:
        sweep_units_sent(units)
        self.units += [unit.pk for unit in units]

    def deliver(self, rng: random.Random, copies: int = 1) -> None:
        """Hand everything out, in any order and ``copies`` times, until nothing is left."""
        while self.plans or self.units:
            for code in self.plans * copies:
                sweep_tasks.sweep_plan(code)
            self.plans.clear()
            waiting, self.units = self.units * copies, []
            rng.shuffle(waiting)
            for pk in waiting:
                sweep_tasks.sweep_unit(pk)


def sweep_units_sent(units) -> None:
    SweepUnit.objects.filter(pk__in=[unit.pk for unit in units]).update(sent_at=timezone.now())


def figure(request, strategy, window, unit, period_ms, tell, histories) -> Outcome:
    """What a unit finds here: returns that depend on its parameters and its window alone."""
    tell(0, 0)
    rng = random.Random(repr((sorted(unit.parameters.items()), unit.window, unit.kind)))
    returns = tuple(rng.gauss(0.001, 0.01) for _ in range(70))
    return Outcome(unit, sum(returns), 9, returns)


@pytest.fixture(autouse=True)
def folder(tmp_path, settings):
    settings.RESEARCH_DATA_FOLDERS = [candle_folder(tmp_path, 1_000)]
    looks_again()
    return tmp_path


def looks_again() -> None:
    """Make the worker forget what it read, as a new process or a later minute would."""
    sweep_tasks._prepared.cache_clear()
    sweep_tasks._refused.clear()


@pytest.fixture
def mail(monkeypatch) -> Mail:
    box = Mail()
    for module in (tasks, sweep_tasks):
        monkeypatch.setattr(module, "units_send", box.units_send)
    monkeypatch.setattr(tasks, "plan_send", box.plan_send)
    monkeypatch.setattr(sweep_jobs, "unit_outcome", figure)
    monkeypatch.setattr(sweep_tasks, "PULSE_EVERY_S", NEVER_S)
    return box


def start(folder, **given) -> Sweep:
    return sweep_start(given=ASKED | {"workers": True} | given, folders=[folder], actor="olga")


def passes(seconds: float) -> None:
    """Let time pass for every claim and message."""
    back = timedelta(seconds=seconds)
    for unit in SweepUnit.objects.all():
        unit.claimed_until_at = unit.claimed_until_at and unit.claimed_until_at - back
        unit.sent_at = unit.sent_at and unit.sent_at - back
        unit.finished_at = unit.finished_at and unit.finished_at - back
        unit.save()


@pytest.mark.django_db
def test_a_sweep_has_the_same_digest_in_one_process_and_over_workers_that_get_all_twice(
    folder, mail
):
    start(folder, workers=False)
    alone = claim_oldest(Sweep)
    # its pulse waits: another connection does not see the rows of this test
    assert sweep_run(alone, pulse=Pulse(lambda *_: "", every_s=NEVER_S)) == "DONE"
    alone.refresh_from_db()
    for seed in (1, 2):
        shared = start(folder)
        assert tasks.sweeps_due() == f"started {shared.code}"
        mail.deliver(random.Random(seed), copies=2)
        shared.refresh_from_db()
        assert (shared.status, shared.units_done, shared.slot) == ("DONE", N_UNITS, None)
        assert result_digest(shared.result) == result_digest(alone.result)
        units = SweepUnit.objects.filter(sweep=shared)
        assert units.count() == N_UNITS
        assert set(units.values_list("attempts", flat=True)) == {1}


@pytest.mark.django_db
def test_a_unit_that_is_held_or_done_is_run_by_nobody_else(folder, mail, monkeypatch):
    start(folder)
    tasks.sweeps_due()
    sweep_tasks.sweep_plan(mail.plans.pop())
    pk = mail.units[0]
    sweep = Sweep.objects.get()
    held = unit_claim(sweep=sweep, worker="another:1", pk=pk)
    assert sweep_tasks.sweep_unit(pk) == "another's"
    assert unit_pulse(unit=held) == ""
    passes(60)
    assert sweep_tasks.sweep_unit(pk) == "stored"
    assert unit_pulse(unit=held).startswith("no longer its own")
    monkeypatch.setattr(sweep_jobs, "unit_outcome", None)
    assert sweep_tasks.sweep_unit(pk) == "sent 0"
    assert SweepUnit.objects.get(pk=pk).attempts == 2


@pytest.mark.django_db
def test_lost_messages_and_dead_workers_are_made_good_by_the_knock(folder, mail):
    start(folder)
    tasks.sweeps_due()
    sweep_tasks.sweep_plan(mail.plans.pop())
    sent = list(mail.units)
    dead = unit_claim(sweep=Sweep.objects.get(), worker="dead:1", pk=sent[0])
    mail.units.clear()
    tasks.sweeps_due()
    assert (mail.units, mail.plans) == ([], [])
    passes(120)
    tasks.sweeps_due()
    assert mail.units[0] == dead.pk
    passes(120)
    tasks.sweeps_due()
    assert set(mail.units) == set(sent)
    mail.deliver(random.Random(1))
    assert Sweep.objects.get().status == "DONE"


@pytest.mark.django_db
def test_a_unit_that_ends_three_workers_ends_its_sweep_with_one_line(folder, mail):
    start(folder)
    tasks.sweeps_due()
    sweep_tasks.sweep_plan(mail.plans.pop())
    for number in range(3):
        tasks.sweeps_due()
        assert unit_claim(sweep=Sweep.objects.get(), worker=f"w{number}:1", pk=mail.units[0])
        passes(60)
    tasks.sweeps_due()
    sweep = Sweep.objects.get()
    assert (sweep.status, sweep.slot) == ("FAILED", None)
    assert "ended without a word 3 times, the last time on w2:1" in sweep.error
    sweep_change(sweep=sweep, to=SweepStatus.QUEUED, actor="olga", reason="more memory now")
    tasks.sweeps_due()
    mail.deliver(random.Random(1))
    assert Sweep.objects.get().status == "DONE"


@pytest.mark.django_db
def test_pause_stops_every_unit_and_resume_goes_on_with_those_that_are_left(
    folder, mail, monkeypatch
):
    sweep = start(folder)
    tasks.sweeps_due()
    sweep_tasks.sweep_plan(mail.plans.pop())
    for pk in mail.units[:3]:
        assert sweep_tasks.sweep_unit(pk) == "stored"
    sweep_change(sweep=sweep, to=SweepStatus.PAUSED, actor="olga", reason="later")
    assert sweep_tasks.sweep_unit(mail.units[3]) == "not running"
    assert unit_claim(sweep=sweep, worker="a:1") is None
    mail.units.clear()
    tasks.sweeps_due()
    assert (mail.units, mail.plans) == ([], [])
    sweep_change(sweep=sweep, to=SweepStatus.QUEUED, actor="olga", reason="now")
    tasks.sweeps_due()
    monkeypatch.setattr(sweep_jobs, "unit_outcome", refuse_after(figure, N_UNITS - 3))
    mail.deliver(random.Random(1))
    sweep.refresh_from_db()
    assert (sweep.status, sweep.units_done) == ("DONE", N_UNITS)


def refuse_after(call, most: int):
    """Return ``call`` as long as it is asked for at most ``most`` units."""
    asked = []

    def counted(*given):
        asked.append(given)
        assert len(asked) <= most
        return call(*given)

    return counted


@pytest.mark.django_db
def test_a_worker_with_other_candles_settings_or_code_refuses_with_one_line(folder, mail, settings):
    """What it would find is not what the others find; nothing is claimed or stored."""
    start(folder)
    tasks.sweeps_due()
    sweep_tasks.sweep_plan(mail.plans.pop())
    pk = mail.units[0]
    for change, line in (
        (lambda: (folder / FILE).write_text(csv_of(1_001)), "refuses its units: candle files was"),
        (lambda: setattr(settings, "CODE_VERSION", "other"), "refuses its units: code was other"),
        (lambda: (folder / FILE).unlink(), f"{FILE}: no such file"),
    ):
        before = (folder / FILE).read_text(), settings.CODE_VERSION
        change()
        looks_again()
        assert sweep_tasks.sweep_unit(pk) == "refused"
        sweep, unit = Sweep.objects.get(), SweepUnit.objects.get(pk=pk)
        assert line in sweep.error and "\n" not in sweep.error
        assert (sweep.status, unit.attempts, unit.sent_at) == ("RUNNING", 0, None)
        (folder / FILE).write_text(before[0])
        settings.CODE_VERSION = before[1]
    looks_again()
    tasks.sweeps_due()
    assert pk in mail.units
    mail.deliver(random.Random(1))
    sweep.refresh_from_db()
    assert (sweep.status, sweep.error) == ("DONE", "")


@pytest.mark.django_db
def test_after_an_upgrade_the_knock_ends_a_sweep_with_one_line_and_the_next_one_begins(
    folder, mail, settings
):
    """No worker of the new code takes a unit of the old one: it would hold the place for ever."""
    start(folder)
    tasks.sweeps_due()
    sweep_tasks.sweep_plan(mail.plans.pop())
    waiting = sweep_start(given=ASKED | {"workers": True}, folders=[folder], actor="piet")
    settings.CODE_VERSION = "upgraded"
    assert tasks.sweeps_due() == f"started {waiting.code}"
    sweep = Sweep.objects.exclude(pk=waiting.pk).get()
    assert (sweep.status, sweep.slot) == ("FAILED", None)
    assert sweep.error.startswith("code was upgraded here, the sweep began on ")


@pytest.mark.django_db
def test_a_worker_that_refuses_a_sweep_reads_its_files_once_a_minute(folder, mail, monkeypatch):
    start(folder)
    tasks.sweeps_due()
    sweep_tasks.sweep_plan(mail.plans.pop())
    (folder / FILE).write_text(csv_of(1_001))
    looks_again()
    reads = []
    read = sweep_tasks.prepared
    monkeypatch.setattr(sweep_tasks, "prepared", lambda sweep: reads.append(1) or read(sweep))
    assert {sweep_tasks.sweep_unit(pk) for pk in mail.units} == {"refused"}
    assert len(reads) == 1
    now_s = time.monotonic()
    monkeypatch.setattr(sweep_tasks.time, "monotonic", lambda: now_s + 61.0)
    (folder / FILE).write_text(csv_of(1_000))
    assert sweep_tasks.sweep_unit(mail.units[0]) == "stored"
    assert len(reads) == 2


@pytest.mark.django_db
def test_a_unit_whose_claim_cannot_be_kept_ends_its_sweep_after_three_attempts(
    folder, mail, monkeypatch
):
    """A claim that ran out counts, a pause of a person does not."""
    start(folder)
    tasks.sweeps_due()
    sweep_tasks.sweep_plan(mail.plans.pop())
    pk = mail.units[0]

    def paused(*given):
        sweep = Sweep.objects.get()
        sweep_change(sweep=sweep, to=SweepStatus.PAUSED, actor="olga", reason="later")
        raise ReplayStopped(unit_pulse(unit=SweepUnit.objects.get(pk=pk)))

    monkeypatch.setattr(sweep_jobs, "unit_outcome", paused)
    sweep_tasks.sweep_unit(pk)
    assert SweepUnit.objects.get(pk=pk).attempts == 0
    sweep_change(sweep=Sweep.objects.get(), to=SweepStatus.QUEUED, actor="olga", reason="now")
    tasks.sweeps_due()

    def silent(*given):
        held = SweepUnit.objects.get(pk=pk)
        passes(60)
        tasks.sweeps_due()
        raise ReplayStopped(unit_pulse(unit=held))

    monkeypatch.setattr(sweep_jobs, "unit_outcome", silent)
    for _ in range(3):
        assert sweep_tasks.sweep_unit(pk).startswith("no longer its own")
        tasks.sweeps_due()
    sweep = Sweep.objects.get()
    assert (sweep.status, sweep.slot) == ("FAILED", None)
    assert "ended without a word 3 times" in sweep.error


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="the child is given a database file")
def test_a_process_killed_in_mid_unit_leaves_it_to_another_and_nothing_twice(folder, mail):
    """A real process, a real SIGKILL while it holds a unit that takes it long."""
    candle_folder(folder, 20_000)
    start(folder, workers=False)
    sweep = claim_oldest(Sweep)
    environment = os.environ | {
        "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}",
        "TRADEPLATFORM_MARKET_DATA": str(folder),
    }
    argv = [sys.executable, "manage.py", "sweep_job", str(sweep.code), str(sweep.attempts)]
    process = subprocess.Popen(argv, cwd=live.BASE_DIR, env=environment, stderr=subprocess.PIPE)
    held = SweepUnit.objects.filter(claimed_until_at__isnull=False, finished_at=None)
    deadline = time.monotonic() + 600
    while not held.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert held.count() == 1, said.decode()[-500:]
    assert held.get().worker.endswith(f":{process.pid}")
    pk = held.get().pk
    passes(60)
    Sweep.objects.update(claimed_until_at=timezone.now() - timedelta(seconds=1))
    assert sweep_reap() == 1
    # settings and code are the same; the folder is named otherwise in there, its files are not
    assert sweep_run(claim_oldest(Sweep)) == "DONE"
    assert SweepUnit.objects.get(pk=pk).attempts == 2
    assert SweepUnit.objects.count() == N_UNITS
    assert not SweepUnit.objects.filter(outcome__isnull=True).exists()
