"""When to try again, and how several messages become one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(minutes=15)
# A message that found no way out for so long is given up, and says so on the page.
GIVE_UP_AFTER = timedelta(hours=24)
# More than so many at once leave as one: after an outage nobody wants fifty sounds.
MOST_SINGLE = 5
LONGEST_TEXT = 1_800
_LONGEST_LINE = 300
_MARKUP, _LONGEST_ENTITY = frozenset("<>&\"'\n\t\r"), 6
# A service may say "not this one" of a chat that is only not set up yet: so it is asked again.
MOST_REFUSALS = 3


def wait_after(fails_in_a_row: int) -> timedelta:
    """Return how long a channel rests after so many failures in a row; 0 failures, no rest."""
    if fails_in_a_row <= 0:
        return timedelta(0)
    doublings = min(fails_in_a_row - 1, 20)
    return min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)


def is_given_up(created_at: datetime, now: datetime) -> bool:
    return now - created_at >= GIVE_UP_AFTER


def cut(text: str, longest: int) -> str:
    """Return at most ``longest`` characters, an ellipsis last where some were left out."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def sent_length(text: str) -> int:
    """Return at most how long a text is once it is sent: a sign of markup leaves as an entity, and
    some services count what is beyond two bytes as two."""
    return sum(_sent_length(sign) for sign in text)


def cut_as_sent(text: str, longest: int) -> str:
    """Return so much of a text that it is no longer than that once it is sent."""
    if sent_length(text) <= longest:
        return text
    room = longest - 1
    for place, sign in enumerate(text):
        room -= _sent_length(sign)
        if room < 0:
            return f"{text[:place]}…"
    return text


def _sent_length(sign: str) -> int:
    return _LONGEST_ENTITY if sign in _MARKUP else 1 + (ord(sign) > 0xFFFF)


def digest_text(lines: Sequence[tuple[datetime, str]], *, longest: int = LONGEST_TEXT) -> str:
    """Return several messages as one text, the newest lines where not all of them fit.

    Each line carries its time in UTC. Says how many were left out; they stand on the page.
    """
    shown: list[str] = []
    room = longest - 60
    for at, text in reversed(lines):
        line = f"{at:%H:%M} {_one_line(text)}"
        if len(line) + 1 > room:
            break
        room -= len(line) + 1
        shown.append(line)
    left_out = len(lines) - len(shown)
    head = [f"… {left_out} earlier ones stand on the page Notifications"] if left_out else []
    return "\n".join([*head, *reversed(shown)])


def _one_line(text: str) -> str:
    flat = " · ".join(part.strip() for part in text.splitlines() if part.strip())
    return cut(flat, _LONGEST_LINE)
