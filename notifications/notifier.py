"""The notifier: reads what was stored, writes the outbox, sends what is due, pings.

A process of its own. Trading never waits for it: it reads rows that were committed, takes the
database's write lock only where there is something to write, and never over the network. Dead,
it loses nothing: the cursors and the outbox are rows, and the next start goes on from them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Max

from engine.failsafe import Failure, attempt
from monitoring.services import heartbeat
from notifications import services, sources
from notifications.core import delivery
from notifications.core.config import Notifications
from notifications.core.events import Event, Kind, Severity
from notifications.core.routing import summary_due
from notifications.core.wording import day_words
from notifications.errors import DeliveryFailed, MessageRefused
from notifications.models import Channel, Message
from notifications.ping import DeadManPing
from notifications.selectors import cursor_of, day_facts, messages_due
from notifications.transports import Outgoing, Transport
from trades.models import Decision, Trade

logger = logging.getLogger(__name__)
EVERY_S = 2.0
HEARTBEAT_EVERY_S = 30.0
# Beyond what a transport takes by its own time-outs; a channel that hangs is left behind.
SEND_WITHIN_S = 12.0
# A channel is left alone for this look after so many: the others wait behind its time-outs.
MOST_FAILURES = 2
SUMMARY, SUMMARY_DECISIONS = "summary:trades", "summary:decisions"


class Notifier:
    """One look does everything once; what it remembers between looks is only how to send."""

    def __init__(
        self,
        rules: Notifications,
        transports: Mapping[str, Transport],
        *,
        ping: DeadManPing | None = None,
        send_within_s: float = SEND_WITHIN_S,
    ) -> None:
        self._rules = rules
        self._transports = transports
        self._ping = ping
        self._send_within_s = send_within_s
        self._stuck: dict[str, threading.Thread] = {}
        self._beaten_at: datetime | None = None

    def look(self, now: datetime) -> int:
        """Queue what is new, send what is due; return how many messages left."""
        if self._transports:
            self._read(now)
        services.claims_release(now=now)
        sent = sum(self._deliver(name, now) for name in self._transports)
        if self._ping is not None:
            self._ping.look(now)
        if self._beaten_at is None or now - self._beaten_at >= timedelta(seconds=EVERY_S * 2):
            self._beaten_at = now
            heartbeat(
                component=services.COMPONENT,
                expected_every_s=HEARTBEAT_EVERY_S,
                detail={"channels": [*sorted(self._transports)]},
                code_version=settings.CODE_VERSION,
                at=now,
            )
        return sent

    def _read(self, now: datetime) -> None:
        reads = [
            read for source in sources.SOURCES if (read := sources.read_source(source)) is not None
        ]
        others = sources.followed_alerts()
        summary = self._summary(now)
        if not (reads or others or summary):
            return
        services.events_queue(
            reads,
            [*others, *(summary.events if summary else ())],
            channels=sorted(self._transports),
            rules=self._rules,
            now=now,
        )
        if summary is not None:
            _summary_done(now)

    def _summary(self, now: datetime) -> sources.Read | None:
        """Return the summary where it is due; the first start only remembers where it began."""
        last, decided = cursor_of(SUMMARY), cursor_of(SUMMARY_DECISIONS)
        if last is None or decided is None:
            return sources.Read(SUMMARY, (), 0)
        rules = self._rules
        if not summary_due(now, at=rules.daily_summary_at, time_zone=rules.time_zone, last=last.at):
            return None
        runs = day_facts(after_trade_id=last.last_id, after_decision_id=decided.last_id)
        subject, text = day_words(runs, f"{last.at:%Y-%m-%d %H:%M} UTC")
        event = Event(
            key=f"summary:{last.at:%Y%m%dT%H%M%S}",
            kind=Kind.DAILY_SUMMARY,
            severity=Severity.INFO,
            subject=subject,
            text=text,
            dedupe_key=f"summary:{now:%Y%m%dT%H%M%S}",
            at=now,
            path="/",
        )
        return sources.Read(SUMMARY, (event,), 0)

    def _deliver(self, name: str, now: datetime) -> int:
        channel = Channel.objects.filter(name=name).first()
        if channel is None or (channel.retry_at is not None and channel.retry_at > now):
            return 0
        sent = failed = 0
        groups = batches(messages_due(channel=name, now=now))
        while groups and failed < MOST_FAILURES:
            taken = services.messages_claim(groups.pop(0), now=now)
            if not taken:
                continue
            try:
                self._send(name, outgoing(taken))
            except DeliveryFailed as error:
                logger.warning("channel %s failed: %s", name, error)
                is_refused = isinstance(error, MessageRefused)
                services.messages_failed(taken, str(error), now=now, is_refused=is_refused)
                if is_refused and len(taken) > 1:
                    # one of them spoils the others: which one shows by itself
                    groups = [[row] for row in taken] + groups
                # a channel that refuses answers; one that fails may cost its time-out again
                failed += not is_refused
                # what failed before goes last now: it may be the message and not the channel
                groups.sort(key=lambda group: min(row.tries for row in group))
                continue
            services.messages_sent(taken, now=now)
            sent += len(taken)
        return sent

    def _send(self, name: str, message: Outgoing) -> None:
        """Send in a thread of its own: a channel that hangs holds up neither the others nor the
        end of the process. An error nobody foresaw is a failure of this channel too; its text may
        hold the address, so only its kind is told."""
        if name in self._stuck and self._stuck[name].is_alive():
            raise DeliveryFailed("the attempt before has not ended yet")
        ended: list[Failure | None] = []
        send = self._transports[name].send
        thread = threading.Thread(
            target=lambda: ended.append(attempt(lambda: send(message), f"channel {name}")),
            name=f"send-{name}",
            daemon=True,
        )
        thread.start()
        thread.join(self._send_within_s)
        if thread.is_alive():
            self._stuck[name] = thread
            raise DeliveryFailed(f"no answer within {self._send_within_s:g} s")
        failure = ended[0]
        if isinstance(failure, Failure):
            if isinstance(failure.error, DeliveryFailed):
                raise failure.error
            raise DeliveryFailed(f"it failed with {type(failure.error).__name__}")


def _summary_done(now: datetime) -> None:
    for source, model in ((SUMMARY, Trade), (SUMMARY_DECISIONS, Decision)):
        newest = model._default_manager.aggregate(newest=Max("pk"))["newest"] or 0
        services.cursor_set(source=source, last_id=newest, now=now)


def batches(rows: Sequence[Message]) -> list[list[Message]]:
    """Return what leaves together: what is critical alone, what was held as one, and the rest
    singly, or as one where it is more than anybody wants to hear at once."""
    critical = [row for row in rows if row.severity == Severity.CRITICAL]
    others = [row for row in rows if row.severity != Severity.CRITICAL]
    grouped = [row for row in others if row.is_grouped]
    single = [row for row in others if not row.is_grouped]
    if len(single) > delivery.MOST_SINGLE:
        grouped, single = sorted([*grouped, *single], key=lambda row: row.pk), []
    found = [[row] for row in [*critical, *single]]
    return [*found, grouped] if grouped else found


def outgoing(rows: Sequence[Message]) -> Outgoing:
    """Return one message of one row, or a digest of several; silent only where all of them are."""
    if len(rows) == 1:
        row = rows[0]
        return Outgoing(row.subject, row.text, row.severity, row.is_silent)
    worst = max((Severity(row.severity) for row in rows), key=lambda severity: severity.rank)
    return Outgoing(
        subject=f"{len(rows)} messages",
        text=delivery.digest_text([(row.created_at, f"{row.subject}: {row.text}") for row in rows]),
        severity=worst.value,
        is_silent=all(row.is_silent for row in rows),
    )
