"""One request budget for all processes of an installation: cancels first, polling last (I-22).

Of what a venue publishes we grant ourselves less: a bucket of ``BURST``, an overdraft of the same
size for exits and cancels, and a refill of ``SUSTAINED`` a window (CTL-6: at most half). Together
with the cost of one call that is never more than the published limit in any sliding window.

The bucket and every silence a venue asks for (Retry-After, 418, 429) stand in Redis. While Redis
is away each process has a bucket of its own, strictly smaller, so that all together stay below.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from market.answers import Unavailable
from market.venues import Limit, Limits

logger = logging.getLogger(__name__)
BURST = 0.20
SUSTAINED = 0.45
# So many processes may call a venue at once without agreeing on anything.
PROCESSES = 8
SPENT, SILENT = "RATE_BUDGET", "VENUE_SILENCE"
# A silence that the venue asked for without saying how long.
THROTTLED_S, BANNED_S = 5.0, 120.0
LONGEST_SILENCE_S = 3 * 86_400.0
_REDIS_TIMEOUT_S = 0.3
_REDIS_PAUSE_S = 2.0
_UNMETERED = Limit("unmetered", math.inf, 60)
#: For the practice exchange: its clock may run sixty times as fast, its silences are real.
PRACTICE_LIMITS = Limits(_UNMETERED, _UNMETERED, _UNMETERED)


class Urgency(Enum):
    """Who goes first: ``floor`` is how low the bucket may be before the call, as a fraction of
    its size (below 0: of the overdraft), ``patience_s`` how long the call waits for its turn."""

    CANCEL = (-1.0, 1.5)
    EXIT = (-0.7, 1.5)
    STATE = (0.0, 1.0)
    ENTRY = (0.15, 0.5)
    POLL = (0.3, 1.0)

    @property
    def floor(self) -> float:
        return self.value[0]

    @property
    def patience_s(self) -> float:
        return self.value[1]


class Gate(Protocol):
    """What ``ask`` passes through: one call with its cost and urgency."""

    def enter(self) -> Unavailable | None:
        """Wait for the call's turn; a refusal where it does not come within its patience."""

    def heard(self, answer: Unavailable) -> None:
        """Learn of an answer that asks for silence."""

    def answered(self, *, is_answer: bool) -> None:
        """Hear that the call is over, whether the venue answered it or not."""


class Budget(Protocol):
    """Makes gates, and tells beforehand whether one would open."""

    def gate(self, call: str, urgency: Urgency) -> Gate: ...

    def wait_s(self, call: str, urgency: Urgency) -> float:
        """Return how long the call would have to wait now; spends nothing."""

    def silence_s(self) -> float:
        """Return for how long the venue asked every process to be silent; 0 where it did not."""


class OpenGate:
    """Lets everything pass."""

    def enter(self) -> Unavailable | None:
        return None

    def heard(self, answer: Unavailable) -> None:
        return None

    def answered(self, *, is_answer: bool) -> None:
        return None


class NoBudget:
    """For single scripts and tests: nothing is counted, and nobody else hears of a silence."""

    def gate(self, call: str, urgency: Urgency) -> Gate:
        return OPEN_GATE

    def wait_s(self, call: str, urgency: Urgency) -> float:
        return 0.0

    def silence_s(self) -> float:
        return 0.0


OPEN_GATE = OpenGate()
NO_BUDGET = NoBudget()


@dataclass(frozen=True, slots=True)
class Allowance:
    """What we grant ourselves of a published limit, in its units."""

    size: float
    per_s: float

    @classmethod
    def of(cls, limit: Limit, share: float = 1.0) -> Allowance:
        return cls(limit.units * BURST * share, limit.units * SUSTAINED * share / limit.window_s)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tokens at a time; a new one is half full, as nobody knows what was spent before."""

    tokens: float
    at_s: float


def take(
    bucket: Bucket | None, allowance: Allowance, floor: float, cost: float, now_s: float
) -> tuple[Bucket, float]:
    """Return the bucket after the attempt and how long to wait; 0 means the cost was taken.

    ``floor`` is a fraction of the allowance's size. A clock that went back refills nothing.
    """
    if bucket is None:
        bucket = Bucket(allowance.size / 2, now_s)
    passed_s = max(0.0, now_s - bucket.at_s)
    tokens = min(allowance.size, bucket.tokens + passed_s * allowance.per_s)
    lacking = floor * allowance.size - tokens
    if lacking >= 0:
        return Bucket(tokens, now_s), lacking / allowance.per_s + 0.001
    return Bucket(tokens - cost, now_s), 0.0


# The same arithmetic, by the server's clock; answers {granted, wait_ms, silence_ms}.
_TAKE = """
local silence = redis.call('PTTL', KEYS[2])
if silence > 0 then return {0, 0, silence} end
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local size, per_s = tonumber(ARGV[1]), tonumber(ARGV[2])
local floor, cost = tonumber(ARGV[3]), tonumber(ARGV[4])
local held = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(held[1]) or size / 2, tonumber(held[2]) or now
tokens = math.min(size, tokens + math.max(0, now - at) * per_s)
local wait = 0
if tokens <= floor * size then
  wait = math.ceil((floor * size - tokens) / per_s * 1000) + 1
else
  tokens = tokens - cost
end
redis.call('HSET', KEYS[1],
  'tokens', string.format('%.9f', tokens), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], 3600000)
return {wait == 0 and 1 or 0, wait, 0}
"""
# A shorter silence never shortens a longer one.
_HUSH = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[1])
end
return redis.call('PTTL', KEYS[1])
"""


