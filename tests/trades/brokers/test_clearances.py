"""Clearances on their own: whose time is counted anew, and whose is not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.types.orders import OrderStatus
from tests.trades.order_factory import BTC, STRATEGY, make_intent
from trades import models
from trades.brokers.clearances import GOOD_FOR_S, LATEST_S, Clearances
from trades.send_rules import Clearance

STOP_ID = 7


def stop(pk: int = STOP_ID, symbol: str = BTC, status: str = OrderStatus.CANCELED) -> models.Order:
    return models.Order(pk=pk, strategy=STRATEGY, symbol=symbol, status=status)


@pytest.mark.parametrize(
    ("seen", "is_good"),
    [
        (stop(), True),
        (stop(status=OrderStatus.PENDING_CANCEL), False),
        (stop(pk=STOP_ID + 1), False),
        (stop(symbol="ETH/USDT"), False),
    ],
    ids=["it has gone", "not yet", "another stop", "another position"],
)
def test_the_time_counts_anew_from_the_end_of_the_stop_it_was_given_for(
    seen: models.Order, is_good: bool
) -> None:
    """I-9, I-20: an exit that waited for its stop's end has its ten seconds, once."""
    now_s = [0.0]
    clearances, intent = Clearances(lambda: now_s[0]), make_intent()
    at = datetime(2026, 1, 1, tzinfo=UTC)
    given = Clearance(1, STOP_ID, STRATEGY, BTC, epoch=0, newest_order_id=9, at=at)
    clearances.keep(given)
    assert clearances.of(intent) == given
    now_s[0] = GOOD_FOR_S + 5
    assert clearances.of(intent) is None
    clearances.seen(seen)
    assert (clearances.of(intent) == given) is is_good
    now_s[0] += GOOD_FOR_S + 1
    assert clearances.of(intent) is None


@pytest.mark.parametrize(("late_s", "is_good"), [(LATEST_S - 1, True), (LATEST_S + 1, False)])
def test_an_exit_does_not_leave_minutes_into_a_halt_because_its_stops_end_came_late(
    late_s: float, is_good: bool
) -> None:
    """CTL-13: by then an order that is undecided has been told of, and a person decides."""
    now_s = [0.0]
    clearances, intent = Clearances(lambda: now_s[0]), make_intent()
    at = datetime(2026, 1, 1, tzinfo=UTC)
    clearances.keep(Clearance(1, STOP_ID, STRATEGY, BTC, epoch=0, newest_order_id=9, at=at))
    now_s[0] = late_s
    clearances.seen(stop())
    assert (clearances.of(intent) is not None) is is_good
