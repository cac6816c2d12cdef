"""The order rows: every change of an order, each in one short transaction under the fence.

Nothing here talks to a venue. An order reaches FILLED or PARTIAL only by fills of ours that are
booked, never by the venue's word alone, so that status and fills cannot disagree (I-4).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from types import MappingProxyType

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from engine.types.orders import (
    Fill,
    OrderIntent,
    OrderState,
    OrderStatus,
    Purpose,
    Rejection,
    Unanswered,
)
from trades import models, records
from trades.core.order_state import OrderEvent as E
from trades.core.order_state import is_late_fill, next_status
from trades.errors import IllegalTransition
from trades.lease import Fence
from trades.send_rules import (
    NOT_REDUCING,
    Clearance,
    clearance_of,
    control_epoch,
    guards_in_a_halt,
    own_refusal,
    reducible,
    refusal_of,
)

ZERO = Decimal(0)
PRICE_STEP = Decimal("1e-12")
# Why we ended an order that the venue twice did not know; sweeps go on looking for its fills.
ABSENT = "ABSENT"
NO_FIELDS: Mapping[str, object] = MappingProxyType({})
IN_FLIGHT = (
    OrderStatus.INTENT,
    OrderStatus.SENDING,
    OrderStatus.UNKNOWN,
    OrderStatus.OPEN,
    OrderStatus.PARTIAL,
    OrderStatus.PENDING_CANCEL,
)
# The venue's words that end an order; FILLED is not among them, see the module's promise.
_ENDINGS = {
    OrderStatus.CANCELED: E.CANCEL,
    OrderStatus.EXPIRED: E.EXPIRE,
    OrderStatus.REJECTED: E.REJECT,
}
_UNCERTAIN = (OrderStatus.INTENT, OrderStatus.SENDING, OrderStatus.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to send one order once."""

    order_id: int
    control_epoch: int


@dataclass(frozen=True, slots=True)
class Cancelling:
    """An order that is about to be cancelled, and what its end clears the way for."""

    order: models.Order
    clearance: Clearance | None


@dataclass(frozen=True, slots=True)
class Booked:
    """What a fill did to its order. ``excess_base`` is what went beyond the order's quantity."""

    order: models.Order
    is_late: bool
    excess_base: Decimal


def in_flight(run_id: int) -> QuerySet[models.Order]:
    """Return the orders of a run that may still fill, oldest first."""
    return models.Order.objects.filter(run_id=run_id, status__in=IN_FLIGHT).order_by("pk")


def waiting(run_id: int) -> tuple[OrderIntent, ...]:
    """Return the exits and stops of a run that are on disk and were not sent, oldest first."""
    rows = in_flight(run_id).filter(status=OrderStatus.INTENT, purpose=Purpose.EXIT)
    return tuple(records.order_intent(order) for order in rows)


def claim_for_send(
    client_order_id: str,
    fence: Fence,
    *,
    entries_held: str = "",
    resend: bool = False,
    clearance: Clearance | None = None,
) -> Claim | Rejection | OrderState:
    """Take the right to send: INTENT -> SENDING, or DENIED where the kill switch forbids it.

    An exit never takes more than is held (I-21): it is denied where the position is smaller, and
    stays as it is while other open exits of the position leave it no room.

    The control state is read in the same transaction that takes the right, so an order is either
    before a halt or refused by it (I-9). Only one claim ever succeeds; whoever comes second gets
    the order's present state (F-023, F-024). With ``resend`` an UNKNOWN order is claimed again.

    Args:
        entries_held: why no entry may leave now, empty where it may (I-19).
        clearance: what the position's stop was taken away for goes by the kill switch as it was
            read then: a halt in between finds either the stop or the exit.

    Raises:
        LeaseLost: somebody else runs this run now; nothing was changed.
    """
    now = timezone.now()
    with transaction.atomic():
        fence.assert_held()
        order = models.Order.objects.select_for_update().get(client_order_id=client_order_id)
        before = OrderStatus.UNKNOWN if resend else OrderStatus.INTENT
        if order.status != before:
            return order_state(order)
        if clearance is not None and clearance.covers(order) and not resend:
            epoch, refusal, said = clearance.epoch, None, clearance.said
        else:
            epoch, refusal, said = control_epoch(), refusal_of(order, entries_held), {}
        if refusal is None and order.purpose == Purpose.EXIT:
            held, promised = reducible(order)
            left = order.quantity_base - order.filled_base
            if left > held:
                text = f"it would take {left} off a position of {held}"
                refusal = own_refusal(NOT_REDUCING, text)
            elif left > held - promised:
                # another order may still take it: this one waits on disk for that one's end
                return order_state(order)
        if refusal is not None:
            event = E.EXPIRE if resend else E.DENY
            fields = {**_refused_as(refusal), "control_epoch": epoch}
            _move(order, event, now, _detail(refusal), fields)
            return refusal
        stamp: dict[str, object] = {"sent_at": now, "fence_token": fence.token, "missed_queries": 0}
        stamp["control_epoch"] = epoch
        _move(order, E.SEND, now, {"epoch": epoch, "token": fence.token, **said}, stamp)
    return Claim(order.pk, epoch)


