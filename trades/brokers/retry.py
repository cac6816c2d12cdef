"""The one back-off, for reads only: a write that went unanswered is never sent again (F-045)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from engine.types.orders import Rejection, Unanswered
from market.answers import Unavailable
from market.errors import SourceUnavailable

T = TypeVar("T")


class VenuePaused(SourceUnavailable):
    """The venue asked for silence; ``resume_s`` is on the monotonic clock of the caller."""

    def __init__(self, reason: str, resume_s: float) -> None:
        super().__init__(reason)
        self.resume_s = resume_s


@dataclass(frozen=True, slots=True)
class BackOff:
    """Waits of ``first_s * factor**n`` seconds, each shortened by up to half by the dice.

    ``attempts`` counts the first try. ``patience_s`` bounds the waiting of one read: it must stay
    well below the lease, because a worker that waits longer has lost its run.
    """

    attempts: int = 3
    first_s: float = 0.2
    factor: float = 2.0
    patience_s: float = 3.0

    def wait_s(self, tried: int, rng: random.Random) -> float:
        """Return the pause after the ``tried``-th failed try (1, 2, ...)."""
        full = self.first_s * self.factor ** (tried - 1)
        return full * (0.5 + 0.5 * rng.random())


@dataclass(frozen=True, slots=True)
class Clock:
    """How a retry waits; tests pass their own."""

    monotonic: Callable[[], float]
    sleep: Callable[[float], None]


def read(
    call: Callable[[], T | Rejection | Unanswered | Unavailable],
    *,
    back_off: BackOff,
    clock: Clock,
    rng: random.Random,
) -> T | Rejection:
    """Ask until there is an answer; an explicit refusal is an answer.

    A ``Retry-After`` of the venue is obeyed: the next try waits at least that long, or the read
    gives up where that exceeds the patience, and says until when to be silent.

    Raises:
        VenuePaused: the venue asked for a longer silence than the patience.
        SourceUnavailable: no answer after all attempts.
    """
    began_s, tried = clock.monotonic(), 0
    while True:
        answer = call()
        if not isinstance(answer, Unavailable | Unanswered):
            return answer
        tried += 1
        asked_s = answer.retry_after_s if isinstance(answer, Unavailable) else None
        wait_s = max(back_off.wait_s(tried, rng), asked_s or 0.0)
        now_s = clock.monotonic()
        if asked_s is not None and now_s + wait_s - began_s > back_off.patience_s:
            raise VenuePaused(answer.reason, now_s + asked_s)
        if tried >= back_off.attempts or now_s + wait_s - began_s > back_off.patience_s:
            raise SourceUnavailable(f"no answer after {tried} tries: {answer.reason}")
        clock.sleep(wait_s)
