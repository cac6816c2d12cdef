"""What the screens hear of one event."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from engine.announce import EventOutcome, PublishingAnnouncer, SilentAnnouncer
from engine.phases.final_decision import hold
from engine.types.bars import EventKind, MarketEvent
from engine.types.decisions import Reason
from engine.types.ledger import EquityPoint, Trade
from engine.types.opinions import Side
from engine.types.orders import OrderState, OrderStatus, Rejection, Unanswered
from tests.engine.books import BTC, D, fill, intent
from tests.engine.phases.scene import CONFIG, Incidents, entry, snapshot


class Heard:
    """A publisher that remembers."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []

    def publish(self, topic: str, data: Mapping[str, Any]) -> None:
        self.messages.append((topic, json.loads(json.dumps(data))))


def heard(outcome: EventOutcome) -> list[tuple[str, dict[str, Any]]]:
    publisher = Heard()
    PublishingAnnouncer(publisher, "run-7", Incidents()).announce(outcome)
    return publisher.messages


def full() -> EventOutcome:
    order = intent(strategy="one", quantity="0.50")
    trade = Trade(
        "t1", "one", BTC, Side.BUY, D("0.5"), D("100"), D("101"), D("0.1"), D("0.40"), 0.4,
        0, 60_000, "TRENDING", "QUIET", "TARGET", "a", "b",
    )  # fmt: skip
    point = EquityPoint(1, D("10000.10"), D("9000"), D("1000"), D("10100"), 0.01, D("-5"))
    decision = hold("one", snapshot(), Reason("WHY", "because"), CONFIG, proposal=entry())
    return EventOutcome(
        snapshot().event,
        fills=[(fill(order, "100.10"), order)],
        trades=[trade],
        decisions=[decision],
        submitted=[(order, OrderState("a", "v", OrderStatus.OPEN, D(0), None, 0))],
        equity=point,
    )


def test_everything_an_event_caused_is_told_by_topic_in_its_order() -> None:
    """D-35: each message names its run and is JSON without exponents."""
    messages = heard(full())
    topics = [topic for topic, _ in messages]
    assert topics == ["bars", "fills", "trades", "decisions", "orders", "equity"]
    assert all(data["run"] == "run-7" for _, data in messages)
    data = dict(messages)
    assert data["bars"]["close"] == snapshot().close
    assert (data["fills"]["price"], data["fills"]["quantity"]) == ("100.1", "0.5")
    assert data["trades"]["pnl_quote"] == "0.4"
    assert data["decisions"]["reason"] == "because; one proposes"
    assert data["orders"]["status"] == "OPEN"
    assert data["equity"]["equity"] == "10000.1"


@pytest.mark.parametrize(
    ("answer", "status", "detail"),
    [
        (OrderState("a", "v", OrderStatus.FILLED, D(1), D(1), 0), "FILLED", ""),
        (Rejection("LOT_SIZE", "off the grid"), "REJECTED", "LOT_SIZE: off the grid"),
        (Rejection("HALTED", "halted", by_venue=False), "DENIED", "HALTED: halted"),
        (Unanswered("timed out"), "UNKNOWN", "timed out"),
    ],
)
def test_the_screens_are_told_what_became_of_an_order_and_who_refused_it(
    answer: Any, status: str, detail: str
) -> None:
    """F-045, I-9: no answer is no rejection, and our own denial never reached the venue."""
    ((_, data),) = heard(EventOutcome(clock(), submitted=[(intent(), answer)]))
    assert (data["status"], data["detail"]) == (status, detail)


def clock() -> MarketEvent:
    return MarketEvent(EventKind.CLOCK, BTC, 0, 0)


def test_a_refused_bar_is_not_shown_as_one() -> None:
    """ORC-55"""
    assert heard(EventOutcome(snapshot().event, rejected="crossed")) == []
    assert heard(EventOutcome(clock())) == []


def test_a_publisher_that_fails_is_an_incident_and_no_exception() -> None:
    """ORC-17: screens never stop trading."""

    class Down:
        def publish(self, topic: str, data: Mapping[str, Any]) -> None:
            raise ConnectionError("no redis")

    incidents = Incidents()
    PublishingAnnouncer(Down(), "run-7", incidents).announce(full())
    assert incidents.places == ["publisher"]


def test_a_replay_tells_nobody() -> None:
    SilentAnnouncer().announce(full())
