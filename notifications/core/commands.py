"""What the bot understands: a line into a command, and the second step of a halt."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

CONFIRM_WITHIN_S = 120.0
TRIES = 3
# A command that waited longer for us was meant for another moment.
STALE_AFTER_S = 120.0
_LONGEST_REASON = 400
HELP = (
    "/status how trading stands\n"
    "/positions what is held\n"
    "/trades the last closed trades\n"
    "/daily today's figures\n"
    "/why SYMBOL what was decided last, and why\n"
    "/halt REASON stop all trading, in two steps\n"
    "Resuming needs the page: it asks who you are."
)


@dataclass(frozen=True, slots=True)
class Command:
    """The word without its slash, and the rest of the line."""

    word: str
    rest: str


def command_of(text: str) -> Command:
    """Return what a message asks; ``/status@our_bot`` is ``status``, other text has no word."""
    first, _, rest = text.strip().partition(" ")
    if not first.startswith("/"):
        return Command("", text.strip())
    return Command(first[1:].partition("@")[0].lower(), rest.strip()[:_LONGEST_REASON])


@dataclass(slots=True)
class PendingHalt:
    """A halt that waits for its code. ``expires_s`` is on the clock the caller passes in."""

    chat_id: int
    reason: str
    code: str
    expires_s: float
    tries_left: int = TRIES

    def judge(self, given: str, now_s: float) -> str:
        """Return why the code is not taken; empty where it is. A wrong one costs a try."""
        if now_s > self.expires_s:
            return "the code is too old"
        if self.tries_left <= 0:
            return "too many wrong codes"
        if not hmac.compare_digest(given.strip().encode(), self.code.encode()):
            self.tries_left -= 1
            return "the code was wrong"
        return ""

    def is_over(self, now_s: float) -> bool:
        return now_s > self.expires_s or self.tries_left <= 0
