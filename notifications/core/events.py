"""What may be told: one value for everything that happened, whichever table it was read from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class Kind(StrEnum):
    """What a channel may be switched on, off or silent for."""

    FILL = "fill"
    ENTRY = "entry"
    EXIT = "exit"
    STOP_HIT = "stop_hit"
    ORDER_REFUSED = "order_refused"
    ALERT_OPENED = "alert_opened"
    ALERT_CLOSED = "alert_closed"
    CONTROL = "control"
    HEALTH = "health"
    PROCESS_SILENT = "process_silent"
    DAILY_SUMMARY = "daily_summary"
    TEST = "test"


# The threshold of severity is asked of these; the others are switched by their kind alone.
ALERT_KINDS = frozenset({Kind.ALERT_OPENED, Kind.ALERT_CLOSED, Kind.PROCESS_SILENT})
# Codes of alerts that tell of a process: a kind of its own, so that it can be switched by itself.
PROCESS_CODES = frozenset({"HEARTBEAT_LATE", "PROCESS_RESTARTED", "RUN_IDLE"})


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    ``key`` names it for ever: the same event read twice is one message a channel. ``dedupe_key``
    names what it is about: the same thing said again soon is a repetition. ``at`` is wall time,
    None where only the venue's clock knows. ``path`` is the page that tells more, empty where none
    does. ``about_channel`` is the channel an alert is about: it is not told of its own failure.
    ``silenced`` says who wants to hear nothing of it and why, empty where nobody said so.
    """

    key: str
    kind: Kind
    severity: Severity
    subject: str
    text: str
    dedupe_key: str
    at: datetime | None = None
    path: str = ""
    about_channel: str = ""
    silenced: str = ""
