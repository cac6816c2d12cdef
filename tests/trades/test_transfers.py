"""Deposits and withdrawals at the venue: seen once, booked once, and nothing else is explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from market.errors import SourceUnavailable
from tests.accounts.callers import by_token
from tests.trades.order_factory import START_MS, held_fence, lose_lease, make_run
from trades import models
from trades.alerts import Alert
from trades.brokers.ccxt_values import VenueTransfer, transfer_value
from trades.errors import LeaseLost, VenueRefused
from trades.records import moment
from trades.requests import request_adjust
from trades.transfers import ACTOR, EVERY_S, TransferWatch

pytestmark = pytest.mark.django_db
HOUR_MS = 3_600_000


def transfer(venue_id: str = "d1", amount: str = "500", **changes: Any) -> VenueTransfer:
    fields: dict[str, Any] = {
        "venue_id": venue_id,
        "is_deposit": Decimal(amount) > 0,
        "asset": "USDT",
        "amount": Decimal(amount),
        "fee": Decimal(0),
        "ts_ms": START_MS + HOUR_MS,
    }
    return VenueTransfer(**{**fields, **changes})


@dataclass
class Lists:
    """The venue's lists as a client reads them."""

    found: list[VenueTransfer] = field(default_factory=list)
    refusal: Exception | None = None
    asked_ms: list[int] = field(default_factory=list)
    now_ms: int = START_MS + 2 * HOUR_MS

    def venue_ms(self) -> int:
        return self.now_ms

    def transfers_since(self, since_ms: int) -> Sequence[VenueTransfer]:
        self.asked_ms.append(since_ms)
        if self.refusal is not None:
            raise self.refusal
        return [t for t in self.found if t.ts_ms >= since_ms]


@dataclass
class Room:
    """A run whose balances were read at START_MS, and its watch."""

    lists: Lists = field(default_factory=Lists)
    alerts: list[Alert] = field(default_factory=list)
    now_s: float = 1_000.0

    def __post_init__(self) -> None:
        self.run = make_run(balances_at=moment(START_MS))
        self.restart()

    def restart(self) -> None:
        self.fence = held_fence(self.run)
        client: Any = self.lists
        self.watch = TransferWatch(
            self.run, client, self.fence, self.alerts.append, monotonic=lambda: self.now_s
        )

    def look(self) -> list[models.OperatorRequest]:
        self.now_s += EVERY_S
        self.watch.look_if_due()
        return list(models.OperatorRequest.objects.filter(actor=ACTOR).order_by("pk"))


def test_a_deposit_becomes_one_request_however_often_it_is_listed() -> None:
    """D-59: by the venue's id, across looks, restarts and two ids that are alike in kind only."""
    room = Room(Lists([transfer("7"), transfer("7", "-120", fee=Decimal("0.5"))]))
    for _ in range(2):
        asked = room.look()
        room.restart()
    assert [(r.kind, r.payload["asset"], r.payload["amount"]) for r in asked] == [
        ("adjust", "USDT", "500"),
        ("adjust", "USDT", "-120"),
    ]
    assert asked[0].reason == "deposit 7 of 500 USDT at the venue"
    assert room.watch.unsettled_assets() == {"USDT"}
    asked_rows = models.OperatorRequest.objects.filter(actor=ACTOR)
    asked_rows.update(status=models.RequestStatus.DONE)
    assert not room.watch.unsettled_assets()
    assert [alert.code for alert in room.alerts] == ["TRANSFER", "TRANSFER"]
    assert all(alert.brake is None for alert in room.alerts)


def test_what_was_there_when_the_balances_were_read_is_no_deposit_of_the_run() -> None:
    """D-59, I-5: it is in the opening balances; what came at that very moment is too."""
    room = Room(Lists([transfer("a", ts_ms=START_MS), transfer("b", ts_ms=START_MS + 1)]))
    assert [r.reason for r in room.look()] == ["deposit b of 500 USDT at the venue"]
    assert room.lists.asked_ms == [START_MS]


