"""Deposits and withdrawals at the venue: seen once, booked once, and nothing else is explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from market.errors import SourceUnavailable
from market.venues import VENUES
from tests.accounts.callers import by_token
from tests.trades.order_factory import START_MS, held_fence, lose_lease, make_run
from trades import models
from trades.alerts import Alert
from trades.brokers.ccxt_values import VenueTransfer, transfer_value
from trades.core.transfer_match import VENUE_ACTOR, declares
from trades.errors import LeaseLost, RequestRefused, VenueRefused
from trades.records import milliseconds, moment
from trades.requests import request_adjust
from trades.transfers import EVERY_S, LEAD_MS, OVERDUE_S, RETRY_S, TransferWatch

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
    refused: tuple[bool, ...] = (True, False)
    asked_ms: list[int] = field(default_factory=list)
    asked: list[bool] = field(default_factory=list)
    now_ms: int = START_MS + 2 * HOUR_MS
    has_room: bool = True
    credits_trading_wallet: bool = True

    def venue_ms(self) -> int:
        return self.now_ms

    def has_room_for_transfers(self, *, is_deposit: bool) -> bool:
        return self.has_room

    def transfers_since(self, since_ms: int, *, is_deposit: bool) -> Sequence[VenueTransfer]:
        self.asked_ms.append(since_ms)
        self.asked.append(is_deposit)
        if self.refusal is not None and is_deposit in self.refused:
            raise self.refusal
        return [t for t in self.found if t.ts_ms >= since_ms and t.is_deposit == is_deposit]


@dataclass
class Room:
    """A run whose balances were read at START_MS, and its watch."""

    lists: Lists = field(default_factory=Lists)
    alerts: list[Alert] = field(default_factory=list)
    over: list[set[str]] = field(default_factory=list)
    now_s: float = 1_000.0

    def __post_init__(self) -> None:
        self.run = make_run(balances_at=moment(START_MS))
        self.restart()

    def restart(self) -> None:
        self.fence = held_fence(self.run)
        client: Any = self.lists
        self.watch = TransferWatch(
            self.run,
            client,
            self.fence,
            self.alerts.append,
            over=lambda code, standing: self.over.append({code, *standing}),
            monotonic=lambda: self.now_s,
        )

    def look(self) -> list[models.OperatorRequest]:
        """Look at both lists, as two passes do."""
        self.now_s += EVERY_S
        for _ in range(2):
            self.watch.look_if_due()
        return list(models.OperatorRequest.objects.filter(actor=VENUE_ACTOR).order_by("pk"))


def declare(
    room: Room, amount: str, *, at_ms: int = START_MS, key: str = ""
) -> models.OperatorRequest:
    row = request_adjust(
        run=room.run, asset="USDT", amount=Decimal(amount), actor="ann", reason="mine", key=key
    )
    models.OperatorRequest.objects.filter(pk=row.pk).update(created_at=moment(at_ms))
    return row


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
    asked_rows = models.OperatorRequest.objects.filter(actor=VENUE_ACTOR)
    asked_rows.update(status=models.RequestStatus.DONE)
    assert not room.watch.unsettled_assets()
    assert [alert.code for alert in room.alerts] == ["TRANSFER", "TRANSFER"]
    assert all(alert.brake is None for alert in room.alerts)


def test_what_was_there_when_the_balances_were_read_is_no_deposit_of_the_run() -> None:
    """D-59, I-5: it is in the opening balances; what came at that very moment is too."""
    there = transfer("a", ts_ms=START_MS, credited_ms=START_MS)
    room = Room(Lists([there, transfer("b", ts_ms=START_MS + 1)]))
    assert [r.reason for r in room.look()] == ["deposit b of 500 USDT at the venue"]
    assert room.lists.asked_ms == [START_MS - LEAD_MS, START_MS]
    assert models.VenueTransfer.objects.count() == 1


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
    declared = declare(room, "500")
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
    for _ in range(4):
        room.watch.look_if_due()
    assert room.lists.asked == [True, False]
    room.watch.soon(came=False)
    for _ in range(2):
        room.watch.look_if_due()
    assert room.lists.asked == [True, False, False]
    room.lists.now_ms = START_MS + int(timedelta(days=40) / timedelta(milliseconds=1))
    room.look()
    assert room.lists.asked_ms[-1] > START_MS + 10 * 24 * HOUR_MS


def test_a_venue_that_refuses_or_is_silent_books_nothing() -> None:
    """Both are told and neither leaves the watch: trading goes on while the list rests."""
    room = Room(Lists([transfer()], VenueRefused("-2015", "no permission")))
    assert room.look() == []
    room.lists.refusal = SourceUnavailable("no answer")
    assert room.look() == []
    assert {alert.code for alert in room.alerts} == {"TRANSFERS_UNREADABLE"}
    asked = len(room.lists.asked)
    room.lists.refusal = None
    room.now_s += RETRY_S - 1
    room.watch.soon(came=True)
    room.watch.look_if_due()
    assert len(room.lists.asked) == asked
    room.now_s += 1
    room.watch.look_if_due()
    assert models.VenueTransfer.objects.count() == 1


def test_a_key_that_may_not_list_withdrawals_still_books_deposits() -> None:
    refusal = VenueRefused("-2015", "no permission")
    room = Room(Lists([transfer("7")], refusal, refused=(False,)))
    assert [r.payload["amount"] for r in room.look()] == ["500"]
    assert [a.text for a in room.alerts if a.code == "TRANSFERS_UNREADABLE"] == [
        "withdrawals cannot be read: -2015: no permission"
    ]


def test_a_list_that_was_unreadable_is_over_once_it_was_read_and_no_sooner() -> None:
    """ORC-78: each list by itself; a refusal is an answer and no end, a start has read neither."""
    refusal = VenueRefused("-2015", "no permission")
    room = Room(Lists(refusal=refusal, refused=(False,)))
    unread, withdrawals = "TRANSFERS_UNREADABLE", "binance withdrawals"
    room.look()
    assert room.over == [{unread, withdrawals}], "deposits were read, withdrawals refused"
    room.lists.refusal = SourceUnavailable("no answer")
    room.lists.refused = (True, False)
    room.look()
    assert len(room.over) == 1
    room.lists.refusal = None
    room.restart()
    room.look()
    assert room.over[1:] == [{unread, withdrawals}, {unread}]


def test_no_list_is_asked_for_while_the_request_budget_has_no_room() -> None:
    """The orders' own questions come first; what never finds room is told of."""
    room = Room(Lists([transfer()], has_room=False))
    room.watch.look_if_due()
    assert (room.lists.asked, room.alerts) == ([], [])
    room.now_s += OVERDUE_S + 1
    room.watch.look_if_due()
    assert [alert.code for alert in room.alerts] == ["TRANSFERS_UNREADABLE"]
    room.lists.has_room = True
    assert len(room.look()) == 1