def record_answer(
    client_order_id: str, answer: OrderState | Rejection | Unanswered, fence: Fence
) -> None:
    """Write down what the venue said to a send; no answer is UNKNOWN, never REJECTED (F-045).

    Raises:
        LeaseLost: the order stays SENDING and whoever holds the lease finds it by its id.
    """
    now = timezone.now()
    with transaction.atomic():
        fence.assert_held()
        order = _locked(client_order_id)
        if isinstance(answer, Rejection):
            _move(order, E.REJECT, now, {"code": answer.code}, _refused_as(answer))
        elif isinstance(answer, Unanswered):
            _move(order, E.NO_ANSWER, now, {"reason": answer.reason})
        else:
            _accept(order, answer, now)


def apply_word(client_order_id: str, word: OrderState, fence: Fence) -> models.Order:
    """Bring an order in line with the venue's word on it; returns the order as it is now.

    Fills first: an ending is believed only once every fill the venue counts is booked, so that
    no late fill can meet a closed order in the ordinary course (F-014, F-015). A word that
    changes nothing writes nothing (F-005).

    Raises:
        LeaseLost: as always; nothing was changed.
    """
    now = timezone.now()
    with transaction.atomic():
        fence.assert_held()
        order = _locked(client_order_id)
        ending = _ENDINGS.get(word.status)
        if ending is not None and word.filled_base <= order.filled_base:
            # an order with fills was not refused, whatever the word: its remainder ended
            if ending is E.REJECT and order.status not in (
                OrderStatus.SENDING,
                OrderStatus.UNKNOWN,
            ):
                ending = E.EXPIRE
            _move(order, ending, now, {"venue_status": word.status.value}, _venue_id(word))
        elif OrderStatus(order.status) in _UNCERTAIN:
            _accept(order, word, now)
        elif not order.venue_order_id:
            _update(order, now, _venue_id(word))
    return order


def record_miss(
    client_order_id: str, fence: Fence, *, reason: str = "the venue does not know it"
) -> models.Order:
    """Count one query that the venue answered with "no such order"; one alone proves nothing."""
    now = timezone.now()
    with transaction.atomic():
        fence.assert_held()
        order = _locked(client_order_id)
        if order.status == OrderStatus.SENDING:
            _move(order, E.NO_ANSWER, now, {"reason": reason})
        _update(order, now, {"missed_queries": order.missed_queries + 1, "last_queried_at": now})
    return order


def expire(client_order_id: str, fence: Fence, *, code: str, text: str) -> models.Order:
    """End an order of ours that the venue does not have; its fills, if any, stay."""
    now = timezone.now()
    with transaction.atomic():
        fence.assert_held()
        order = _locked(client_order_id)
        _move(order, E.EXPIRE, now, {"code": code}, _refused_as(Rejection(code, text)))
    return order


def request_cancel(client_order_id: str, fence: Fence, reason: str = "") -> Cancelling | None:
    """Note that we are about to cancel and why; the venue's word ends it, fills first (F-004).

    None where the venue is not asked: an intent that was never sent ends here, an order on its
    way has no answer yet, one that has ended needs no end, and a stop guards on in a halt.
    """
    now = timezone.now()
    with transaction.atomic():
        fence.assert_held()
        order = _locked(client_order_id)
        if order.status == OrderStatus.INTENT:
            refusal = own_refusal("NOT_WANTED", reason or "not wanted before it was sent")
            _move(order, E.DENY, now, {"code": refusal.code}, _refused_as(refusal))
            return None
        # before the halt is looked for: one that commits in between finds the stop still there
        clearance, event = clearance_of(order, now), E.REQUEST_CANCEL
        if next_status(OrderStatus(order.status), event) is None or guards_in_a_halt(order):
            return None
        fields = {"refusal_text": reason} if reason else NO_FIELDS
        _move(order, event, now, {"reason": reason}, fields)
    return Cancelling(order, clearance)


