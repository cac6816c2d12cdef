from __future__ import annotations

import asyncio
import itertools

import orjson
import pytest
import redis

from monitoring.hub import QUEUE_LENGTH, Hub, Subscriber
from monitoring.publish import TOPICS


@pytest.fixture
async def hub(redis_process, keys):
    reads = []

    async def snapshot() -> dict:
        reads.append(1)
        return {"n_reads": len(reads)}

    hub = Hub(redis_process.url, snapshot, keys=keys)
    hub.reads = reads  # type: ignore[attr-defined]
    yield hub
    await hub.stop()


async def drain(subscriber: Subscriber, n: int, timeout_s: float = 5.0) -> list[dict]:
    """Return the next ``n`` frames, failing where fewer arrive."""
    frames = []
    for _ in range(n):
        text = await asyncio.wait_for(subscriber.frames.get(), timeout_s)
        frames.append(orjson.loads(text))
    return frames


async def publish(publisher, topic: str, *values: int) -> None:
    for value in values:
        await asyncio.to_thread(publisher.publish, topic, {"i": value})


async def joined(hub: Hub, **fields) -> Subscriber:
    subscriber = Subscriber("user 1", **fields)
    hub.add(subscriber)
    await hub.ensure_started()
    await hub.join_with_snapshot(subscriber)
    return subscriber


async def test_the_first_frame_is_a_snapshot_and_the_next_frames_follow_its_number(hub, publisher):
    await publish(publisher, "bars", 1, 2)
    subscriber = await joined(hub)
    await publish(publisher, "bars", 3, 4)
    snapshot, *deltas = await drain(subscriber, 3)
    assert snapshot["topic"] == "snapshot"
    assert [d["seq"] for d in deltas] == [snapshot["seq"] + 1, snapshot["seq"] + 2]
    assert [d["data"]["i"] for d in deltas] == [3, 4]


async def test_frames_published_while_the_snapshot_is_read_are_not_lost(redis_process, keys):
    """I-24: the number is taken before the read."""
    from monitoring.publish import StreamPublisher

    publisher = StreamPublisher(redis_process.url, keys=keys)

    async def slow_snapshot() -> dict:
        await publish(publisher, "trades", 7, 8)
        await asyncio.sleep(0.2)
        return {}

    hub = Hub(redis_process.url, slow_snapshot, keys=keys)
    await publish(publisher, "trades", 6)
    subscriber = await joined(hub)
    _, *deltas = await drain(subscriber, 3)
    assert [d["data"]["i"] for d in deltas] == [7, 8]
    await hub.stop()


async def test_a_client_that_comes_back_catches_up_without_gap_or_repeat(hub, publisher):
    """F-101, I-24: reconnecting with the last number seen gives exactly what was missed."""
    first = await joined(hub)
    await publish(publisher, "orders", *range(10))
    _, *seen = await drain(first, 11)
    hub.remove(first)
    await publish(publisher, "orders", *range(10, 40))
    second = await joined(hub)
    await drain(second, 1)
    second.frames = asyncio.Queue(QUEUE_LENGTH)
    await asyncio.sleep(0.1)
    second.frames = asyncio.Queue(QUEUE_LENGTH)
    await hub.join_since(second, seen[4]["seq"], hub.epoch)
    missed = await drain(second, 35)
    assert [d["data"]["i"] for d in missed] == list(range(5, 40))
    numbers = [d["seq"] for d in missed]
    assert numbers == list(range(numbers[0], numbers[0] + 35))


@pytest.mark.parametrize("case", ["trimmed", "future", "other epoch"])
async def test_a_position_the_log_does_not_know_gets_a_snapshot(hub, publisher, case):
    subscriber = await joined(hub)
    await publish(publisher, "orders", *range(3))
    await drain(subscriber, 4)
    since = {"trimmed": 1, "future": hub.seq + 1000, "other epoch": hub.seq}[case]
    epoch = "elsewhere" if case == "other epoch" else hub.epoch
    await hub.join_since(subscriber, since, epoch)
    (frame,) = await drain(subscriber, 1)
    assert frame["topic"] == "snapshot"


