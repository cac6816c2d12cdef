"""Whether, when and how one channel hears of one event. Pure: the clock is an argument."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from notifications.core.config import Notifications, QuietHours, minutes_of, zone_of
from notifications.core.events import ALERT_KINDS, Event, Kind, Severity

# What is older when it is read is history: nobody is woken for it, it stays on the page.
STALE_AFTER = timedelta(hours=24)
HOUR = timedelta(hours=1)
# What nobody may be kept from hearing altogether, though a channel may be spared it: by the words
# for a person, the kind and the severity that it is told with.
MUST_REACH = (
    ("critical alerts (refused keys, a broken invariant, a breaker)", "alert_opened", "critical"),
    ("a position without its stop", "alert_opened", "warning"),
    ("trading being halted", "control", "critical"),
    ("a process that fell silent", "process_silent", "critical"),
)


class Outcome(StrEnum):
    SEND = "send"
    HOLD = "hold"
    SUPPRESS = "suppress"


@dataclass(frozen=True, slots=True)
class Recent:
    """What a channel heard lately: when the same thing was last told, and when single messages of
    the last hour were queued, oldest first."""

    same_told_at: datetime | None = None
    told_at: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """``why`` is empty only for what is sent at once; ``due_at`` is when it may leave. What was
    held leaves together with all else that is due then."""

    outcome: Outcome
    why: str
    due_at: datetime
    is_silent: bool = False

    @property
    def is_grouped(self) -> bool:
        return self.outcome is Outcome.HOLD


def judge(
    event: Event, *, channel: str, rules: Notifications, recent: Recent, now: datetime
) -> Verdict:
    """Return what becomes of an event on one channel.

    In this order: switched off, too mild, silenced, about the channel itself, history, a
    repetition; what is critical then leaves at once; then quiet hours, the digest and the cap of
    an hour.
    """
    if event.kind is Kind.TEST:
        return Verdict(Outcome.SEND, "", now)
    switch = rules.switch(event.kind, channel)
    if why := _suppressed(event, switch, channel, rules, recent, now):
        return Verdict(Outcome.SUPPRESS, why, now)
    is_silent = switch == "silent"
    if event.severity is Severity.CRITICAL:
        return Verdict(Outcome.SEND, "", now, is_silent)
    if rules.quiet_hours is not None and (ends := quiet_until(rules.quiet_hours, now)):
        return Verdict(Outcome.HOLD, f"quiet hours until {ends:%H:%M} UTC", ends, is_silent)
    if rules.digest_minutes > 0:
        due = next_digest(now, rules.digest_minutes)
        return Verdict(Outcome.HOLD, f"digest at {due:%H:%M} UTC", due, is_silent)
    lately = [at for at in recent.told_at if at > now - HOUR]
    if len(lately) >= rules.messages_per_hour:
        due = lately[-rules.messages_per_hour] + HOUR
        why = f"{len(lately)} messages in the last hour, allowed: {rules.messages_per_hour}"
        return Verdict(Outcome.HOLD, why, due, is_silent)
    return Verdict(Outcome.SEND, "", now, is_silent)


def unheard(rules: Notifications, channels: Iterable[str]) -> tuple[str, ...]:
    """Return what of ``MUST_REACH`` none of these channels would be told, as the rules stand; empty
    where nobody asked to be told anything at all."""
    if not rules.channels:
        return ()
    names = tuple(channels)
    return tuple(
        words
        for words, kind, severity in MUST_REACH
        if all(_is_kept_from(Kind(kind), Severity(severity), name, rules) for name in names)
    )


def _is_kept_from(kind: Kind, severity: Severity, channel: str, rules: Notifications) -> bool:
    event = Event(key="", kind=kind, severity=severity, subject="", text="", dedupe_key="")
    # nothing that depends on the hour: such an event has no time of its own
    any_time = datetime.max.replace(tzinfo=UTC)
    return bool(_suppressed(event, rules.switch(kind, channel), channel, rules, Recent(), any_time))


def _suppressed(
    event: Event, switch: str, channel: str, rules: Notifications, recent: Recent, now: datetime
) -> str:
    if switch == "off":
        return f"{event.kind} is off"
    threshold = rules.threshold(channel)
    if event.kind in ALERT_KINDS and event.severity.rank < threshold.rank:
        return f"severity was {event.severity}, told from {threshold} on"
    if event.silenced and event.severity is not Severity.CRITICAL:
        return event.silenced
    if event.about_channel == channel:
        return "it is about this channel"
    if event.at is not None and now - event.at > STALE_AFTER:
        return f"it happened {(now - event.at) / HOUR:.0f} hours before it was read"
    # one that opens again so soon was told as over meanwhile: silence would be a lie
    if recent.same_told_at is not None and event.severity is not Severity.CRITICAL:
        ago = now - recent.same_told_at
        if ago < timedelta(minutes=rules.dedupe_minutes):
            return f"the same was told {ago.total_seconds() / 60:.0f} min before"
    return ""


def quiet_until(hours: QuietHours, now: datetime) -> datetime | None:
    """Return when the quiet hours that ``now`` lies in end, None outside of them.

    Start belongs to them, the end does not; equal times mean never. Wall time of the zone counts,
    so an hour that the clocks skip or repeat shortens or lengthens them.
    """
    start, end = minutes_of(hours.start), minutes_of(hours.end)
    local = now.astimezone(zone_of(hours.time_zone))
    minute = local.hour * 60 + local.minute
    is_over_midnight = start > end
    inside = (minute >= start or minute < end) if is_over_midnight else start <= minute < end
    if not inside:
        return None
    ends = local.replace(hour=end // 60, minute=end % 60, second=0, microsecond=0)
    if is_over_midnight and minute >= start:
        ends += timedelta(days=1)
    return ends.astimezone(now.tzinfo)


def next_digest(now: datetime, every_minutes: float) -> datetime:
    """Return the next whole multiple of the digest's period since midnight UTC, after ``now``."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    period = timedelta(minutes=every_minutes)
    return midnight + (math.floor((now - midnight) / period) + 1) * period


def summary_due(now: datetime, *, at: int | str, time_zone: str, last: datetime) -> bool:
    """Return whether a summary's time of day has passed since ``last``."""
    local = now.astimezone(zone_of(time_zone))
    minute = minutes_of(at)
    due = local.replace(hour=minute // 60, minute=minute % 60, second=0, microsecond=0)
    if due > local:
        due -= timedelta(days=1)
    return last < due
