"""Work counted where it happens, queues, the database."""

import json
import multiprocessing
import os
import time

import pytest
import redis
from django.conf import settings
from django.db import DatabaseError

from resources.counters import UPPER_MS, CounterReader, Counters
from resources.sampling.flow import DatabaseSampler, QueueSampler, WorkSampler, work_readings
from tests.monitoring.conftest import redis_process  # noqa: F401
from tests.trades.rows import make_run
from trades.models import TradingRun


def told(kind, count, span_s=10.0):
    return {r.name: r.value for r in work_readings(kind, count, span_s, 0)}


def test_latency_throughput_and_errors_are_those_of_the_work_done(tmp_path):
    """ORC-27, ORC-28, ORC-29: ten of a hundred fail, four in five take 3 ms, the rest 150 ms."""
    reader, counters = CounterReader(tmp_path), Counters(tmp_path)
    counters.add("decision", 9.0)
    reader.since_last()
    for number in range(100):
        counters.add("decision", 0.150 if number % 5 == 0 else 0.003, failed=number % 10 == 0)
    values = told("decision", reader.since_last()["decision"])
    assert values["errors"] == pytest.approx(0.10, abs=0.01)
    assert values["throughput"] == 10.0
    assert 2.0 <= values["p50"] <= 5.0
    assert 100.0 <= values["p95"] <= 200.0
    assert values["p95"] <= values["p99"] <= 200.0


def test_idle_reads_a_throughput_of_zero_and_no_error_rate(tmp_path):
    """ORC-28"""
    reader = CounterReader(tmp_path)
    reader.since_last()
    values = told("http", reader.since_last()["http"])
    assert (values["throughput"], values["errors"], values["p95"]) == (0.0, None, None)


def _count(folder):
    counters = Counters(folder)
    for _ in range(50):
        counters.add("task", 0.01)


def test_processes_count_side_by_side_and_what_a_dead_one_counted_is_kept(tmp_path):
    """ORC-28"""
    reader = CounterReader(tmp_path)
    reader.since_last()
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=_count, args=(tmp_path,)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert reader.since_last()["task"].done == 150.0
    assert list(tmp_path.glob("*.counts")) == []
    assert reader.since_last()["task"].done == 0.0


def test_a_fork_counts_into_a_file_of_its_own(tmp_path):
    counters = Counters(tmp_path)
    counters.add("task", 0.01)
    pid = os.fork()
    if pid == 0:
        counters.add("task", 0.01)
        os._exit(0)
    os.waitpid(pid, 0)
    counters.add("task", 0.01)
    assert len(list(tmp_path.glob("*.counts"))) == 2
    mine = next(p for p in tmp_path.glob("*.counts") if p.name.startswith(f"{os.getpid()}-"))
    assert CounterReader(tmp_path).since_last()["task"].done == 0.0
    assert mine.stat().st_size > 8 * len(UPPER_MS)


def test_counting_costs_microseconds(tmp_path):
    """ORC-61"""
    counters = Counters(tmp_path)
    began = time.process_time()
    for _ in range(20_000):
        counters.add("query", 0.0001)
    assert (time.process_time() - began) / 20_000 < 50e-6


def test_a_block_that_raises_is_counted_as_failed_and_still_raises(tmp_path):
    """ORC-29"""
    reader, counters = CounterReader(tmp_path), Counters(tmp_path)
    reader.since_last()
    with pytest.raises(KeyError), counters.timed("venue"):
        raise KeyError("x")
    with counters.timed("venue"):
        pass
    assert told("venue", reader.since_last()["venue"])["errors"] == 0.5


def test_the_first_round_tells_nothing_of_what_was_before(tmp_path):
    Counters(tmp_path).add("task", 0.01)
    assert WorkSampler(CounterReader(tmp_path)).read(0) == []


@pytest.mark.django_db
def test_queues_tell_how_many_wait_and_for_how_long(redis_process):  # noqa: F811
    client = redis.Redis.from_url(redis_process.url)
    prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"]
    for age_s in (90.0, 5.0):
        message = json.dumps({"headers": {"published_at": 1_000.0 - age_s}})
        client.lpush(f"{prefix}research", message)
    values = {r.key: r.value for r in QueueSampler(client).read(1_000_000)}
    assert (values["queue:research.depth"], values["queue:research.age"]) == (2.0, 90.0)
    assert (values["queue:io.depth"], values["queue:io.age"]) == (0.0, 0.0)
    client.delete(f"{prefix}research")


@pytest.mark.django_db
def test_a_broker_that_is_away_is_unknown_not_empty():
    client = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.1)
    assert {r.value for r in QueueSampler(client).read(0)} == {None}


@pytest.mark.django_db
def test_the_queue_of_each_account_is_told_while_it_trades(monkeypatch):
    """ORC-29, D-59: a worker of another account that falls behind is seen as main's is."""

    class Away:
        def pipeline(self, transaction):
            raise redis.ConnectionError

    sampler = QueueSampler(Away())
    make_run()
    second = make_run(account="second", config={"accounts": {"second": {}}})
    subjects = {r.subject for r in sampler.read(0)}
    assert {"queue:trading", "queue:trading.second"} < subjects

    def closed():
        raise DatabaseError

    with monkeypatch.context() as patch:
        patch.setattr("resources.sampling.flow.runs_by_queue", closed)
        assert {r.subject for r in sampler.read(0)} == subjects
    TradingRun.objects.filter(pk=second.pk).update(ended_at=second.started_at)
    assert {r.subject for r in sampler.read(0)} == subjects - {"queue:trading.second"}


@pytest.mark.django_db
def test_the_databases_size_is_told():
    """ORC-43"""
    values = {r.key: r.value for r in DatabaseSampler().read(0)}
    assert values["database.size"] > 10_000
