"""When a balance that differs is told and when it stops entries, without a venue's process."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from engine.ports import TradingState
from market.errors import SourceUnavailable
from tests.trades.order_factory import BTC, INSTRUMENT, START_MS, held_fence, make_run
from tests.trades.test_transfers import Lists, transfer
from trades import models
from trades.alerts import Alert
from trades.errors import VenueRefused
from trades.reconcile import Patience, RunReconciler
from trades.records import moment
from trades.venue_rules import ClosedSymbols

pytestmark = pytest.mark.django_db
REDUCING = TradingState.REDUCING
PATIENCE = Patience()


@dataclass
class Account(Lists):
    """A venue's account that nobody trades on, with its lists of transfers."""

    held: dict[str, Decimal] = field(default_factory=lambda: {"USDT": Decimal(10_000)})
    timeout_s: float = 1.0

    def balances(self) -> dict[str, Decimal]:
        return dict(self.held)

    def open_orders(self, _symbol: str) -> list[Any]:
        return []


class Desk:
    """A run of 10,000 USDT whose passes are counted in seconds."""

    def __init__(self) -> None:
        self.account = Account()
        self.alerts: list[Alert] = []
        self.agreed: list[set[str]] = []
        self.now_s = 1_000.0
        self.run = make_run(balances_at=moment(START_MS))
        models.EquityPoint.objects.create(
            run=self.run,
            at=moment(START_MS),
            equity_quote=Decimal(10_000),
            cash_quote=Decimal(10_000),
            exposure_quote=Decimal(0),
            peak_equity_quote=Decimal(10_000),
            drawdown_fraction=0.0,
            day_pnl_quote=Decimal(0),
        )
        client: Any = self.account
        broker: Any = None
        self.reconciler = RunReconciler(
            self.run,
            client,
            broker,
            held_fence(self.run),
            {BTC: INSTRUMENT},
            installation="abc123",
            booted_at=datetime.now(UTC),
            alarm=self.alerts.append,
            closed=ClosedSymbols(dict, self.run.symbols, self.alerts.append),
            agreed=self._agree,
            monotonic=lambda: self.now_s,
            baseline={"USDT": Decimal(10_000)},
        )

    def _agree(self, assets: Collection[str]) -> None:
        self.agreed.append(set(assets))

    def after(self, seconds: float) -> list[tuple[str, TradingState | None]]:
        """Make a pass so much later; return what it told."""
        self.now_s += seconds
        told = len(self.alerts)
        self.reconciler.reconcile()
        return [(a.code, a.brake) for a in self.alerts[told:] if a.code != "TRANSFERS_UNREADABLE"]


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    for _ in range(2):  # both lists are read once
        assert desk.after(PATIENCE.every_s) == []
    return desk


def test_passes_a_second_apart_are_one_reading(desk: Desk) -> None:
    """F-061, CTL-16: while an order is unsettled passes run every second; a fill that is booked
    seconds later is no difference."""
    desk.account.held["USDT"] -= 100
    assert [desk.after(PATIENCE.unsettled_every_s) for _ in range(20)] == [[]] * 20
    desk.account.held["USDT"] += 100
    assert desk.after(1) == []
    desk.account.held["USDT"] -= 100
    assert desk.after(1) == []
    assert desk.after(PATIENCE.every_s) == [("BALANCE_DIFFERENCE", REDUCING)]


def test_a_withdrawal_on_its_way_is_told_and_stops_nothing(desk: Desk) -> None:
    """D-59, CTL-16: the venue takes it off at once and calls it done hours later."""
    sent = {"is_done": False, "fee": Decimal(1)}
    desk.account.found = [transfer("w1", "-100", **sent), transfer("w2", "-40", **sent)]
    desk.account.held["USDT"] -= 100
    assert desk.after(PATIENCE.every_s) == [("TRANSFER", None), ("TRANSFER", None)]
    assert [desk.after(PATIENCE.every_s) for _ in range(30)] == [[]] * 30
    assert not models.VenueTransfer.objects.exists(), "nothing is booked before it is done"
    desk.account.found = [transfer("w1", "-100")]
    assert [alert for _ in range(20) for alert in desk.after(30)] == [("TRANSFER", None)]
    (asked,) = models.OperatorRequest.objects.filter(run=desk.run)
    assert asked.payload["amount"] == "-100"


