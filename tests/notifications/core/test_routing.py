"""Which event reaches which channel, when, and with what words for those that do not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from notifications.core.config import ChannelSettings, Notifications, QuietHours
from notifications.core.events import Event, Kind, Severity
from notifications.core.routing import (
    Outcome,
    Recent,
    Verdict,
    judge,
    next_digest,
    quiet_until,
    summary_due,
    unheard,
)

NOTHING = Recent()
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def event(
    kind: Kind = Kind.ENTRY, severity: Severity = Severity.INFO, at: datetime | None = NOON
) -> Event:
    return Event("k", kind, severity, "subject", "text", "same", at)


def rules(**given: object) -> Notifications:
    channels = {"phone": ChannelSettings(url_env="NOTIFY_PHONE_URL")}
    return Notifications(**({"channels": channels} | given))  # type: ignore[arg-type]


def judged(
    what: Event, given: Notifications, *, recent: Recent = NOTHING, now: datetime = NOON
) -> Verdict:
    return judge(what, channel="phone", rules=given, recent=recent, now=now)


def test_what_nothing_speaks_against_leaves_at_once() -> None:
    assert judged(event(), rules()) == Verdict(Outcome.SEND, "", NOON)


@pytest.mark.parametrize(("switch", "word"), [(False, "off"), ("off", "off"), ("silent", "silent")])
def test_a_kind_is_on_off_or_silent_as_the_file_or_the_channel_says(
    switch: bool | str, word: str
) -> None:
    """YAML makes false of an unquoted off; the channel's own word wins."""
    own = {"phone": ChannelSettings(url_env="NOTIFY_PHONE_URL", kinds={"entry": switch})}
    for given in (rules(kinds={"entry": switch}), rules(kinds={"entry": True}, channels=own)):
        verdict = judged(event(), given)
        if word == "off":
            assert (verdict.outcome, verdict.why) == (Outcome.SUPPRESS, "entry is off")
        else:
            assert (verdict.outcome, verdict.is_silent) == (Outcome.SEND, True)


@pytest.mark.parametrize(
    ("severity", "threshold", "is_told"),
    [
        (Severity.INFO, "warning", False),
        (Severity.WARNING, "warning", True),
        (Severity.CRITICAL, "warning", True),
        (Severity.WARNING, "critical", False),
        (Severity.INFO, "info", True),
    ],
)
def test_an_alert_below_the_threshold_is_not_told(
    severity: Severity, threshold: str, is_told: bool
) -> None:
    verdict = judged(event(Kind.ALERT_OPENED, severity), rules(minimum_severity=threshold))
    assert (verdict.outcome is Outcome.SEND) == is_told
    assert is_told or verdict.why == f"severity was {severity}, told from {threshold} on"


def test_the_threshold_is_of_alerts_and_not_of_trades() -> None:
    assert judged(event(Kind.EXIT), rules(minimum_severity="critical")).outcome is Outcome.SEND


def test_the_same_again_within_the_window_is_suppressed_and_after_it_told() -> None:
    told = Recent(same_told_at=NOON - timedelta(minutes=3))
    verdict = judged(event(), rules(), recent=told)
    assert (verdict.outcome, verdict.why) == (Outcome.SUPPRESS, "the same was told 3 min before")
    loud = judged(event(Kind.ALERT_OPENED, Severity.CRITICAL), rules(), recent=told)
    assert loud.outcome is Outcome.SEND
    later = Recent(same_told_at=NOON - timedelta(minutes=15))
    assert judged(event(), rules(), recent=later).outcome is Outcome.SEND


def test_history_is_not_told_as_news() -> None:
    """A notifier that was away for days does not wake people for what is long over."""
    verdict = judged(event(at=NOON - timedelta(hours=25)), rules())
    assert (verdict.outcome, verdict.why) == (
        Outcome.SUPPRESS,
        "it happened 25 hours before it was read",
    )


def test_in_quiet_hours_what_is_critical_passes_and_the_rest_waits_for_their_end() -> None:
    """The zone's wall time counts: 22:00 to 07:00 in Berlin is 21:00 to 06:00 UTC in winter."""
    given = rules(quiet_hours=QuietHours(time_zone="Europe/Berlin"))
    night = datetime(2026, 11, 20, 21, 30, tzinfo=UTC)
    held = judged(event(at=night), given, now=night)
    assert held.outcome is Outcome.HOLD
    assert held.due_at == datetime(2026, 11, 21, 6, 0, tzinfo=UTC)
    assert held.why == "quiet hours until 06:00 UTC"
    loud = judged(event(Kind.CONTROL, Severity.CRITICAL, night), given, now=night)
    assert loud.outcome is Outcome.SEND


