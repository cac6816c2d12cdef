"""Writes of this room: the outbox, the cursors, what the notifier found its channels to be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.services import audit_record
from monitoring.models import Heartbeat
from monitoring.models import Severity as AlertSeverity
from monitoring.services import alert_raise, alert_resolve
from notifications.core import delivery
from notifications.core.config import Notifications
from notifications.core.events import Event, Kind, Severity
from notifications.core.routing import HOUR, Outcome, Recent, judge, unheard
from notifications.core.wording import subject_of
from notifications.errors import NotificationRefused
from notifications.models import Channel, ChannelKind, Cursor, FollowedAlert, Message, MessageState
from notifications.selectors import UNHEARD
from notifications.sources import CHANNEL_ALERT, NOT_TOLD, Read, floors

COMPONENT = "notifier"
# The bot answers and the ping says nothing: neither takes messages.
TAKE_MESSAGES = (ChannelKind.CHAT, ChannelKind.WEBHOOK)
# Failures in a row after which a channel's silence is an alert for the others and the pages.
FAILS_UNTIL_ALERT = 3
# A claim this old belongs to a notifier that died between sending and saying so.
CLAIM_LASTS = timedelta(seconds=120)
_DELETE_BATCH = 500


@dataclass(frozen=True, slots=True)
class FoundChannel:
    """What the notifier found in configuration and environment; no address, only what shows."""

    name: str
    kind: ChannelKind
    address_shown: str
    problem: str = ""


def channels_sync(found: Iterable[FoundChannel], *, now: datetime) -> None:
    """Make the rows say what is configured now; what is not any more is kept as inactive."""
    names = []
    with transaction.atomic():
        for channel in found:
            names.append(channel.name)
            row, is_new = Channel.objects.get_or_create(
                name=channel.name,
                defaults={
                    "kind": channel.kind,
                    "address_shown": channel.address_shown,
                    "problem": channel.problem,
                    "changed_at": now,
                },
            )
            said = (row.kind, row.address_shown, row.problem, row.is_active)
            now_said = (channel.kind, channel.address_shown, channel.problem, True)
            if is_new or said == now_said:
                continue
            # another address may work where the one before did not
            Channel.objects.filter(pk=row.pk).update(
                kind=channel.kind,
                address_shown=channel.address_shown,
                problem=channel.problem,
                is_active=True,
                fails_in_a_row=0,
                retry_at=None,
                changed_at=now,
            )
        gone = Channel.objects.filter(is_active=True).exclude(name__in=names)
        for row in gone:
            alert_resolve(dedupe_key=f"{CHANNEL_ALERT}:{row.name}", at=now)
        gone.update(is_active=False, changed_at=now)


def unheard_tell(rules: Notifications, usable: Iterable[str], *, now: datetime) -> None:
    """Say on the pages what no usable channel would be told, for as long as that is so: channels
    may be spared by choice, but not all of them at once unseen."""
    found = unheard(rules, usable)
    if not found:
        alert_resolve(dedupe_key=UNHEARD, at=now)
        return
    alert_raise(
        code=UNHEARD,
        severity=AlertSeverity.WARNING,
        text=f"no channel is told of {'; '.join(found)}",
        dedupe_key=UNHEARD,
        at=now,
    )


def channel_ensure(channel: FoundChannel, *, now: datetime) -> None:
    """Make a channel's row where no notifier has made one yet; what is there stays."""
    Channel.objects.get_or_create(
        name=channel.name,
        defaults={
            "kind": channel.kind,
            "address_shown": channel.address_shown,
            "problem": channel.problem,
            "changed_at": now,
        },
    )


def notifier_forget(*, now: datetime) -> None:
    """Drop what an earlier start listened for and this one does not: it would be late for ever."""
    Heartbeat.objects.filter(component=COMPONENT).delete()
    alert_resolve(dedupe_key=f"heartbeat:{COMPONENT}", at=now)
    alert_resolve(dedupe_key=UNHEARD, at=now)
    channels_sync((), now=now)


def events_queue(
    reads: Sequence[Read],
    others: Sequence[Event],
    *,
    channels: Sequence[str],
    rules: Notifications,
    now: datetime,
) -> int:
    """Write one message an event and channel, and move the cursors, in one transaction.

    Returns how many messages were written; a crash leaves all of it or nothing.
    """
    events = [event for read in reads for event in read.events] + list(others)
    written = 0
    with transaction.atomic():
        for event in events:
            for channel in channels:
                written += _message_write(event, channel, rules, now)
            _follow(event)
        for read in reads:
            _cursor_move(read, now)
    return written