def test_a_withdrawal_on_its_way_explains_its_own_amount_and_no_more(desk: Desk) -> None:
    """CTL-16: what goes beside it is missed as ever, and one that failed is owed again."""
    desk.account.found = [transfer("w1", "-100", is_done=False)]
    desk.account.held["USDT"] -= 400
    desk.after(PATIENCE.every_s)
    desk.after(PATIENCE.every_s)
    assert desk.after(PATIENCE.every_s) == [("BALANCE_DIFFERENCE", REDUCING)]
    text = desk.alerts[-1].text
    assert "holds 9600 USDT, our books 10000: -300 USDT besides -100 that is on its way" in text
    desk.account.held["USDT"] += 300
    assert [desk.after(PATIENCE.every_s) for _ in range(10)] == [[]] * 10
    desk.account.found = []
    for _ in range(11):
        told = desk.after(PATIENCE.every_s)
    assert told == [("BALANCE_DIFFERENCE", REDUCING)]


@pytest.mark.parametrize("changes", [{"ts_ms": START_MS}, {"asset": "BTC"}, {"amount": "100"}])
def test_a_transfer_of_before_of_another_coin_or_way_explains_nothing(
    desk: Desk, changes: dict[str, Any]
) -> None:
    """CTL-16: what was under way at the first reading was off the balance by then."""
    found = {"venue_id": "w1", "amount": "-100", "is_done": False, **changes}
    desk.account.found = [transfer(**found)]
    desk.account.held["USDT"] -= 100
    told = [alert for _ in range(12) for alert in desk.after(PATIENCE.every_s)]
    assert ("BALANCE_DIFFERENCE", REDUCING) in told


def test_a_funding_wallets_transfers_explain_nothing_of_the_traded_one(desk: Desk) -> None:
    """D-59"""
    desk.account.credits_trading_wallet = False
    desk.account.found = [transfer("w1", "-100", is_done=False)]
    desk.account.held["USDT"] -= 100
    desk.after(PATIENCE.every_s)
    assert desk.after(PATIENCE.every_s) == [("BALANCE_DIFFERENCE", REDUCING)]


@pytest.mark.parametrize("is_full", [True, False])
def test_a_difference_stops_entries_once_its_list_was_read(desk: Desk, is_full: bool) -> None:
    """CTL-16, D-03: told at the second reading, and not waited with for longer than five
    minutes where the list does not come."""
    silent = SourceUnavailable("the wallet service is down")
    desk.account.refusal = None if is_full else silent
    desk.account.has_room = not is_full
    desk.account.held["USDT"] -= 100
    assert desk.after(PATIENCE.every_s) == []
    told = [alert for _ in range(9) for alert in desk.after(PATIENCE.every_s)]
    assert told == [("BALANCE_DIFFERENCE", None)] * 9
    differs = [a.text for a in desk.alerts if a.code == "BALANCE_DIFFERENCE"]
    assert differs[-1].endswith("; the list of withdrawals is yet to be read")
    assert desk.after(PATIENCE.every_s) == [("BALANCE_DIFFERENCE", REDUCING)]


def test_a_list_that_comes_after_all_explains_in_time(desk: Desk) -> None:
    """D-59: a minute without the wallet service stops nothing."""
    desk.account.refusal = SourceUnavailable("the wallet service is down")
    desk.account.found = [transfer("w1", "-100")]
    desk.account.held["USDT"] -= 100
    for _ in range(2):
        desk.after(PATIENCE.every_s)
    desk.account.refusal = None
    told = [alert for _ in range(12) for alert in desk.after(PATIENCE.every_s)]
    assert [code for code, brake in told if brake is not None] == []
    assert ("TRANSFER", None) in told


def test_a_key_that_may_not_read_the_list_is_waited_for_by_nobody(desk: Desk) -> None:
    """CTL-16: a refusal is an answer."""
    desk.account.refusal = VenueRefused("-2015", "no permission")
    desk.account.held["USDT"] -= 100
    desk.after(PATIENCE.every_s)
    assert desk.after(PATIENCE.every_s) == [("BALANCE_DIFFERENCE", REDUCING)]


def test_assets_that_agree_again_are_named(desk: Desk) -> None:
    """CTL-16: with what is too small to tell; one that differs is not, from the first reading."""
    assert desk.agreed[-1] == {"BTC", "USDT"}
    for left, agreed in ((100, {"BTC"}), (1, {"BTC", "USDT"})):
        desk.account.held["USDT"] = Decimal(10_000 - left)
        desk.after(1)
        assert desk.agreed[-1] == agreed
