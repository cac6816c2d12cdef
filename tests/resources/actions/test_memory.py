"""Memory: what a worker does when it is asked to, and who is asked."""

import gc

import pytest

from market.sources.grid import grid_of
from resources.actions.memory import STREAM, ClearCaches, CollectGarbage, TrimBuffers
from resources.actions.relief import caches_cleared, garbage_collected
from tests.monitoring.conftest import redis_process  # noqa: F401
from tests.resources.fakes import context, rounds_of

SIZES = {"process:trading.rss": 3e8, "process:general.rss": 2e8}


class Node:
    def __init__(self) -> None:
        self.itself = self
        self.ballast = list(range(50))


def test_garbage_is_collected_and_objects_and_memory_are_told_before_and_after():
    """ORC-32"""
    gc.disable()
    try:
        for _ in range(20_000):
            Node()
        relief = garbage_collected()
    finally:
        gc.enable()
    assert relief.after["unreachable"] >= 20_000
    assert relief.before["objects"] - relief.after["objects"] >= 20_000
    assert relief.before["rss"] > relief.after["rss"] > 0
    assert relief.saved["bytes"] == relief.before["rss"] - relief.after["rss"]


def test_registered_caches_really_shrink():
    """ORC-33"""
    from decimal import Decimal

    name = "market.sources.grid:grid_of"
    for step in range(1, 6):
        grid_of(Decimal(step))
    relief = caches_cleared()
    assert relief.before[name] >= 5
    assert relief.after[name] == 0
    assert grid_of(Decimal(1)).denominator == 1


@pytest.mark.parametrize("action", [CollectGarbage(), ClearCaches()])
@pytest.mark.parametrize(
    ("rule", "in_flight", "expected"),
    [
        ("memory", 0, "trading"),
        ("memory", 1, "general"),
        ("rss-general", 0, "general"),
        ("rss-trading", 0, "trading"),
        ("rss-trading", 1, None),
    ],
)
def test_the_larger_worker_is_asked_and_never_a_trading_one_with_an_order_in_flight(
    tmp_path, action, rule, in_flight, expected
):
    told = context(tmp_path, rounds=rounds_of(SIZES), rule=rule, orders_in_flight=in_flight)
    parameters = action.parameters(told)
    assert parameters == (expected and {"process": expected})


def test_the_task_goes_to_the_queue_of_that_worker(tmp_path):
    told = context(tmp_path, rounds=rounds_of(SIZES), rule="rss-general")
    action = CollectGarbage()
    assert action.apply(told, action.parameters(told), 7).is_sent
    assert told.workers.sent == [("resources.tasks.relieve_memory", "io", {"action_id": 7})]


def test_the_stream_is_trimmed_to_its_bound_and_the_newest_frames_stay(tmp_path, redis_process):  # noqa: F811
    """ORC-34"""
    import redis

    client = redis.Redis.from_url(redis_process.url)
    client.delete(STREAM)
    for number in range(1, 1_501):
        client.xadd(STREAM, {"tail": "x" * 200}, id=f"{number}-0")
    told = context(tmp_path, rounds=rounds_of(SIZES, n=500))
    action = TrimBuffers(client)
    outcome = action.apply(told, action.parameters(told), 1)
    assert client.xlen(STREAM) == 1_000
    assert client.xrevrange(STREAM, count=1)[0][0] == b"1500-0"
    assert (outcome.before["frames"], outcome.after["frames"]) == (1_500, 1_000)
    assert outcome.saved["bytes"] > 50_000
    assert (outcome.before["rounds"], outcome.after["rounds"]) == (500, 240)
    assert len(told.rounds) == 240
    client.delete(STREAM)