def test_a_run_without_that_moment_books_only_what_comes_from_now_on() -> None:
    room = Room(Lists([transfer("old")]))
    room.run.balances_at = None
    room.restart()
    assert room.look() == []
    room.lists.found.append(transfer("new", ts_ms=room.lists.now_ms + 1))
    assert [r.reason for r in room.look()] == ["deposit new of 500 USDT at the venue"]


def test_a_transfer_that_a_person_declared_is_not_booked_again() -> None:
    """D-59: one declaration explains one transfer; the second of the same amount is booked."""
    room = Room()
    declared = request_adjust(
        run=room.run, asset="USDT", amount=Decimal(500), actor="ann", reason="topped up"
    )
    room.lists.found = [transfer("d1"), transfer("d2")]
    (asked,) = room.look()
    assert asked.reason.startswith("deposit d2")
    first = models.VenueTransfer.objects.get(venue_id="d1")
    assert (first.request, first.outcome) == (declared, "declared before by ann")


def test_what_the_run_does_not_trade_is_noted_and_not_booked() -> None:
    room = Room(Lists([transfer("d1", "3", asset="DOGE")]))
    assert room.look() == []
    row = models.VenueTransfer.objects.get()
    assert row.request is None
    assert row.outcome == "not booked: asset was 'DOGE', allowed: BTC, USDT"
    assert "not booked" in room.alerts[0].text


def test_the_lists_are_asked_for_on_a_timer_and_when_a_balance_differs() -> None:
    room = Room()
    room.watch.look_if_due()
    room.watch.look_if_due()
    assert len(room.lists.asked_ms) == 1
    room.watch.soon()
    room.watch.look_if_due()
    assert len(room.lists.asked_ms) == 2
    room.lists.now_ms = START_MS + int(timedelta(days=40) / timedelta(milliseconds=1))
    room.look()
    assert room.lists.asked_ms[-1] > START_MS + 10 * 24 * HOUR_MS


def test_a_venue_that_refuses_or_is_silent_books_nothing() -> None:
    """A refusal is told; silence is the loop's to tell, and the next pass asks again."""
    room = Room(Lists([transfer()], VenueRefused("-2015", "no permission")))
    assert room.look() == []
    assert [alert.code for alert in room.alerts] == ["TRANSFERS_UNREADABLE"]
    room.lists.refusal = SourceUnavailable("no answer")
    with pytest.raises(SourceUnavailable):
        room.look()
    room.lists.refusal = None
    room.watch.look_if_due()
    assert models.VenueTransfer.objects.count() == 1


def test_a_worker_that_lost_its_lease_books_nothing() -> None:
    """I-16"""
    room = Room(Lists([transfer()]))
    lose_lease(room.run)
    held_fence(room.run, "worker-2")
    with pytest.raises(LeaseLost):
        room.look()
    assert not models.VenueTransfer.objects.exists()


@pytest.mark.parametrize(
    ("row", "amount"),
    [
        ({"amount": 1.5}, "1.5"),
        ({"amount": 1.5, "fee": {"cost": 0.1, "currency": "BTC"}}, "1.6"),
        ({"amount": 1.5, "fee": {"cost": 9, "currency": "BNB"}}, "1.5"),
        ({"amount": 1.5, "status": "pending"}, None),
        ({"amount": 1.5, "id": None}, None),
    ],
)
def test_what_a_withdrawal_took_from_the_account(row: dict[str, Any], amount: str | None) -> None:
    """The fee in its own coin goes besides; what is not finished has moved nothing."""
    given = {"id": "x", "currency": "BTC", "status": "ok", "timestamp": 5, "fee": None, **row}
    value = transfer_value(given, is_deposit=False)
    assert (None if value is None else -value.amount) == (amount and Decimal(amount))


def test_transfers_are_listed_with_the_request_that_books_them() -> None:
    """D-59"""
    room = Room(Lists([transfer("7"), transfer("8", "-2", asset="DOGE", fee=Decimal("0.5"))]))
    (asked,) = room.look()
    rows = by_token("viewer").get("/api/v1/transfers/").json()["results"]
    assert [(r["venue_id"], r["amount"], r["fee"], r["request"]) for r in rows] == [
        ("8", "-2", "0.5", None),
        ("7", "500", "0", asked.pk),
    ]