async def test_a_new_epoch_sends_everyone_a_snapshot(hub, publisher, redis_process, keys):
    """F-100: after a lost log nobody goes on from a number of the old one."""
    subscriber = await joined(hub)
    await publish(publisher, "bars", 1)
    await drain(subscriber, 2)
    server = redis.Redis.from_url(redis_process.url)
    await asyncio.to_thread(server.delete, keys.log, keys.seq, keys.epoch)
    await asyncio.sleep(0.01)
    await publish(publisher, "bars", 2)
    frames = await drain(subscriber, 1)
    assert frames[0]["topic"] == "snapshot"


async def test_a_slow_socket_is_dropped_and_the_others_miss_nothing(hub, publisher):
    """F-099: a full queue drops its owner only."""
    slow, fast = await joined(hub), await joined(hub)
    seen = []

    async def read_all() -> None:
        while len(seen) < QUEUE_LENGTH + 101:
            seen.append(orjson.loads(await fast.frames.get()))

    reader = asyncio.create_task(read_all())
    for start in range(0, QUEUE_LENGTH + 100, 100):
        await publish(publisher, "bars", *range(start, start + 100))
    await asyncio.wait_for(reader, 20)
    assert slow.dropped.is_set()
    assert not fast.dropped.is_set()
    assert [f["data"]["i"] for f in seen[1:]] == list(range(QUEUE_LENGTH + 100))
    assert slow.frames.qsize() == QUEUE_LENGTH


async def test_a_burst_beyond_the_log_ends_in_a_snapshot_and_numbers_that_follow(hub, publisher):
    """F-100, I-24: 5,000 events while nobody reads; what was trimmed is made up for by rows."""
    await publish(publisher, "bars", 0)
    subscriber = await joined(hub)
    (first,) = await drain(subscriber, 1)
    await hub.stop()
    await asyncio.to_thread(lambda: [publisher.publish("bars", {"i": i}) for i in range(5_000)])
    await hub.ensure_started()
    seen = [first]
    while seen[-1]["seq"] < first["seq"] + 5_000:
        seen += await drain(subscriber, 1)
    assert [f["topic"] for f in seen].count("snapshot") >= 2, "the gap was mended from the database"
    assert len(seen) < 5_000, "and not by sending everything after all"
    for earlier, later in itertools.pairwise(seen):
        assert later["topic"] == "snapshot" or later["seq"] == earlier["seq"] + 1
        assert later["seq"] >= earlier["seq"], "numbers never go back"
    assert not subscriber.dropped.is_set()


async def test_a_socket_hears_only_the_topics_it_asked_for(hub, publisher):
    subscriber = await joined(hub, topics=frozenset({"alerts"}))
    await publish(publisher, "bars", 1)
    await publish(publisher, "alerts", 2)
    _, delta = await drain(subscriber, 2)
    assert (delta["topic"], delta["data"]) == ("alerts", {"i": 2})
    assert "bars" in TOPICS


async def test_a_storm_of_reconnects_shares_one_read_of_the_database(hub, publisher):
    """F-101: two hundred tabs that wake together cost one snapshot."""
    await publish(publisher, "bars", 1)
    subscribers = await asyncio.gather(*(joined(hub) for _ in range(200)))
    for subscriber in subscribers:
        (frame,) = await drain(subscriber, 1)
        assert frame["topic"] == "snapshot"
    assert len(hub.reads) == 1


async def test_sockets_work_from_the_database_alone_while_redis_is_down(tmp_path, keys):
    async def snapshot() -> dict:
        return {"truth": "database"}

    hub = Hub(f"unix://{tmp_path}/nobody.sock", snapshot, keys=keys)
    subscriber = await joined(hub)
    (frame,) = await drain(subscriber, 1)
    assert frame["data"] == {"truth": "database"}
    await hub.stop()