def _message_write(event: Event, channel: str, rules: Notifications, now: datetime) -> int:
    verdict = judge(
        event, channel=channel, rules=rules, recent=_recent(event, channel, now), now=now
    )
    state = MessageState.SUPPRESSED if verdict.outcome is Outcome.SUPPRESS else MessageState.QUEUED
    link = f"{rules.page_url}{event.path}" if rules.page_url and event.path else ""
    text = "\n".join(part for part in (event.text.replace("\x00", ""), link) if part)
    _, is_new = Message.objects.get_or_create(
        event_key=event.key[:160],
        channel=channel,
        defaults={
            "kind": event.kind.value,
            "severity": event.severity.value,
            "subject": subject_of(event).replace("\x00", ""),
            "text": text,
            "dedupe_key": event.dedupe_key[:200],
            "state": state,
            "why": verdict.why,
            "is_silent": verdict.is_silent,
            "is_grouped": verdict.is_grouped,
            "created_at": now,
            "due_at": verdict.due_at,
        },
    )
    return int(is_new)


def _recent(event: Event, channel: str, now: datetime) -> Recent:
    told = Message.objects.filter(channel=channel).exclude(state=MessageState.SUPPRESSED)
    same = told.filter(dedupe_key=event.dedupe_key[:200]).order_by("-created_at").first()
    single = told.filter(is_grouped=False, created_at__gt=now - HOUR).order_by("created_at")
    return Recent(
        same_told_at=same.created_at if same else None,
        told_at=tuple(single.values_list("created_at", flat=True)),
    )


def _follow(event: Event) -> None:
    kind, _, rest = event.key.partition(":")
    if kind != "alert":
        return
    alert_id = int(rest.partition(":")[0])
    if event.kind is Kind.ALERT_CLOSED:
        FollowedAlert.objects.filter(alert_id=alert_id).delete()
        return
    FollowedAlert.objects.update_or_create(
        alert_id=alert_id,
        defaults={"severity": NOT_TOLD if event.silenced else event.severity.value},
    )


def _cursor_move(read: Read, now: datetime) -> None:
    row, is_new = Cursor.objects.get_or_create(
        source=read.source,
        defaults={"last_id": read.last_id, "floor_id": read.last_id, "at": now},
    )
    if not is_new and read.last_id > row.last_id:
        Cursor.objects.filter(pk=row.pk).update(last_id=read.last_id, at=now)


def cursor_set(*, source: str, last_id: int, now: datetime) -> None:
    """Remember how far something that is no table was taken."""
    Cursor.objects.update_or_create(
        source=source, defaults={"last_id": last_id, "floor_id": 0, "at": now}
    )


def channel_test(*, channel: str, actor: str, reason: str = "") -> Message:
    """Ask the notifier for a test message on one channel; audited.

    Raises:
        NotificationRefused: no such channel, or one that cannot be used.
    """
    row = Channel.objects.filter(name=channel, is_active=True, kind__in=TAKE_MESSAGES).first()
    if row is None:
        raise NotificationRefused(f"channel was {channel[:40]!r}, allowed: {_usable()}")
    if row.problem:
        raise NotificationRefused(f"channel {row.name} cannot be used: {row.problem}")
    now = timezone.now()
    with transaction.atomic():
        event = audit_record(
            actor=actor,
            action="notifications.test",
            object_type="channel",
            object_id=row.name,
            reason=reason,
        )
        return Message.objects.create(
            event_key=f"test:{event.seq}",
            channel=row.name,
            kind=Kind.TEST.value,
            severity=Severity.INFO.value,
            subject="Test message",
            text=f"Asked for by {actor}. If you read this, the channel {row.name} works.",
            dedupe_key=f"test:{event.seq}",
            state=MessageState.QUEUED,
            created_at=now,
            due_at=now,
        )


def _usable() -> str:
    rows = Channel.objects.filter(is_active=True, kind__in=TAKE_MESSAGES)
    return ", ".join(rows.values_list("name", flat=True)) or "none is configured"


def messages_claim(rows: Sequence[Message], *, now: datetime) -> list[Message]:
    """Take messages for sending; only what nobody else took meanwhile is returned."""
    taken = []
    for row in rows:
        claimed = Message.objects.filter(pk=row.pk, state=MessageState.QUEUED).update(
            state=MessageState.SENDING, claimed_at=now, tries=F("tries") + 1
        )
        if claimed == 1:
            row.tries += 1
            taken.append(row)
    return taken


