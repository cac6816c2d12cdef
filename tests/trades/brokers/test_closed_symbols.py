"""One symbol that the venue does not trade any more, and the others beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.types.opinions import Side
from engine.types.orders import OrderStatus, OrderType, Purpose
from market.errors import SourceUnavailable
from tests.practice_process import PracticeProcess
from tests.trades.order_factory import BTC, World
from trades import models, records
from trades.alerts import Alert
from trades.errors import VenueRefused
from trades.venue_rules import AGAIN_S, GAP_S, ClosedSymbols

ETH = "ETH/USDT"
UNKNOWN_SYMBOL = VenueRefused("-1121", "Invalid symbol.")


class Venue:
    """A list of markets that a test changes, and a clock that it moves."""

    def __init__(self) -> None:
        self.listed: dict[str, Any] = {BTC: {"active": True}, ETH: {"active": True}}
        self.now_s = 0.0
        self.n_asked = 0
        self.told: list[Alert] = []
        self.closed = ClosedSymbols(
            self.markets, [BTC, ETH], self.told.append, monotonic=lambda: self.now_s
        )

    def markets(self) -> dict[str, Any]:
        self.n_asked += 1
        return self.listed

    def asked_after(self, seconds: float, refused: VenueRefused = UNKNOWN_SYMBOL) -> bool:
        self.now_s += seconds
        return self.closed.explains(BTC, refused)


@pytest.fixture
def venue() -> Venue:
    return Venue()


def test_a_list_that_lacks_a_symbol_once_closes_nothing_and_twice_does(venue: Venue) -> None:
    """F-055, F-047: an answer may be cut short."""
    del venue.listed[BTC]
    assert not venue.asked_after(0.0)
    assert not venue.asked_after(GAP_S / 2), "too near the first to be another look"
    assert venue.n_asked == 1
    assert venue.told == []
    assert venue.asked_after(GAP_S)
    (alert,) = venue.told
    assert (alert.code, alert.scope, alert.brake) == ("SYMBOL_CLOSED", f"symbol:{BTC}", "HALTED")


def test_a_symbol_that_the_list_calls_inactive_is_closed_at_once(venue: Venue) -> None:
    """F-055"""
    venue.listed[BTC] = {"active": False}
    assert venue.asked_after(0.0)
    assert list(venue.closed.symbols) == [BTC]


def test_a_symbol_that_trades_again_is_closed_no_longer_and_may_close_anew(venue: Venue) -> None:
    """F-055: each closing halts and is told; a refusal after the reopening explains itself."""
    venue.listed[BTC] = {"active": False}
    assert venue.asked_after(0.0)
    venue.listed[BTC] = {"active": True}
    assert venue.asked_after(AGAIN_S / 2), "not every refused question reads the whole list"
    assert not venue.asked_after(AGAIN_S)
    assert list(venue.closed.symbols) == []
    venue.listed[BTC] = {"active": False}
    assert venue.asked_after(GAP_S)
    assert len(venue.told) == 2


@pytest.mark.parametrize("listed", [{}, {"XRP/USDT": {"active": True}}])
def test_a_list_without_any_of_our_symbols_closes_none(
    venue: Venue, listed: dict[str, Any]
) -> None:
    """F-055: it is another venue's, or broken; halting everything would be believing it."""
    venue.listed = listed
    assert not venue.asked_after(0.0)
    assert not venue.asked_after(GAP_S)
    venue.closed.check_rules({})
    assert venue.told == []


def test_refused_keys_are_never_a_closed_symbol(venue: Venue) -> None:
    """F-052, F-055: they halt everything, also where a symbol is closed besides."""
    venue.listed[BTC] = {"active": False}
    assert venue.asked_after(0.0)
    assert not venue.asked_after(1.0, VenueRefused("-2015", "Invalid API-key, IP, or permissions."))


def test_a_list_that_is_refused_explains_nothing(venue: Venue) -> None:
    """F-055"""

    def refused() -> dict[str, Any]:
        raise VenueRefused("-1000", "unknown")

    closed = ClosedSymbols(refused, [BTC, ETH], venue.told.append)
    assert not closed.is_closed(BTC)


@pytest.fixture
def pair(world: World) -> World:
    """A run of two symbols; orders are made in BTC."""
    world.run.symbols = [BTC, ETH]
    world.run.save(update_fields=["symbols"])
    world.reboot()
    return world


