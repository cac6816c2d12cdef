"""Sends events to the screens: one Redis Stream an installation, one ``seq``, one epoch (D-35).

The stream is a log of the last few thousand frames, not a source of truth: when it is lost the
page shows a snapshot from the database.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from engine.types.decisions import JsonValue

logger = logging.getLogger(__name__)

TOPICS = (
    "decisions",
    "orders",
    "fills",
    "trades",
    "positions",
    "equity",
    "bars",
    "weights",
    "health",
    "alerts",
    "resources",
    "control",
)
STREAM_LENGTH = 2000
# A Redis that hangs may cost trading this much once, then nothing until the pause is over.
_TIMEOUT_S = 0.5
_PAUSE_S = 2.0
_LOG_EVERY = 100

# A new numbering starts above every number given before it (the caller's clock in ms), so a
# sequence never goes back when Redis starts empty. GET after INCR because Lua would print a large
# number in scientific notation.
_APPEND = """
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('SET', KEYS[2], ARGV[2])
  redis.call('SET', KEYS[3], ARGV[1])
  redis.call('DEL', KEYS[1])
end
redis.call('INCR', KEYS[2])
local seq = redis.call('GET', KEYS[2])
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[5], seq .. '-0', 'topic', ARGV[3], 'tail', ARGV[4])
return seq
"""


@dataclass(frozen=True, slots=True)
class StreamKeys:
    """Where the log stands in Redis; the prefix keeps installations on one server apart."""

    log: str
    seq: str
    epoch: str

    @classmethod
    def of(cls, prefix: str = "tp:") -> StreamKeys:
        return cls(f"{prefix}stream:log", f"{prefix}stream:seq", f"{prefix}stream:epoch")


class StreamPublisher:
    """``engine.ports.Publisher`` over Redis. A failure is counted and logged, never raised."""

    def __init__(self, url: str, *, keys: StreamKeys | None = None) -> None:
        self._keys = keys or StreamKeys.of()
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            # the client's own default waits seconds between tries; once is for a restarted server
            retry=Retry(NoBackoff(), 1),
        )
        self._append = self._redis.register_script(_APPEND)
        self._silent_until_s = 0.0
        self.failures = 0

    @classmethod
    def from_settings(cls) -> StreamPublisher:
        return cls(settings.REDIS_URL)

    def publish(self, topic: str, data: Mapping[str, JsonValue]) -> None:
        """Append one frame. ``topic`` is one of TOPICS; numbers that are not finite become null."""
        if time.monotonic() < self._silent_until_s:
            self.failures += 1
            return
        try:
            self._append(
                keys=[self._keys.log, self._keys.seq, self._keys.epoch],
                args=[
                    uuid.uuid4().hex,
                    time.time_ns() // 1_000_000,
                    topic,
                    encode_tail(topic, data),
                    STREAM_LENGTH,
                ],
            )
        except (redis.RedisError, OSError, TypeError, ValueError) as error:
            self._survive(topic, error)

    def _survive(self, topic: str, error: Exception) -> None:
        self.failures += 1
        if isinstance(error, (redis.RedisError, OSError)):
            self._silent_until_s = time.monotonic() + _PAUSE_S
        if self.failures % _LOG_EVERY == 1:
            logger.warning(
                "screens not told topic=%s failures=%d error=%s: %s",
                topic,
                self.failures,
                type(error).__name__,
                error,
            )


def encode_tail(topic: str, data: Mapping[str, JsonValue]) -> bytes:
    """Return the frame without its opening ``{"seq":N,``: the number is known only to Redis."""
    if topic not in TOPICS:
        raise ValueError(f"topic was {topic!r}, allowed: {', '.join(TOPICS)}")
    head = {"topic": topic, "at": time.time_ns() // 1_000_000, "data": dict(data)}
    return orjson.dumps(head, default=str)[1:]