def claims_release(*, now: datetime) -> int:
    """Queue again what a notifier took and never reported: rather told twice than not at all."""
    left = Message.objects.filter(state=MessageState.SENDING, claimed_at__lt=now - CLAIM_LASTS)
    # asked first: an update without rows would take the write lock all the same
    return left.update(state=MessageState.QUEUED, claimed_at=None) if left.exists() else 0


def messages_sent(rows: Sequence[Message], *, now: datetime) -> None:
    """Note that these left, together where there are several; the channel works again."""
    first = rows[0].pk if len(rows) > 1 else None
    with transaction.atomic():
        Message.objects.filter(pk__in=[row.pk for row in rows]).update(
            state=MessageState.SENT, sent_at=now, sent_with=first, claimed_at=None
        )
        channel_worked(rows[0].channel, now=now)


def messages_failed(
    rows: Sequence[Message], reason: str, *, now: datetime, is_refused: bool = False
) -> None:
    """Note that these did not leave: queued again for a later time, or given up after a day.

    ``is_refused``: the service works and did not take them. The channel then goes on with others,
    one alone is given up after ``MOST_REFUSALS`` unless it is critical, several are due at once.
    """
    with transaction.atomic():
        for row in rows:
            is_over = delivery.is_given_up(row.created_at, now)
            if is_refused and len(rows) == 1 and row.severity != Severity.CRITICAL:
                is_over = is_over or row.tries >= delivery.MOST_REFUSALS
            wait = timedelta(0) if len(rows) > 1 else delivery.wait_after(row.tries)
            Message.objects.filter(pk=row.pk).update(
                state=MessageState.FAILED if is_over else MessageState.QUEUED,
                why=reason,
                claimed_at=None,
                due_at=now + wait,
            )
        channel_failed(rows[0].channel, reason, now=now, rests=not is_refused)


def channel_worked(name: str, *, now: datetime) -> None:
    """Note a success; closes the alert of a channel that failed before."""
    before = Channel.objects.filter(name=name).first()
    Channel.objects.filter(name=name).update(
        fails_in_a_row=0, retry_at=None, last_sent_at=now, last_error=""
    )
    if before is not None and before.fails_in_a_row >= FAILS_UNTIL_ALERT:
        alert_resolve(dedupe_key=f"{CHANNEL_ALERT}:{name}", at=now)


def channel_failed(name: str, reason: str, *, now: datetime, rests: bool = True) -> None:
    """Let a channel rest, longer each time; the third failure in a row is an alert."""
    row = Channel.objects.filter(name=name).first()
    if row is None:
        return
    fails = row.fails_in_a_row + 1
    Channel.objects.filter(pk=row.pk).update(
        fails_in_a_row=fails,
        retry_at=now + delivery.wait_after(fails) if rests else None,
        last_failed_at=now,
        last_error=reason,
    )
    if fails == FAILS_UNTIL_ALERT:
        alert_raise(
            code=CHANNEL_ALERT,
            severity=AlertSeverity.WARNING,
            text=f"the channel {name} failed {fails} times in a row: {reason}",
            dedupe_key=f"{CHANNEL_ALERT}:{name}",
            at=now,
        )


def channel_withheld(name: str, why: str, *, now: datetime) -> None:
    """Note that a ping was withheld on purpose, and why: that is no failure of the channel."""
    Channel.objects.filter(name=name).exclude(last_error=why).update(
        last_error=why, last_failed_at=now
    )


def messages_prune(*, before: datetime, dry_run: bool = False) -> int:
    """Delete messages that ended before then, a bounded batch a transaction; return how many.

    What is still queued stays, however old. What made them is never read again: without its
    message it would be told as new.
    """
    ended = (MessageState.SENT, MessageState.FAILED, MessageState.SUPPRESSED)
    old = Message.objects.filter(state__in=ended, created_at__lt=before)
    if dry_run:
        return old.count()
    deleted = 0
    _floors_raise(before)
    while keys := list(old.order_by("pk").values_list("pk", flat=True)[:_DELETE_BATCH]):
        deleted += Message.objects.filter(pk__in=keys).delete()[0]
    return deleted


def _floors_raise(before: datetime) -> None:
    """Lift each table's floor to the last row read that is as old as the messages deleted."""
    for name, last_id in floors(before).items():
        Cursor.objects.filter(source=name, floor_id__lt=last_id).update(floor_id=last_id)
