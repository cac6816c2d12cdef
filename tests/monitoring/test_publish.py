from __future__ import annotations

import time

import orjson
import pytest
import redis

from monitoring.publish import STREAM_LENGTH, StreamPublisher, encode_tail


def log_of(redis_process, keys) -> list[dict]:
    entries = redis.Redis.from_url(redis_process.url).xrange(keys.log)
    return [
        orjson.loads(b'{"seq":' + entry_id.split(b"-")[0] + b"," + fields[b"tail"])
        for entry_id, fields in entries
    ]


def test_frames_are_numbered_without_gaps_in_the_order_they_were_published(
    redis_process, keys, publisher
):
    """I-24: one stream, one growing number."""
    for i in range(20):
        publisher.publish("equity", {"i": i})
    frames = log_of(redis_process, keys)
    assert [f["data"]["i"] for f in frames] == list(range(20))
    first = frames[0]["seq"]
    assert [f["seq"] for f in frames] == list(range(first, first + 20))
    assert {f["topic"] for f in frames} == {"equity"}


def test_the_number_never_goes_back_when_redis_starts_empty(redis_process, keys, publisher):
    """I-24: a lost Redis begins a new epoch above every number given before."""
    server = redis.Redis.from_url(redis_process.url)
    for _ in range(3):
        publisher.publish("bars", {})
    before, epoch = int(server.get(keys.seq)), server.get(keys.epoch)
    server.delete(keys.log, keys.seq, keys.epoch)
    time.sleep(0.01)
    publisher.publish("bars", {})
    assert int(server.get(keys.seq)) > before
    assert server.get(keys.epoch) != epoch


def test_the_log_is_bounded(redis_process, keys, publisher):
    for i in range(STREAM_LENGTH + 500):
        publisher.publish("bars", {"i": i})
    kept = redis.Redis.from_url(redis_process.url).xlen(keys.log)
    assert STREAM_LENGTH <= kept <= STREAM_LENGTH + 200


def test_a_missing_redis_is_counted_and_never_raised(tmp_path):
    """The publisher may not stop trading; after a failure it stays away for a while."""
    lonely = StreamPublisher(f"unix://{tmp_path}/nobody.sock")
    started = time.monotonic()
    for _ in range(50):
        lonely.publish("decisions", {"id": "x"})
    assert lonely.failures == 50
    assert time.monotonic() - started < 2.0


def test_an_unknown_topic_is_counted_and_does_not_silence_the_others(
    redis_process, keys, publisher
):
    publisher.publish("gossip", {})
    publisher.publish("bars", {"i": 1})
    assert publisher.failures == 1
    assert [f["topic"] for f in log_of(redis_process, keys)] == ["bars"]


def test_a_number_that_is_not_finite_reaches_the_page_as_null():
    tail = b"{" + encode_tail("bars", {"close": float("nan")})
    assert orjson.loads(tail)["data"] == {"close": None}


def test_an_unknown_topic_names_what_is_allowed():
    with pytest.raises(ValueError, match="topic was 'gossip', allowed: decisions"):
        encode_tail("gossip", {})


def test_a_full_redis_is_counted_and_never_raised_and_space_is_enough(redis_process, keys):
    """F-030: nothing may be evicted, so nothing more is taken; the event that tells goes on."""
    server = redis.Redis.from_url(redis_process.url)
    server.config_set("maxmemory", "1")
    try:
        shut_out = StreamPublisher(redis_process.url, keys=keys)
        for _ in range(3):
            shut_out.publish("bars", {})
        assert (shut_out.failures, server.exists(keys.log)) == (3, 0)
    finally:
        server.config_set("maxmemory", "0")
    StreamPublisher(redis_process.url, keys=keys).publish("bars", {})
    assert len(log_of(redis_process, keys)) == 1