@pytest.mark.parametrize(
    ("start", "end", "hour", "minute", "ends"),
    [
        ("22:00", "07:00", 22, 0, (21, 7)),
        ("22:00", "07:00", 6, 59, (20, 7)),
        ("22:00", "07:00", 7, 0, None),
        ("22:00", "07:00", 21, 59, None),
        ("01:00", "05:00", 1, 0, (20, 5)),
        ("01:00", "05:00", 5, 0, None),
        ("09:00", "09:00", 9, 0, None),
        (1320, 420, 23, 0, (21, 7)),  # what YAML makes of 22:00 and 7:00 without quotes
    ],
)
def test_quiet_hours_hold_their_start_and_not_their_end(
    start: str | int, end: str | int, hour: int, minute: int, ends: tuple[int, int] | None
) -> None:
    hours = QuietHours(start=start, end=end)
    expected = ends and datetime(2026, 11, ends[0], ends[1], tzinfo=UTC)
    assert quiet_until(hours, NOON.replace(hour=hour, minute=minute)) == expected


def test_a_digest_collects_until_the_next_whole_period() -> None:
    assert next_digest(NOON, 15) == NOON + timedelta(minutes=15)
    assert next_digest(NOON + timedelta(minutes=14, seconds=59), 15) == NOON + timedelta(minutes=15)
    verdict = judged(event(), rules(digest_minutes=30))
    assert (verdict.outcome, verdict.is_grouped) == (Outcome.HOLD, True)
    assert verdict.due_at == NOON + timedelta(minutes=30)
    critical = event(Kind.ALERT_OPENED, Severity.CRITICAL)
    assert judged(critical, rules(digest_minutes=30)).outcome is Outcome.SEND


def test_beyond_the_cap_of_an_hour_messages_wait_until_one_is_an_hour_old() -> None:
    told = tuple(NOON - timedelta(minutes=50 - 10 * n) for n in range(3))
    held = judged(event(), rules(messages_per_hour=3), recent=Recent(told_at=told))
    assert (held.outcome, held.due_at) == (Outcome.HOLD, NOON + timedelta(minutes=10))
    assert held.why == "3 messages in the last hour, allowed: 3"
    assert judged(event(), rules(messages_per_hour=4), recent=Recent(told_at=told)).why == ""
    critical = event(Kind.CONTROL, Severity.CRITICAL)
    passed = judged(critical, rules(messages_per_hour=3), recent=Recent(told_at=told))
    assert passed.outcome is Outcome.SEND


def test_a_channel_is_not_told_of_its_own_failure_and_a_test_always_leaves() -> None:
    own = Event("k", Kind.ALERT_OPENED, Severity.WARNING, "s", "t", "d", NOON, "", "phone")
    assert judged(own, rules()).why == "it is about this channel"
    off = rules(kinds={"entry": False}, quiet_hours=QuietHours(start="00:00", end="23:59"))
    assert judged(event(Kind.TEST), off).outcome is Outcome.SEND


@pytest.mark.parametrize(
    ("now", "last", "is_due"),
    [
        ("2026-11-20T06:59", "2026-11-19T07:00", False),
        ("2026-11-20T07:00", "2026-11-19T07:00", True),
        ("2026-11-20T07:00", "2026-11-20T06:30", True),
        ("2026-11-20T12:00", "2026-11-20T07:00", False),
        ("2026-11-21T03:00", "2026-11-20T07:00", False),
        ("2026-11-24T03:00", "2026-11-20T07:00", True),
    ],
)
def test_a_summary_is_due_once_a_day_at_its_time(now: str, last: str, is_due: bool) -> None:
    at, before = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (now, last))
    assert summary_due(at, at="07:00", time_zone="UTC", last=before) == is_due


def test_what_is_silenced_is_not_told_unless_it_is_critical() -> None:
    words = "silenced until 2026-11-20 13:00 UTC by olga: known, the venue repairs it"
    for severity in Severity:
        what = replace(event(Kind.ALERT_OPENED, severity), silenced=words)
        verdict = judged(what, rules(minimum_severity="info"))
        told = Verdict(Outcome.SEND, "", NOON)
        kept = Verdict(Outcome.SUPPRESS, words, NOON)
        assert verdict == (told if severity is Severity.CRITICAL else kept)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, ()),
        ({"minimum_severity": "critical"}, ("a position without its stop",)),
        ({"kinds": {"control": False}}, ("trading being halted",)),
        ({"kinds": {"control": "silent"}}, ()),
        ({"kinds": {"process_silent": "off"}}, ("a process that fell silent",)),
        ({"quiet_hours": QuietHours(), "digest_minutes": 60.0}, ()),
    ],
    ids=["defaults", "critical only", "no halts", "halts silently", "no processes", "later"],
)
def test_what_no_channel_would_be_told_is_named(
    given: dict[str, object], missing: tuple[str, ...]
) -> None:
    """CTL-21: by the very rules that judge what happens; quiet and late is not kept back."""
    assert unheard(rules(**given), ["phone"]) == missing


def test_one_channel_may_be_spared_what_another_one_is_told() -> None:
    """CTL-21: a choice for one channel is no gap, unless the other cannot be used."""
    mute = ChannelSettings(url_env="NOTIFY_MAIL_URL", kinds={"alert_opened": "off"})
    phone = ChannelSettings(url_env="NOTIFY_PHONE_URL")
    both = rules(channels={"phone": phone, "mail": mute})
    assert unheard(both, ["phone", "mail"]) == ()
    assert len(unheard(both, ["mail"])) == 2
    assert len(unheard(both, [])) == 4, "none can be used"
    assert unheard(rules(channels={}), []) == (), "nobody asked to be told"
