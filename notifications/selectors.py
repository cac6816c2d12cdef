"""Reads of this room: what waits, what was told, and how trading stands for those who ask."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Case, Count, Q, QuerySet, When

from engine.ledger_state import DUST
from engine.types.decisions import Action
from monitoring.components import State, component_list
from monitoring.models import Alert, Severity
from monitoring.selectors import BADGES, control_status
from notifications.core.pulse import AILING_CODES, why_unwell
from notifications.core.wording import DayFacts
from notifications.models import Channel, Cursor, Message, MessageState
from trades.models import Decision, EquityPoint, Mode, Trade, TradingRun
from trades.selectors import position_list

# Something that a person must hear of has no channel it could reach one by.
UNHEARD = "NOTIFICATIONS_UNHEARD"


def channel_list() -> QuerySet[Channel]:
    return Channel.objects.filter(is_active=True)


def channel_rows(now: datetime) -> list[dict[str, Any]]:
    """Return each configured channel with what waits on it and what became of the last day's."""
    day = now - timedelta(days=1)
    counts: dict[str, Mapping[str, Any]] = {
        row["channel"]: row
        for row in Message.objects.values("channel")
        .annotate(
            waiting=Count("id", filter=Q(state__in=(MessageState.QUEUED, MessageState.SENDING))),
            sent=Count("id", filter=Q(state=MessageState.SENT, sent_at__gte=day)),
            failed=Count("id", filter=Q(state=MessageState.FAILED, created_at__gte=day)),
            suppressed=Count("id", filter=Q(state=MessageState.SUPPRESSED, created_at__gte=day)),
        )
        .order_by()
    }
    none = {"waiting": 0, "sent": 0, "failed": 0, "suppressed": 0}
    return [
        {
            "name": row.name,
            "kind": row.kind,
            "address": row.address_shown,
            "state": channel_state(row),
            "problem": row.problem,
            "last_sent_at": row.last_sent_at,
            "last_failed_at": row.last_failed_at,
            "last_error": row.last_error,
            "fails_in_a_row": row.fails_in_a_row,
            "retry_at": row.retry_at,
            **{key: counts.get(row.name, none)[key] for key in none},
        }
        for row in channel_list()
    ]


def channel_state(row: Channel) -> str:
    """Return unusable, failing, untried or up."""
    if row.problem:
        return "unusable"
    if row.fails_in_a_row:
        return "failing"
    return "up" if row.last_sent_at else "untried"


def unheard_now() -> str:
    """Return what no channel is told of though somebody should be, in words; empty where nothing
    is, and while no notifier runs."""
    row = Alert.objects.filter(dedupe_key=UNHEARD, resolved_at__isnull=True).first()
    return "" if row is None else row.text


def message_list(*, channel: str = "", state: str = "", kind: str = "") -> QuerySet[Message]:
    """Return messages, newest first; a filter left empty leaves all."""
    wanted = {"channel": channel, "state": state, "kind": kind}
    rows = Message.objects.filter(**{name: value for name, value in wanted.items() if value})
    return rows.order_by("-created_at", "-id")


def messages_due(*, channel: str, now: datetime, most: int = 100) -> list[Message]:
    """Return what may leave on a channel now: critical first, then what failed least, by age."""
    rows = Message.objects.filter(channel=channel, state=MessageState.QUEUED, due_at__lte=now)
    is_mild = Case(When(severity=Severity.CRITICAL.value, then=0), default=1)
    return list(rows.order_by(is_mild, "tries", "id")[:most])


def cursor_of(source: str) -> Cursor | None:
    return Cursor.objects.filter(source=source).first()


def trading_unwell(now: datetime) -> str:
    """Return why the world outside should not be told that all is well; empty where it is."""
    rows = component_list(now)
    states = {row.component: row.state.value for row in rows if row.state is not State.NEW}
    is_open = Alert.objects.filter(resolved_at__isnull=True)
    unseen = Q(severity=Severity.CRITICAL, acknowledged_at__isnull=True)
    ailing = set(is_open.filter(unseen | Q(code__in=AILING_CODES)).values_list("code", flat=True))
    runs = TradingRun.objects.filter(ended_at__isnull=True).exclude(mode=Mode.REPLAY)
    return why_unwell(states=states, ailing=ailing, has_open_run=runs.exists())


def day_facts(*, after_trade_id: int, after_decision_id: int) -> list[DayFacts]:
    """Return what each open run did since the rows given, and how it stands now."""
    runs = TradingRun.objects.filter(ended_at__isnull=True).exclude(mode=Mode.REPLAY)
    return [_day_of(run, after_trade_id, after_decision_id) for run in runs.order_by("pk")]


def _day_of(run: TradingRun, after_trade_id: int, after_decision_id: int) -> DayFacts:
    closed = Trade.objects.filter(run=run, pk__gt=after_trade_id)
    results = list(closed.exclude(exit_reason=DUST).values_list("pnl_quote", flat=True))
    decided = Decision.objects.filter(run=run, pk__gt=after_decision_id)
    point = EquityPoint.objects.filter(run=run).order_by("-at").first()
    return DayFacts(
        badge=BADGES[run.mode],
        venue=run.venue,
        quote=run.quote,
        trades=len(results),
        wins=sum(pnl > 0 for pnl in results),
        pnl=sum(closed.values_list("pnl_quote", flat=True), Decimal(0)),
        decisions=decided.exclude(action=Action.HOLD.value).count(),
        equity=point.equity_quote if point else None,
        drawdown_fraction=point.drawdown_fraction if point else None,
        positions=len(position_list(run=run)),
        alerts_open=Alert.objects.filter(resolved_at__isnull=True).count(),
        state=control_status(run)["effective_state"],
    )
