"""Reads what is already stored and tells it as events. Trading code never calls this room.

Each table is read by a cursor on its ids. Transactions may commit out of the order in which they
took their ids, so every look goes back some rows behind the cursor, and what was told before is
known by its key. Rows that stood there before anybody listened are never told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Max, Model, QuerySet
from django.utils import timezone

from engine.ports import TradingState
from engine.types.orders import OrderStatus, OrderType, Purpose
from monitoring.models import Alert
from monitoring.selectors import BADGES
from monitoring.silences import silence_of, silence_words, silences_holding
from notifications.core import wording
from notifications.core.events import PROCESS_CODES, Event, Kind, Severity
from notifications.models import Cursor, FollowedAlert, Message
from strategies.models import HealthChange, Status
from trades.models import ControlEvent, Fill, Mode, OrderEvent, Trade

# How many ids behind the cursor are looked at again; far more than transactions run side by side.
OVERLAP = 200
MOST_ROWS = 500
BREAKER = "breaker"
CHANNEL_ALERT = "NOTIFICATIONS_FAILING"
# Stands where the severity that was told stands, for an alert that was not told.
NOT_TOLD = "silenced"
_ENDED = [status.value for status in OrderStatus if status.is_terminal]
_CONTROL = {
    TradingState.HALTED.value: Severity.CRITICAL,
    TradingState.REDUCING.value: Severity.WARNING,
    TradingState.ACTIVE.value: Severity.INFO,
}


@dataclass(frozen=True, slots=True)
class Read:
    """What one look at one table found: events not told before, and where the cursor goes."""

    source: str
    events: tuple[Event, ...]
    last_id: int


@dataclass(frozen=True, slots=True)
class Source:
    """A table that is read by its ids. ``event`` returns None for a row nobody is told of."""

    name: str
    model: type[Model]
    rows: Callable[[], QuerySet[Any]]
    event: Callable[[Any], Event | None]


def read_source(source: Source) -> Read | None:
    """Return what is new; None where there is nothing. Writes nothing.

    A source without a cursor was never read: its cursor is set to the end, and nothing is told.
    """
    cursor = Cursor.objects.filter(source=source.name).first()
    newest = source.model._default_manager.aggregate(newest=Max("pk"))["newest"] or 0
    if cursor is None:
        return Read(source.name, (), newest)
    if newest <= cursor.floor_id:
        return None
    since = max(cursor.floor_id, cursor.last_id - OVERLAP)
    rows = list(source.rows().filter(pk__gt=since).order_by("pk")[: OVERLAP + MOST_ROWS])
    found = [event for row in rows if (event := source.event(row)) is not None]
    events = tuple(_untold(found))
    # the end of what was read, not of the table: rows beyond the bound come at the next look
    last_id = rows[-1].pk if len(rows) == OVERLAP + MOST_ROWS else newest
    if not events and last_id <= cursor.last_id:
        return None
    return Read(source.name, events, last_id)


def floors(before: datetime) -> dict[str, int]:
    """Return by table the id up to which nothing that is looked at again was told since then."""
    found = {}
    for source in SOURCES:
        cursor = Cursor.objects.filter(source=source.name).first()
        if cursor is None:
            continue
        seen = source.rows().filter(pk__gt=cursor.last_id - OVERLAP, pk__lte=cursor.last_id)
        keys = {row.pk: event.key for row in seen.order_by("pk") if (event := source.event(row))}
        told = set(
            Message.objects.filter(
                event_key__in=list(keys.values()), created_at__gte=before
            ).values_list("event_key", flat=True)
        )
        kept = next((pk for pk, key in keys.items() if key in told), cursor.last_id + 1)
        found[source.name] = kept - 1
    return found


def followed_alerts() -> list[Event]:
    """Return what became of alerts that were told as open: closed, or worse than was told; and
    those that were silenced, once nothing silences them any more."""
    told = dict(FollowedAlert.objects.values_list("alert_id", "severity"))
    events = []
    for alert in Alert.objects.filter(pk__in=list(told)):
        if told[alert.pk] == NOT_TOLD:
            if (event := _after_silence(alert)) is not None:
                events.append(event)
        elif alert.resolved_at is not None:
            events.append(alert_closed(alert))
        elif Severity(alert.severity).rank > Severity(told[alert.pk]).rank:
            events.append(alert_opened(alert, key=f"alert:{alert.pk}:{alert.severity}"))
    return list(_untold(events))


def _after_silence(alert: Alert) -> Event | None:
    if alert.resolved_at is not None:
        # nobody heard of its beginning
        return replace(alert_closed(alert), silenced="its beginning was silenced")
    event = alert_opened(alert, key=f"alert:{alert.pk}:after-silence:{alert.severity}")
    return None if event.silenced else event


def _silenced(alert: Alert) -> str:
    silence = silence_of(alert, silences_holding(timezone.now()))
    return "" if silence is None else silence_words(silence)


def _untold(events: list[Event]) -> Iterator[Event]:
    keys = [event.key for event in events]
    told = set(Message.objects.filter(event_key__in=keys).values_list("event_key", flat=True))
    return (event for event in events if event.key not in told)


def alert_opened(alert: Alert, key: str = "") -> Event:
    is_process = alert.code in PROCESS_CODES
    about = alert.dedupe_key.partition(":")[2] if alert.code == CHANNEL_ALERT else ""
    return Event(
        key=key or f"alert:{alert.pk}:opened",
        kind=Kind.PROCESS_SILENT if is_process else Kind.ALERT_OPENED,
        severity=Severity(alert.severity),
        subject=f"Alert {alert.code}",
        text=alert.text,
        dedupe_key=f"alert:{alert.dedupe_key}:{alert.severity}",
        # what still stands is no history, however long ago it began
        at=alert.last_at if alert.resolved_at else None,
        path="/alerts/",
        about_channel=about,
        silenced=_silenced(alert),
    )


def alert_closed(alert: Alert) -> Event:
    # what is over wakes nobody, however bad it was
    severity = min(Severity(alert.severity), Severity.WARNING, key=lambda s: s.rank)
    return Event(
        key=f"alert:{alert.pk}:closed",
        kind=Kind.ALERT_CLOSED,
        severity=severity,
        subject=f"Over: {alert.code}",
        text=alert.text,
        dedupe_key=f"alert:{alert.dedupe_key}:closed",
        at=alert.resolved_at,
        path="/alerts/",
        about_channel=alert.dedupe_key.partition(":")[2] if alert.code == CHANNEL_ALERT else "",
        silenced=_silenced(alert),
    )


def _control(row: ControlEvent) -> Event:
    who = f"by {row.actor}" if row.actor else ""
    return Event(
        key=f"control:{row.pk}",
        kind=Kind.CONTROL,
        severity=_CONTROL[row.to_state],
        subject=f"Trading {row.to_state}: {row.scope}",
        text=f"{row.from_state} to {row.to_state} {who}: {row.reason}",
        dedupe_key=f"control:{row.pk}",
        # what a breaker does stands at its venue's time, and a practice clock may be years away
        at=None if row.actor == BREAKER else row.at,
        path="/",
    )


def _health(row: HealthChange) -> Event:
    is_worse = row.to_status in (Status.SUSPENDED, Status.RETIRED, Status.DEGRADED)
    return Event(
        key=f"health:{row.pk}",
        kind=Kind.HEALTH,
        severity=Severity.WARNING if is_worse else Severity.INFO,
        subject=f"{row.strategy.code} is {row.to_status}",
        text=f"{row.from_status} to {row.to_status} by {row.actor}: {row.reason}",
        dedupe_key=f"health:{row.strategy.code}:{row.to_status}",
        at=row.at,
    )


def _fill(row: Fill) -> Event | None:
    if row.run.mode == Mode.REPLAY:
        return None
    badge, quantity = BADGES[row.run.mode], wording.plain(row.quantity_base)
    return Event(
        key=f"fill:{row.pk}",
        kind=Kind.FILL,
        severity=Severity.INFO,
        subject=f"{badge} fill: {row.side} {quantity} {row.symbol}",
        text=f"{row.strategy} at {wording.plain(row.price)} {row.run.quote}, "
        f"fee {wording.plain(row.fee)} {row.fee_asset}",
        dedupe_key=f"fill:{row.pk}",
        at=row.applied_at,
        path="/orders/",
    )


def _order(row: OrderEvent) -> Event | None:
    """Return the end of an order that filled, or that the venue refused."""
    order = row.order
    if order.run.mode == Mode.REPLAY:
        return None
    if order.filled_base > 0:
        return _order_filled(row)
    if row.to_status != OrderStatus.REJECTED:
        return None
    return Event(
        key=f"order:{order.pk}:end",
        kind=Kind.ORDER_REFUSED,
        severity=Severity.WARNING,
        subject=f"{BADGES[order.run.mode]} order refused: {order.side} {order.symbol}",
        text=f"{order.strategy}: {order.refusal_code} {order.refusal_text}".strip(),
        dedupe_key=f"refused:{order.strategy}:{order.symbol}:{order.refusal_code}",
        at=row.at,
        path="/orders/",
    )


def _order_filled(row: OrderEvent) -> Event:
    order = row.order
    is_stop = order.order_type == OrderType.STOP or order.reason_code.startswith("STOP")
    trades = list(Trade.objects.filter(run=order.run, exit_order_id=order.client_order_id))
    multiples = [trade.r_multiple for trade in trades]
    facts = wording.OrderFacts(
        badge=BADGES[order.run.mode],
        side=order.side,
        symbol=order.symbol,
        strategy=order.strategy,
        quantity=order.filled_base,
        price=order.average_price,
        quote=order.run.quote,
        reason=order.decision.reason if order.decision else order.reason_code,
        pnl=sum(trade.pnl_quote for trade in trades) if trades else None,
        # parts of one position have one R each; only of a single one it is the order's
        r_multiple=multiples[0] if len(multiples) == 1 else None,
    )
    if order.purpose == Purpose.ENTRY:
        kind, (subject, text) = Kind.ENTRY, wording.entry_words(facts)
    else:
        kind = Kind.STOP_HIT if is_stop else Kind.EXIT
        subject, text = wording.exit_words(facts, is_stop=is_stop)
    return Event(
        key=f"order:{order.pk}:end",
        kind=kind,
        severity=Severity.WARNING if kind is Kind.STOP_HIT else Severity.INFO,
        subject=subject,
        text=text,
        dedupe_key=f"order:{order.pk}",
        at=row.at,
        path=f"/decisions/{order.decision.code}/" if order.decision else "/orders/",
    )


SOURCES: tuple[Source, ...] = (
    Source("alerts", Alert, Alert.objects.all, alert_opened),
    Source("control", ControlEvent, ControlEvent.objects.all, _control),
    Source(
        "health",
        HealthChange,
        lambda: HealthChange.objects.select_related("strategy"),
        _health,
    ),
    Source(
        "orders",
        OrderEvent,
        lambda: OrderEvent.objects.filter(to_status__in=_ENDED).select_related(
            "order__run", "order__decision"
        ),
        _order,
    ),
    Source("fills", Fill, lambda: Fill.objects.select_related("run"), _fill),
)
