"""Invariants of the kill switch, sizing multipliers, weights and health."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from engine.ports import StrategyStatus, TradingState
from engine.types.orders import OrderStatus, Purpose
from strategies.models import HealthChange, WeightUpdate
from trades import models
from trades.invariants.breach import Breach
from trades.payloads import unpack_decision
from trades.send_rules import scopes_of

LARGEST_STEP = 0.15
SMALLEST, LARGEST = 0.1, 2.0
_ROUNDING = 1e-9
# A change of status and a send that cross in the database may carry times a little out of order.
_CROSSING = timedelta(seconds=5)


def nothing_was_sent_against_the_kill_switch() -> Iterator[Breach]:
    """Replay the control events up to each send's epoch and judge the send by that state.

    The epoch was read in the transaction of the send, and each event raises it by one, so no
    clock is compared. Orders whose epoch lies before the kept history are not judged.
    """
    events = list(models.ControlEvent.objects.order_by("pk"))
    states: list[dict[str, TradingState]] = [{}]
    for event in events:
        states.append({**states[-1], event.scope: TradingState(event.to_state)})
    sends = models.OrderEvent.objects.filter(to_status=OrderStatus.SENDING)
    for send in sends.select_related("order__run").iterator():
        order, epoch = send.order, send.detail.get("epoch", 0)
        if epoch >= len(states):
            yield Breach(
                "I-9",
                f"order {order.client_order_id} cites epoch {epoch}, newest was {len(states) - 1}",
            )
            continue
        worst = _worst(states[epoch], order)
        is_entry = order.purpose == Purpose.ENTRY
        if worst is TradingState.HALTED or (worst is TradingState.REDUCING and is_entry):
            yield Breach("I-9", f"{order.purpose} {order.client_order_id} was sent while {worst}")


def _worst(states: dict[str, TradingState], order: models.Order) -> TradingState:
    found = [states.get(scope, TradingState.ACTIVE) for scope in scopes_of(order)]
    return max(found, key=lambda state: state.severity)


def multipliers_are_in_range() -> Iterator[Breach]:
    """Every sizing that led to an order applied a finite multiplier within [0.1, 2.0]."""
    orders = models.Order.objects.filter(decision__isnull=False, purpose=Purpose.ENTRY)
    for order in orders.select_related("decision").iterator():
        stored = unpack_decision(order.decision.payload, {}) if order.decision else {}
        sizing = stored.get("sizing")
        value = (sizing or {}).get("multiplier_applied")
        if not isinstance(value, int | float) or not math.isfinite(value):
            yield Breach("I-11", f"order {order.client_order_id} multiplier was {value!r}")
        elif not SMALLEST <= value <= LARGEST:
            yield Breach(
                "I-11",
                f"order {order.client_order_id} multiplier was {value}, allowed "
                f"{SMALLEST} to {LARGEST}",
            )


def weights_move_by_steps() -> Iterator[Breach]:
    """Each change is within [0.1, 2.0], at most 15 % of the old weight, and starts where the last
    one ended; the first change of a book starts from that book's own weights."""
    last: dict[tuple[int, str], tuple[object, float]] = {}
    for row in WeightUpdate.objects.order_by("at", "pk").iterator():
        key, book = (row.strategy_id, row.regime), row.evidence.get("book")
        # NaN passes every comparison below, and on PostgreSQL the table's own constraint
        if not SMALLEST - _ROUNDING <= row.new_weight <= LARGEST + _ROUNDING:
            yield Breach(
                "I-12",
                f"weight of strategy {key} was set to {row.new_weight}, allowed "
                f"{SMALLEST} to {LARGEST}",
            )
        before = last.get(key, (book, row.old_weight))
        last[key] = (book, row.new_weight)
        if before[0] != book:
            continue
        if abs(row.new_weight - row.old_weight) > LARGEST_STEP * row.old_weight + _ROUNDING:
            yield Breach(
                "I-12", f"weight of strategy {key} went {row.old_weight} -> {row.new_weight}"
            )
        if abs(before[1] - row.old_weight) > _ROUNDING:
            yield Breach(
                "I-12", f"weight of strategy {key} was {before[1]}, next from {row.old_weight}"
            )


def every_health_change_has_a_cause() -> Iterator[Breach]:
    """Each edge names a reason and starts where the last one ended."""
    last: dict[int, str] = {}
    for row in HealthChange.objects.order_by("at", "pk").iterator():
        edge = f"strategy {row.strategy_id} {row.from_status} -> {row.to_status}"
        if not row.reason.strip() or not row.actor.strip():
            yield Breach("I-13", f"{edge} has no reason or actor")
        if last.get(row.strategy_id, row.from_status) != row.from_status:
            yield Breach("I-13", f"{edge} after it was {last[row.strategy_id]}")
        last[row.strategy_id] = row.to_status


def nobody_enters_without_leave() -> Iterator[Breach]:
    """No entry was sent after its strategy had become SUSPENDED or RETIRED."""
    changes: defaultdict[str, list[tuple[datetime, str]]] = defaultdict(list)
    rows = HealthChange.objects.order_by("at", "pk").values_list(
        "strategy__code", "at", "to_status"
    )
    for code, at, status in rows.iterator():
        changes[code].append((at, status))
    sends = models.OrderEvent.objects.filter(
        to_status=OrderStatus.SENDING,
        order__purpose=Purpose.ENTRY,
        order__strategy__in=[*changes],
    ).values_list("order__client_order_id", "order__strategy", "at")
    for client_order_id, code, at in sends.iterator():
        before = [status for changed_at, status in changes[code] if changed_at <= at - _CROSSING]
        crossing = any(at - _CROSSING < changed_at <= at for changed_at, _ in changes[code])
        if before and not crossing and not StrategyStatus(before[-1]).may_enter:
            yield Breach("I-13", f"entry {client_order_id} was sent while {code} was {before[-1]}")