@dataclass(frozen=True, slots=True)
class Clock:
    """How a gate waits; tests pass their own."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class SharedBudget:
    """Implements ``Budget`` for one venue account over Redis, see the module."""

    def __init__(self, url: str, limits: Limits, scope: str, *, clock: Clock = Clock()) -> None:
        """``scope`` names whose limits these are: the same for all processes of one account."""
        self._limits = limits
        self._prefix = f"tp:budget:{scope}"
        self._clock = clock
        self._redis: Any = redis.Redis.from_url(
            url,
            socket_timeout=_REDIS_TIMEOUT_S,
            socket_connect_timeout=_REDIS_TIMEOUT_S,
            # the client's own default waits seconds between tries; once is for a restarted server
            retry=Retry(NoBackoff(), 1),
        )
        self._take = self._redis.register_script(_TAKE)
        self._hush = self._redis.register_script(_HUSH)
        self._alone_until_s = -math.inf
        self._quiet_until_s = -math.inf
        self._was_alone = False
        self._own: dict[str, Bucket] = {}

    def gate(self, call: str, urgency: Urgency) -> Gate:
        limit, cost = self._limits.of(call)
        return _SharedGate(self, limit, cost, urgency, self._clock)

    def wait_s(self, call: str, urgency: Urgency) -> float:
        limit, _ = self._limits.of(call)
        return self.attempt(limit, 0.0, urgency.floor)[0]

    def silence_s(self) -> float:
        shared_s = 0.0
        if not self._is_alone():
            try:
                shared_s = max(0, self._redis.pttl(self._silence_key)) / 1000
            except (redis.RedisError, OSError) as error:
                self._go_alone(error)
        return max(shared_s, self._quiet_until_s - self._clock.monotonic(), 0.0)

    def hush(self, silence_s: float, reason: str) -> None:
        """Tell every process that the venue wants silence; a longer one known stays."""
        silence_s = min(silence_s, LONGEST_SILENCE_S)
        if silence_s <= 0:
            return
        self._quiet_until_s = max(self._quiet_until_s, self._clock.monotonic() + silence_s)
        logger.warning(
            "venue asked for silence scope=%s s=%.1f %s", self._prefix, silence_s, reason
        )
        try:
            self._hush(keys=[self._silence_key], args=[math.ceil(silence_s * 1000), reason[:200]])
        except (redis.RedisError, OSError) as error:
            self._go_alone(error)

    def attempt(self, limit: Limit, cost: float, floor: float) -> tuple[float, float]:
        """Take ``cost`` if the bucket is above ``floor``; return (wait_s, silence_s), 0 and 0
        where it was taken."""
        quiet_s = self._quiet_until_s - self._clock.monotonic()
        if quiet_s > 0:
            return 0.0, quiet_s
        if not self._is_alone():
            try:
                return self._attempt_shared(limit, cost, floor)
            except (redis.RedisError, OSError) as error:
                self._go_alone(error)
        if math.isinf(limit.units):
            return 0.0, 0.0
        allowance = Allowance.of(limit, 1 / PROCESSES)
        now_s = self._clock.monotonic()
        bucket, wait_s = take(self._own.get(limit.name), allowance, floor, cost, now_s)
        self._own[limit.name] = bucket
        return wait_s, 0.0

    def _attempt_shared(self, limit: Limit, cost: float, floor: float) -> tuple[float, float]:
        if math.isinf(limit.units):
            return 0.0, max(0, self._redis.pttl(self._silence_key)) / 1000
        allowance = Allowance.of(limit)
        _, wait_ms, silence_ms = self._take(
            keys=[f"{self._prefix}:{limit.name}", self._silence_key],
            args=[allowance.size, allowance.per_s, floor, cost],
        )
        return wait_ms / 1000, silence_ms / 1000

    @property
    def _silence_key(self) -> str:
        return f"{self._prefix}:silence"

    def _is_alone(self) -> bool:
        return self._clock.monotonic() < self._alone_until_s

    def _go_alone(self, error: Exception) -> None:
        if not self._was_alone:
            logger.warning("request budget not shared scope=%s error=%s", self._prefix, error)
        self._was_alone = True
        self._alone_until_s = self._clock.monotonic() + _REDIS_PAUSE_S


class _SharedGate:
    """One call's passage through a ``SharedBudget``."""

    def __init__(
        self, budget: SharedBudget, limit: Limit, cost: float, urgency: Urgency, clock: Clock
    ) -> None:
        self._budget = budget
        self._limit = limit
        self._cost = cost
        self._urgency = urgency
        self._clock = clock

    def enter(self) -> Unavailable | None:
        began_s = self._clock.monotonic()
        while True:
            wait_s, silence_s = self._budget.attempt(self._limit, self._cost, self._urgency.floor)
            if silence_s > 0:
                reason = f"the venue asked for {silence_s:.1f} s of silence"
                return Unavailable(SILENT, reason, silence_s, was_sent=False)
            if wait_s <= 0:
                return None
            if self._clock.monotonic() + wait_s - began_s > self._urgency.patience_s:
                reason = f"{self._limit.name} budget was spent, room in {wait_s:.1f} s"
                return Unavailable(SPENT, reason, was_sent=False)
            self._clock.sleep(wait_s)

    def answered(self, *, is_answer: bool) -> None:
        return None

    def heard(self, answer: Unavailable) -> None:
        if not answer.was_sent:
            return
        silence_s = silence_of(answer)
        if silence_s > 0:
            self._budget.hush(silence_s, f"code={answer.code}")


def silence_of(answer: Unavailable) -> float:
    """Return the seconds of silence that an answer asks for, by header or by its kind."""
    if answer.retry_after_s is not None:
        return answer.retry_after_s
    if not answer.is_throttle:
        return 0.0
    return BANNED_S if answer.code == "418" else THROTTLED_S
