"""What the rows of orders tell the brakes: refusals lately, entries that should not rest."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils import timezone

from engine.ports import TradingState
from engine.types.orders import Cause, OrderStatus, Purpose
from trades import halt_file, models
from trades.alerts import REJECTIONS_HALT, Alert
from trades.core.operating_limits import OperatingLimits
from trades.oms import ABSENT
from trades.send_rules import scopes_of

REJECTIONS_TO_HALT = 10
PRESUMED_ABSENT_FOR = timedelta(hours=1)
REJECTIONS_WINDOW = timedelta(minutes=10)


def judged_refusal(run_id: int, message: str, limits: OperatingLimits) -> Alert | None:
    """Return the brake that the refusals of lately call for, None where one more is no pattern
    (CTL-17); ``message`` is the newest one's."""
    if rejected_in_a_row(run_id, REJECTIONS_TO_HALT):
        # REDUCING lets exits go on, and it is exits that are refused: only a halt ends this, but
        # for a flatten, whose exits have an end of their own (trades.services.control_set)
        text = f"{REJECTIONS_TO_HALT} orders in a row were refused, last: {message}"
        return Alert(REJECTIONS_HALT, str(run_id), text, brake=TradingState.HALTED)
    in_a_row, lately = limits.rejections_in_a_row, limits.rejections_in_10_minutes
    if rejected_in_a_row(run_id, in_a_row):
        text = f"{in_a_row} orders in a row were refused, last: {message}"
    elif rejected_since(run_id, timezone.now() - REJECTIONS_WINDOW) >= lately:
        text = f"{lately} orders were refused within 10 minutes, last: {message}"
    else:
        return None
    return Alert("REJECTIONS", str(run_id), text, brake=TradingState.REDUCING)


def rejected_in_a_row(run_id: int, count: int) -> bool:
    """True where the last ``count`` orders that were sent were all refused, stops left out."""
    sent = models.Order.objects.filter(run_id=run_id, sent_at__isnull=False).order_by("-pk")
    # a venue that will not hold our stops is told of on its own; orders that trade are judged here
    sent = sent.exclude(cause=Cause.PROTECTION)
    last = list(sent.values_list("status", flat=True)[:count])
    return len(last) == count and set(last) == {OrderStatus.REJECTED}


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


def presumed_absent(run_id: int, symbol: str) -> QuerySet[models.Order]:
    """Return orders that we ended because the venue did not know them, while that is fresh."""
    since = timezone.now() - PRESUMED_ABSENT_FOR
    return models.Order.objects.filter(
        run_id=run_id, symbol=symbol, refusal_code=ABSENT, updated_at__gte=since
    )


def sends(order: models.Order) -> int:
    """Return how often the order was sent."""
    return order.events.filter(to_status=OrderStatus.SENDING).count()
