"""What the rows of orders tell the brakes: refusals lately, entries that should not rest."""

from __future__ import annotations

from datetime import datetime

from engine.ports import TradingState
from engine.types.orders import Cause, OrderStatus, Purpose
from trades import halt_file, models
from trades.send_rules import scopes_of


def rejected_since(run_id: int, since: datetime) -> int:
    """Return how many orders the venue refused since then, stops left out."""
    refused = models.OrderEvent.objects.filter(
        order__run_id=run_id, to_status=OrderStatus.REJECTED, at__gte=since
    )
    # a venue that will not hold our stops is told of on its own; orders that trade are judged here
    return refused.exclude(order__cause=Cause.PROTECTION).count()


def resting_entries_held(run_id: int) -> list[str]:
    """Return ids of entries that rest at the venue though their scope allows no new risk."""
    resting = models.Order.objects.filter(
        run_id=run_id,
        purpose=Purpose.ENTRY,
        status__in=(OrderStatus.OPEN, OrderStatus.PARTIAL),
    ).select_related("run")
    resting = resting.order_by("pk")
    if not resting:
        return []
    held = set(
        models.ControlState.objects.exclude(state=TradingState.ACTIVE).values_list(
            "scope", flat=True
        )
    )
    halted = bool(halt_file.reason())
    return [o.client_order_id for o in resting if halted or held & set(scopes_of(o))]
