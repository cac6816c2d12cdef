"""What the screens hear of an order."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest

from engine.announce import EventOutcome, PublishingAnnouncer
from engine.types.bars import EventKind, MarketEvent
from engine.types.decisions import JsonValue
from engine.types.opinions import Side
from engine.types.orders import (
    OrderState,
    OrderStatus,
    Rejection,
    SubmitResult,
    Unanswered,
)
from tests.engine import books


class Screen:
    def __init__(self) -> None:
        self.heard: list[tuple[str, Mapping[str, JsonValue]]] = []

    def publish(self, topic: str, data: Mapping[str, JsonValue]) -> None:
        self.heard.append((topic, data))

    def incident(self, where: str, error: BaseException) -> None:
        raise AssertionError(where) from error


def heard_of(result: SubmitResult) -> tuple[JsonValue, JsonValue]:
    screen = Screen()
    outcome = EventOutcome(MarketEvent(EventKind.CLOCK, "", 0, 0))
    outcome.submitted.append((books.intent(Side.BUY), result))
    PublishingAnnouncer(screen, "run", screen).announce(outcome)
    ((topic, data),) = screen.heard
    assert topic == "orders"
    return data["status"], data["detail"]


@pytest.mark.parametrize(
    ("result", "status", "detail"),
    [
        (Rejection("-2010", "no money"), "REJECTED", "-2010: no money"),
        (Rejection("HALTED", "halted", by_venue=False), "DENIED", "HALTED: halted"),
        (Unanswered("timeout"), "UNKNOWN", "timeout"),
        (OrderState("a", "b", OrderStatus.OPEN, Decimal(0), None, 0), "OPEN", ""),
    ],
)
def test_the_screens_are_told_who_refused_an_order(
    result: SubmitResult, status: str, detail: str
) -> None:
    """I-9: an order that our own gate denied never reached the venue and is not REJECTED."""
    assert heard_of(result) == (status, detail)