def book_fill(order: models.Order, fill: Fill, at: datetime) -> Booked:
    """Bring the order in line with a fill whose row was just written; call in its transaction.

    Sums are taken over the rows, in Decimal, so that they are exact (I-4). More than the
    quantity is booked as it is: the venue's ledger is what happened (F-017).
    """
    order = models.Order.objects.select_for_update().get(pk=order.pk)
    rows = models.Fill.objects.filter(order=order).values_list("quantity_base", "price")
    filled = sum((quantity for quantity, _ in rows), ZERO)
    cost = sum((quantity * price for quantity, price in rows), ZERO)
    event = E.FILL_ALL if filled >= order.quantity_base else E.FILL
    late = is_late_fill(OrderStatus(order.status), event)
    _move(
        order,
        event,
        at,
        {"trade_id": fill.trade_id, "quantity_base": str(fill.quantity_base), "late": late},
        {
            "filled_base": filled,
            "average_price": (cost / filled).quantize(PRICE_STEP, ROUND_HALF_EVEN),
        },
        is_news=True,
    )
    return Booked(order, late, max(filled - order.quantity_base, ZERO))


def deny(client_order_id: str, refusal: Rejection, fence: Fence) -> Rejection | OrderState:
    """Refuse an intent that was not sent yet; one that was keeps its state."""
    now = timezone.now()
    with transaction.atomic():
        fence.assert_held()
        order = _locked(client_order_id)
        if order.status != OrderStatus.INTENT:
            return order_state(order)
        _move(order, E.DENY, now, _detail(refusal), _refused_as(refusal))
    return refusal


def adopt(client_order_id: str, venue_order_id: str, fence: Fence) -> models.Order:
    """Learn the venue's id of an order of ours whose answer we never got (F-002)."""
    now = timezone.now()
    with transaction.atomic():
        fence.assert_held()
        order = _locked(client_order_id)
        if OrderStatus(order.status) in _UNCERTAIN:
            _move(order, E.ACCEPT, now, {"adopted": True}, {"venue_order_id": venue_order_id})
        else:
            _update(order, now, {"venue_order_id": venue_order_id})
    return order


def order_state(order: models.Order) -> OrderState:
    """Return our own word on an order."""
    return OrderState(
        client_order_id=order.client_order_id,
        venue_order_id=order.venue_order_id,
        status=OrderStatus(order.status),
        filled_base=order.filled_base,
        average_price=order.average_price,
        ts_ms=round(order.updated_at.timestamp() * 1000),
    )


def order_state_of(client_order_id: str) -> OrderState:
    """Return our own word on the order of that name."""
    return order_state(models.Order.objects.get(client_order_id=client_order_id))


def _accept(order: models.Order, word: OrderState, now: datetime) -> None:
    detail = {"venue_status": word.status.value, "venue_filled_base": str(word.filled_base)}
    _move(order, E.ACCEPT, now, detail, {"missed_queries": 0, **_venue_id(word)})


def _refused_as(refusal: Rejection) -> dict[str, object]:
    return {"refusal_code": refusal.code[:60], "refusal_text": refusal.message}


def _detail(refusal: Rejection) -> dict[str, object]:
    """Return the code of a refusal of ours with the numbers it compared, where it did."""
    numbers = {"value": refusal.value, "limit": refusal.limit}
    return {"code": refusal.code, **{k: v for k, v in numbers.items() if v is not None}}


def _venue_id(word: OrderState) -> dict[str, object]:
    return {"venue_order_id": word.venue_order_id} if word.venue_order_id else {}


def _locked(client_order_id: str) -> models.Order:
    return models.Order.objects.select_for_update().get(client_order_id=client_order_id)


def _move(
    order: models.Order,
    event: E,
    at: datetime,
    detail: Mapping[str, object],
    fields: Mapping[str, object] = NO_FIELDS,
    *,
    is_news: bool = False,
) -> None:
    """Take one edge of the state machine and append it to the order's history.

    An edge that leads back to the same state is appended only if it ``is_news``.

    Raises:
        IllegalTransition: the table has no such edge.
    """
    before = OrderStatus(order.status)
    after = next_status(before, event)
    if after is None:
        raise IllegalTransition(
            f"order {order.client_order_id} was {before}, which does not allow {event}"
        )
    if after is before and not is_news:
        _update(order, at, fields)
        return
    last = order.events.order_by("-seq").values_list("seq", flat=True).first()
    models.OrderEvent.objects.create(
        order=order,
        seq=(last or 0) + 1,
        from_status=before.value,
        to_status=after.value,
        at=at,
        detail=dict(detail),
    )
    _update(order, at, {"status": after.value, **fields})


def _update(order: models.Order, at: datetime, fields: Mapping[str, object]) -> None:
    changed: Collection[str] = [n for n, v in fields.items() if getattr(order, n) != v]
    if not changed:
        return
    for name in changed:
        setattr(order, name, fields[name])
    order.updated_at = at
    order.save(update_fields=[*changed, "updated_at"])
