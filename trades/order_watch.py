"""What the rows of orders tell the brakes: refusals lately, entries that should not rest."""

from __future__ import annotations

from datetime import datetime

from engine.ports import TradingState
from engine.types.orders import OrderStatus, Purpose
from trades import halt_file, models, oms


def rejected_since(run_id: int, since: datetime) -> int:
    """Return how many orders the venue refused since then."""
    return models.OrderEvent.objects.filter(
        order__run_id=run_id, to_status=OrderStatus.REJECTED, at__gte=since
    ).count()


def resting_entries_held(run_id: int) -> list[str]:
    """Return ids of entries that rest at the venue though their scope allows no new risk."""
    resting = models.Order.objects.filter(
        run_id=run_id,
        purpose=Purpose.ENTRY,
        status__in=(OrderStatus.OPEN, OrderStatus.PARTIAL),
    ).order_by("pk")
    if not resting:
        return []
    held = set(
        models.ControlState.objects.exclude(state=TradingState.ACTIVE).values_list(
            "scope", flat=True
        )
    )
    halted = bool(halt_file.reason())
    return [o.client_order_id for o in resting if halted or held & set(oms.scopes_of(o))]