@pytest.mark.parametrize(
    ("declared", "listed", "fee", "same"),
    [
        ("10000", "9990", "0", True),
        ("10000", "9900", "100", True),
        ("100", "80", "20", True),
        ("100", "98", "1", False),
        ("-100", "100", "0", False),
        ("-50", "-50.4", "0.4", True),
    ],
)
def test_a_declaration_and_a_listed_transfer_differ_by_a_fee_at_most(
    declared: str, listed: str, fee: str, same: bool
) -> None:
    assert declares(Decimal(declared), Decimal(listed), Decimal(fee)) is same


def test_a_deposit_declared_before_its_fee_is_booked_once_and_the_rest_is_told() -> None:
    """D-59"""
    room = Room(Lists([transfer("d1", "9990")]))
    declare(room, "10000")
    assert room.look() == []
    row = models.VenueTransfer.objects.get()
    assert row.outcome.startswith("declared by ann as 10000 in request")
    assert row.outcome.endswith("the books need -10 USDT more, declare that too")


def test_a_declaration_of_months_ago_explains_no_transfer_of_today() -> None:
    """D-59"""
    room = Room(Lists([transfer("d1")]))
    declare(room, "500", at_ms=START_MS - 90 * 24 * HOUR_MS)
    assert [r.reason for r in room.look()] == ["deposit d1 of 500 USDT at the venue"]