@pytest.fixture
def delisted(practice: PracticeProcess) -> Iterator[Callable[[str], None]]:
    gone: list[str] = []

    def delist(symbol: str) -> None:
        practice.admin("POST", "/instrument", {"symbol": symbol, "listed": False})
        gone.append(symbol)

    yield delist
    for symbol in gone:
        practice.admin("POST", "/instrument", {"symbol": symbol, "listed": True})


def passed(world: World) -> None:
    """Reconcile once more after the timer; the first look at a closed symbol ends a pass."""
    world.monotonic_s += 31.0
    try:
        world.reconciler.run_if_due()
    except SourceUnavailable:
        world.monotonic_s += GAP_S
        world.reconciler.run_if_due()


def codes(world: World) -> set[str]:
    return {alert.code for alert in world.alerts}


def test_delisted_symbol_takes_no_other_ones_fills_and_reconciling_with_it(
    pair: World, delisted: Callable[[str], None]
) -> None:
    """F-055: every question about it is refused; the other's fill is booked and passes end."""
    intent = pair.intend()
    pair.broker.submit(intent, pair.event)
    delisted(ETH)
    assert pair.book(sweep=True) == [], "the first look proves nothing"
    assert len(pair.book(sweep=True)) > 0
    assert pair.order(intent).status == OrderStatus.FILLED
    passed(pair)
    assert pair.reconciler.is_reconciled()
    told = {(a.code, a.scope, a.brake) for a in pair.alerts}
    assert told == {("SYMBOL_CLOSED", f"symbol:{ETH}", "HALTED")}


def test_orders_in_a_delisted_symbol_are_told_of_and_read_once_it_is_listed_again(
    pair: World, practice: PracticeProcess, delisted: Callable[[str], None]
) -> None:
    """F-055, I-1: an acknowledged one waits; of one that was not only the venue knows."""
    stop = pair.intend(side=Side.SELL, purpose=Purpose.EXIT, kind=OrderType.STOP, stop="20000")
    entry = pair.intend()
    pair.broker.submit(entry, pair.event)
    pair.book()
    pair.broker.submit(stop, pair.event)
    delisted(BTC)
    passed(pair)
    assert pair.order(stop).status == OrderStatus.OPEN
    assert [a.subject for a in pair.alerts if a.code == "ORDER_UNREAD"] == [stop.client_order_id]
    lost = pair.intend()
    models.Order.objects.filter(client_order_id=lost.client_order_id).update(
        status=OrderStatus.UNKNOWN, sent_at=records.moment(pair.now_ms)
    )
    assert pair.reconciler.reconcile().undecided == [lost.client_order_id]
    assert pair.order(lost).status == OrderStatus.UNKNOWN
    practice.admin("POST", "/instrument", {"symbol": BTC, "listed": True})
    pair.monotonic_s += AGAIN_S
    pair.closed.is_closed(BTC)
    pair.reconciler.reconcile()
    assert ("ORDER_UNREAD", set()) in pair.over


def test_what_filled_before_the_delisting_is_found_by_comparing_balances(
    pair: World, practice: PracticeProcess, delisted: Callable[[str], None]
) -> None:
    """F-055, F-061: its fill cannot be read any more; the coins are there to be counted."""
    entry = pair.intend(kind=OrderType.LIMIT, limit="20000")
    pair.broker.submit(entry, pair.event)
    assert pair.order(entry).status == OrderStatus.OPEN
    practice.admin("POST", "/balance", {"asset": "BTC", "delta": "0.002"})
    delisted(BTC)
    passed(pair)
    passed(pair)
    assert {"SYMBOL_CLOSED", "ORDER_UNREAD", "BALANCE_DIFFERENCE"} <= codes(pair)
    assert {a.subject for a in pair.alerts if a.code == "BALANCE_DIFFERENCE"} == {"BTC"}
    practice.admin("POST", "/balance", {"asset": "BTC", "delta": "-0.002"})


def test_refusal_that_no_closed_symbol_explains_still_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-055: a key that may not read is nobody's delisting."""

    def refused(symbol: str) -> list[Any]:
        raise VenueRefused("-2015", "key")

    monkeypatch.setattr(world.client, "open_orders", refused)
    with pytest.raises(SourceUnavailable, match="reconciling was refused: -2015"):
        world.reconciler.run_if_due()
    assert world.alerts == []
