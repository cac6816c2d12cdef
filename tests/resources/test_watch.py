"""The thread that samples and decides, and who notices when it stops."""

import itertools
import random
import threading
from datetime import timedelta

import psutil
import pytest
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from monitoring.models import Alert
from monitoring.services import heartbeat
from resources.core.config import OptimizerConfig
from resources.core.readings import MetricVector, Reading
from resources.models import Sample
from resources.sampling.sampler import Sampler, build_sampler
from resources.switches import config_holding
from resources.watch import ResourceWatch
from tests.resources.fakes import FakeLevers
from tradeplatform.configuration import Monitoring
from tradeplatform.management.commands import watchdog as command
from tradeplatform.watchdog import Watchdog

pytestmark = pytest.mark.django_db


class Part:
    def __init__(self, value=0.5) -> None:
        self.value = value

    def read(self, at_ms):
        if isinstance(self.value, Exception):
            raise self.value
        return [Reading("host", "cpu", self.value, at_ms)]


class Scripted:
    """A sampler that reads what it is told."""

    def __init__(self, values) -> None:
        self.values = iter(values)

    def read(self, at_ms):
        return MetricVector.of(at_ms, next(self.values))


def watch(tmp_path, sampler, given=None):
    return ResourceWatch(FakeLevers(), tmp_path, given or {}, sampler=sampler)


def test_a_part_that_fails_leaves_the_others_and_is_reported():
    """ORC-60"""
    heard = []
    sampler = Sampler([Part(OSError("gone")), Part(0.7)], lambda where, error: heard.append(where))
    assert sampler.read(0).values() == {"host.cpu": 0.7}
    assert heard == ["sampler Part"]


def test_each_round_is_stored_and_its_heartbeat_follows(tmp_path):
    """ORC-60"""
    loop = watch(tmp_path, Scripted([{"host.cpu": 0.1}, {"host.cpu": 0.2}]))
    assert loop.step() == 5.0
    loop.step()
    assert [row.values for row in Sample.objects.order_by("at")] == [
        {"host.cpu": 0.1},
        {"host.cpu": 0.2},
    ]
    assert loop._levers.beats == ["sampler", "sampler"]
    assert loop._levers.told[-1]["values"] == {"host.cpu": 0.2}


def test_the_files_settings_are_taken_over_and_hold(tmp_path):
    """ORC-46"""
    watch(tmp_path, Scripted([{}]), {"observe_only": True, "cpu_limit": 0.5}).step()
    assert config_holding() == OptimizerConfig(observe_only=True, cpu_limit=0.5)


def test_a_started_watch_remembers_the_rounds_of_before(tmp_path):
    """ORC-47: a baseline survives a restart."""
    now = timezone.now()
    for age in (60, 30):
        Sample.objects.create(
            host="x", resolution_s=0, at=now - timedelta(seconds=age), values={"host.cpu": 0.3}
        )
    loop = watch(tmp_path, Scripted([{"host.cpu": 0.4}]))
    loop.step()
    assert loop.rounds.values("host.cpu") == [0.3, 0.3, 0.4]


def test_a_database_that_is_away_ends_no_loop(tmp_path, monkeypatch):
    """ORC-60"""
    stopping, calls = threading.Event(), []

    def fail(self):
        calls.append(1)
        if len(calls) == 2:
            stopping.set()
        raise DatabaseError("locked")

    monkeypatch.setattr(ResourceWatch, "step", fail)
    monkeypatch.setattr(stopping, "wait", lambda seconds: None)
    watch(tmp_path, Scripted([])).run(stopping)
    assert len(calls) == 2


def test_a_sampler_that_falls_silent_is_an_alert():
    """ORC-60: the watchdog hears of it as of any other component."""
    now = timezone.now()
    heartbeat(component="sampler", expected_every_s=5.0, at=now - timedelta(seconds=120))
    dog = Watchdog(
        Monitoring(),
        end=lambda component, up_for_s: [],
        monotonic=lambda: 0.0,
        started_at=now - timedelta(hours=1),
    )
    assert dog.look(now) == ["sampler"]
    assert Alert.objects.get(resolved_at=None).dedupe_key == "heartbeat:sampler"


def test_the_optimizer_starts_with_the_watchdog_which_every_installation_runs(monkeypatch):
    """ORC-02: without this wiring nothing would ever be optimized."""
    stepped, stop = threading.Event(), []
    monkeypatch.setattr(command.signal, "signal", lambda number, handler: stop.append(handler))

    def step(self):
        stepped.set()
        stop[0](0, None)
        return 0.1

    monkeypatch.setattr(ResourceWatch, "step", step)
    monkeypatch.setattr(command, "look_around", lambda *given: [])
    monkeypatch.setattr(command.Watchdog, "look", lambda self, now: stepped.wait(10) and [])
    command.Command().handle()
    assert stepped.is_set()


def test_beat_knocks_for_the_maintenance_on_a_queue_that_is_served():
    """ORC-02, ORC-49"""
    from tradeplatform.processes import GENERAL_QUEUES

    knocks = {row["task"]: row for row in settings.CELERY_BEAT_SCHEDULE.values()}
    assert knocks["resources.tasks.maintenance_due"]["options"]["queue"] in GENERAL_QUEUES.split(
        ","
    )


def test_sampling_stays_within_its_share_and_memory():
    """ORC-61: of a real round with every part; make bench measures the running process."""
    sampler, process = build_sampler(lambda where, error: None), psutil.Process()
    sampler.read(0)
    rss, cpu = process.memory_info().rss, sum(process.cpu_times()[:2])
    rounds = 20
    for _ in range(rounds):
        sampler.read(0)
    used_s = (sum(process.cpu_times()[:2]) - cpu) / rounds
    assert used_s / OptimizerConfig().sample_every_s < 0.02
    assert process.memory_info().rss - rss < 50e6


def test_a_day_of_rounds_has_no_gap_of_two_intervals(tmp_path, monkeypatch):
    """ORC-60: 24 virtual hours of rounds that take up to 6 s where 5 s lie between two."""
    draw, clock, began = random.Random(5), [0.0], []
    stopping = threading.Event()

    def step(self):
        began.append(clock[0])
        clock[0] += draw.uniform(0.0, 6.0)
        if clock[0] > 86_400.0:
            stopping.set()
        return 5.0

    def wait(seconds):
        clock[0] += seconds

    monkeypatch.setattr("resources.watch.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(ResourceWatch, "step", step)
    monkeypatch.setattr(stopping, "wait", wait)
    watch(tmp_path, Scripted([])).run(stopping)
    gaps = [after - before for before, after in itertools.pairwise(began)]
    assert len(began) > 15_000
    assert max(gaps) < 2 * 5.0
