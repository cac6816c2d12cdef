"""Invariants of orders and their histories."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from django.db.models import Count
from django.utils import timezone

from engine.types.orders import OrderStatus, Purpose
from trades import models
from trades.core.order_state import is_allowed_edge
from trades.invariants.breach import Breach
from trades.oms import PRICE_STEP
from trades.send_rules import AT_THE_VENUE

ZERO = Decimal(0)
_ID = re.compile(r"^[A-Za-z0-9-]{1,32}$")
UNDECIDED_FOR = timedelta(seconds=120)
_UNDECIDED = ("INTENT", "SENDING", "UNKNOWN", "PENDING_CANCEL")


def one_order_a_decision() -> Iterator[Breach]:
    rows = (
        models.Order.objects.filter(decision__isnull=False)
        .values("decision_id", "leg")
        .annotate(orders=Count("pk"))
        .filter(orders__gt=1)
    )
    for row in rows:
        yield Breach(
            "I-1",
            f"decision {row['decision_id']} leg {row['leg']} had {row['orders']} orders, limit 1",
        )


def ids_are_well_formed() -> Iterator[Breach]:
    ids = models.Order.objects.values_list("client_order_id", flat=True)
    for client_order_id in ids.iterator():
        if not _ID.match(client_order_id):
            yield Breach("I-1", f"client order id was {client_order_id!r}, allowed: {_ID.pattern}")


def status_follows_the_fills() -> Iterator[Breach]:
    """Filled quantity, average price and FILLED follow from the fill rows, exactly."""
    sums: defaultdict[int, tuple[Decimal, Decimal]] = defaultdict(lambda: (ZERO, ZERO))
    rows = models.Fill.objects.values_list("order_id", "quantity_base", "price")
    for order_id, quantity, price in rows.iterator():
        filled, cost = sums[order_id]
        sums[order_id] = (filled + quantity, cost + quantity * price)
    for order in models.Order.objects.iterator():
        filled, cost = sums[order.pk]
        yield from _fill_breaches(order, filled, cost)


def _fill_breaches(order: models.Order, filled: Decimal, cost: Decimal) -> Iterator[Breach]:
    name = order.client_order_id
    if order.filled_base != filled:
        yield Breach("I-4", f"order {name} says filled {order.filled_base}, its fills {filled}")
    if filled > order.quantity_base:
        yield Breach("I-4", f"order {name} filled {filled}, quantity was {order.quantity_base}")
    if (order.status == OrderStatus.FILLED) != (filled >= order.quantity_base):
        yield Breach(
            "I-4", f"order {name} was {order.status} with {filled} of {order.quantity_base}"
        )
    average = (cost / filled).quantize(PRICE_STEP, ROUND_HALF_EVEN) if filled else None
    if order.average_price != average:
        yield Breach("I-4", f"order {name} average was {order.average_price}, fills say {average}")


def edges_are_allowed() -> Iterator[Breach]:
    """Each history starts as an intent, follows the table and ends in the order's status."""
    for order in models.Order.objects.prefetch_related("events").iterator(chunk_size=1000):
        events = sorted(order.events.all(), key=lambda event: event.seq)
        before = ""
        for event in events:
            if event.from_status != before or not _is_edge(before, event.to_status):
                yield Breach(
                    "I-7",
                    f"order {order.client_order_id} event {event.seq} went from "
                    f"{event.from_status!r} to {event.to_status!r} after {before!r}",
                )
            before = event.to_status
        if before != order.status:
            yield Breach(
                "I-7",
                f"order {order.client_order_id} was {order.status}, its history ends in "
                f"{before or 'nothing'}",
            )


def _is_edge(before: str, after: str) -> bool:
    if not before:
        return after == OrderStatus.INTENT
    return is_allowed_edge(OrderStatus(before), OrderStatus(after))


def histories_have_no_gap() -> Iterator[Breach]:
    seen: defaultdict[int, list[int]] = defaultdict(list)
    for order_id, seq in models.OrderEvent.objects.values_list("order_id", "seq").iterator():
        seen[order_id].append(seq)
    for order_id, numbers in seen.items():
        if sorted(numbers) != list(range(1, len(numbers) + 1)):
            yield Breach("I-8", f"events of order row {order_id} were {sorted(numbers)}")


def no_order_is_larger_than_its_limits_allowed() -> Iterator[Breach]:
    """The limits ran last and their result was stored with the order."""
    for order in models.Order.objects.filter(decision__isnull=False).iterator():
        text = order.limits_snapshot.get("final_quantity_base")
        try:
            limit = Decimal(str(text))
        except InvalidOperation:
            yield Breach("I-10", f"order {order.client_order_id} has no limits stored, was {text}")
            continue
        if not order.quantity_base <= limit:
            yield Breach(
                "I-10",
                f"order {order.client_order_id} quantity {order.quantity_base}, limit was {limit}",
            )


def fencing_tokens_never_fall_back() -> Iterator[Breach]:
    """Sends of a run carry tokens that only grow and were once the lease's."""
    newest = dict(models.Lease.objects.values_list("run_id", "token"))
    last: dict[int, int] = {}
    sends = models.OrderEvent.objects.filter(to_status=OrderStatus.SENDING).order_by("pk")
    for event in sends.select_related("order").iterator():
        run_id, token = event.order.run_id, event.detail.get("token", 0)
        if token < last.get(run_id, 1) or token > newest.get(run_id, 0):
            yield Breach(
                "I-16",
                f"order {event.order.client_order_id} was sent with token {token}, the run's last "
                f"was {last.get(run_id, 0)}, its lease {newest.get(run_id, 0)}",
            )
        last[run_id] = max(token, last.get(run_id, 0))


def nobody_sells_more_than_is_held() -> Iterator[Breach]:
    """Exits and stops at the venue, of a strategy in a symbol, are at most its open lots.

    One that waits on disk for another's end sells nothing yet.
    """
    selling: defaultdict[tuple[int, str, str, str], Decimal] = defaultdict(Decimal)
    exits = models.Order.objects.filter(status__in=AT_THE_VENUE, purpose=Purpose.EXIT)
    for order in exits:
        key = (order.run_id, order.strategy, order.symbol, order.side)
        selling[key] += max(order.quantity_base - order.filled_base, ZERO)
    for (run_id, strategy, symbol, side), quantity in selling.items():
        lots = models.Lot.objects.filter(
            run_id=run_id, strategy=strategy, symbol=symbol, is_open=True
        ).exclude(side=side)
        held = sum(lots.values_list("quantity_base", flat=True), ZERO)
        if quantity > held:
            yield Breach("I-21", f"{strategy} leaves {quantity} {symbol}, holds {held}")


def no_order_stays_undecided() -> Iterator[Breach]:
    limit = timezone.now() - UNDECIDED_FOR
    late = models.Order.objects.filter(
        status__in=_UNDECIDED, updated_at__lt=limit, run__ended_at__isnull=True
    )
    for order in late:
        # no age: a finding seen twice must read the same
        yield Breach(
            "I-23",
            f"order {order.client_order_id} was {order.status} since "
            f"{order.updated_at:%Y-%m-%d %H:%M:%S} UTC, limit {UNDECIDED_FOR.seconds} s",
        )
