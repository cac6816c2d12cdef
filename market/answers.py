"""What a call on a venue may come to besides a result, a refusal or silence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The venue did not act on the request and says so, or a read went unanswered: ask later.

    ``retry_after_s`` is the venue's own wish, None where it gave none. ``was_sent`` is False where
    a budget of ours held the request back: then nothing at all left this machine. ``is_throttle``
    is True where the venue finds that we ask too much.
    """

    code: str
    reason: str
    retry_after_s: float | None = None
    was_sent: bool = True
    is_throttle: bool = False