def test_what_the_list_booked_cannot_be_declared_again() -> None:
    """D-59: refused within three days of it; a withdrawal, or another amount, is another."""
    room = Room()
    now_ms = milliseconds(timezone.now())
    room.lists.now_ms = now_ms
    room.lists.found = [transfer(name, "9990", ts_ms=now_ms) for name in ("d1", "d2")]
    first = declare(room, "9990", at_ms=now_ms, key="once")
    (asked,) = room.look()
    with pytest.raises(RequestRefused, match=f"told of as d2 and request {asked.pk} booked"):
        declare(room, "10000")
    assert declare(room, "9990", key="once") == first
    declare(room, "-10000")
    models.VenueTransfer.objects.update(transferred_at=moment(now_ms - 4 * 24 * HOUR_MS))
    declare(room, "10000")


def test_a_funding_wallet_is_not_the_traded_one() -> None:
    """D-59: nothing is booked that no trade could use; a person declares it once it is there."""
    room = Room(Lists([transfer("d1")], credits_trading_wallet=False))
    assert room.look() == []
    (alert,) = room.alerts
    assert "not booked: this venue moves it through its funding wallet" in alert.text
    assert [v.id for v in VENUES.values() if v.has_funding_wallet] == ["bybit", "okx"]


@pytest.mark.parametrize(("credited_ms", "booked"), [(START_MS + 1, 1), (START_MS - 1, 0)])
def test_a_deposit_on_its_way_at_the_first_reading_counts_by_when_it_came(
    credited_ms: int, booked: int
) -> None:
    """D-59"""
    sent = transfer("d1", ts_ms=START_MS - HOUR_MS, credited_ms=credited_ms)
    assert len(Room(Lists([sent])).look()) == booked


def test_a_deposit_whose_coming_is_not_told_is_a_persons_to_judge() -> None:
    """D-59: begun before the first reading, credited nobody knows when."""
    room = Room(Lists([transfer("d1", ts_ms=START_MS - HOUR_MS)]))
    assert room.look() == []
    (alert,) = room.alerts
    assert "it began before the balances were read" in alert.text


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
        ({"amount": 1.5, "status": "pending"}, "1.5"),
        ({"amount": 1.5, "status": "failed"}, None),
        ({"amount": 1.5, "status": None}, None),
        ({"amount": 1.5, "id": None}, None),
    ],
)
def test_what_a_withdrawal_took_from_the_account(row: dict[str, Any], amount: str | None) -> None:
    """The fee in its own coin goes besides; what is on its way may be off the balance already."""
    given = {"id": "x", "currency": "BTC", "status": "ok", "timestamp": 5, "fee": None, **row}
    value = transfer_value(given, is_deposit=False)
    assert (None if value is None else -value.amount) == (amount and Decimal(amount))
    assert value is None or value.is_done == (given["status"] == "ok")


@pytest.mark.parametrize(
    ("row", "credited_ms"),
    [
        ({"updated": 9}, 9),
        ({"info": {"completeTime": "8"}}, 8),
        ({"info": {"completeTime": "2026-01-02 03:04:05"}}, None),
        ({}, None),
    ],
)
def test_when_a_deposit_was_credited(row: dict[str, Any], credited_ms: int | None) -> None:
    given = {"id": "x", "currency": "BTC", "status": "ok", "timestamp": 5, "amount": 1, **row}
    for is_deposit, expected in ((True, credited_ms), (False, None)):
        value = transfer_value(given, is_deposit=is_deposit)
        assert value is not None
        assert value.credited_ms == expected


def test_transfers_are_listed_with_the_request_that_books_them() -> None:
    """D-59"""
    room = Room(Lists([transfer("7"), transfer("8", "-2", asset="DOGE", fee=Decimal("0.5"))]))
    (asked,) = room.look()
    rows = by_token("viewer").get("/api/v1/transfers/").json()["results"]
    assert [(r["venue_id"], r["amount"], r["fee"], r["request"]) for r in rows] == [
        ("8", "-2", "0.5", None),
        ("7", "500", "0", asked.pk),
    ]
