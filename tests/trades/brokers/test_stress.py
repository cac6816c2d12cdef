"""Twice the most messages that the limits let through, in a sixtieth of the time."""

from __future__ import annotations

import time
from decimal import Decimal

from engine.risk import RiskLimits
from engine.types.opinions import Side
from engine.types.orders import OrderState, OrderStatus, OrderType
from tests.practice_process import PracticeProcess
from tests.trades.order_factory import BTC, World
from trades import models

# No hour of any six months can have more entries than this: the limit is hard (CTL-6).
MOST_AN_HOUR = RiskLimits().max_orders_per_hour


def test_twice_the_most_orders_of_an_hour_pass_within_a_minute(
    world: World, practice: PracticeProcess
) -> None:
    """CTL-25: every message is counted on both sides: each order and each cancel arrived once."""
    bid, _ = world.client.quote(BTC)  # type: ignore[misc]
    price = (Decimal(repr(bid)) * Decimal("0.9")).quantize(Decimal("0.01"))
    before = len(practice.ledger()["orders"])
    intents = [
        world.intend(
            kind=OrderType.LIMIT,
            limit=str(price),
            quantity=str(Decimal("0.00100") + Decimal("0.00001") * number),
            side=Side.BUY,
        )
        for number in range(2 * MOST_AN_HOUR)
    ]
    began_s = time.monotonic()
    for intent in intents:
        world.broker.submit(intent, world.event)
        ended = world.broker.cancel(intent.client_order_id, world.event)
        assert isinstance(ended, OrderState) and ended.status is OrderStatus.CANCELED
    took_s = time.monotonic() - began_s
    world.book(sweep=True)
    theirs = practice.ledger()["orders"][before:]
    assert [o["client_id"] for o in theirs] == [i.client_order_id for i in intents]
    assert {o["status"] for o in theirs} == {"CANCELED"}
    ours = models.Order.objects.filter(run=world.run)
    assert ours.count() == len(intents) == 60
    assert set(ours.values_list("status", flat=True)) == {OrderStatus.CANCELED}
    sent = models.OrderEvent.objects.filter(order__run=world.run, to_status="SENDING")
    assert sent.count() == len(intents)
    assert world.codes() == []
    assert took_s < 60.0
