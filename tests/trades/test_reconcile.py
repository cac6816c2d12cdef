"""Reconciliation against the practice exchange's process."""

from __future__ import annotations

import time
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from engine.ports import TradingState
from engine.types.opinions import Side
from engine.types.orders import OrderStatus, OrderType, Purpose, Rejection
from engine.types.requests import Adjust
from market.errors import SourceUnavailable
from tests.practice_process import PracticeProcess
from tests.trades.brokers.conftest import practice, running, world  # noqa: F401  fixtures
from tests.trades.order_factory import BTC, INSTALLATION, QUICK, World, age, make_intent
from trades import models
from trades.instructions import StoredInstructions, own_coins
from trades.reconcile import Patience, RunReconciler
from trades.requests import request_adjust
from trades.strangers import Strangers


def snapshot(run: models.TradingRun) -> list[object]:
    """Return everything reconciliation may write, to compare two passes."""
    orders = models.Order.objects.filter(run=run).order_by("pk").values()
    events = models.OrderEvent.objects.filter(order__run=run).order_by("pk").values()
    fills = models.Fill.objects.filter(run=run).values()
    run_row = models.TradingRun.objects.filter(pk=run.pk).values()
    return [list(rows) for rows in (orders, events, fills, run_row)]


def test_second_pass_writes_nothing(world: World, practice: PracticeProcess) -> None:  # noqa: F811
    """F-005: with an adopted, a resting, an expired and a filled order on the books."""
    filled = world.intend()
    world.broker.submit(filled, world.event)
    world.book()
    practice.fault("order.create", "accept_then_timeout", nth=1, hold_s=2)
    adopted = world.intend(kind=OrderType.LIMIT, limit="1000.00", quantity="0.02000")
    world.broker.submit(adopted, world.event)
    unsent = world.intend()
    age(world.order(adopted), 11)
    world.reboot(reconciled=False)
    first = world.reconciler.reconcile()
    assert first.adopted == [adopted.client_order_id]
    assert first.expired == [unsent.client_order_id]
    before = snapshot(world.run)
    second = world.reconciler.reconcile()
    assert snapshot(world.run) == before
    assert (second.adopted, second.expired, second.resent) == ([], [], [])
    world.broker.cancel(adopted.client_order_id, world.event)


def test_an_exit_that_waits_out_a_silence_is_not_sent_by_the_reconciler(
    world: World,  # noqa: F811
    practice: PracticeProcess,  # noqa: F811
) -> None:
    """F-049: it stays on disk, and leaves once the venue may be asked again."""
    bought = world.intend()
    world.broker.submit(bought, world.event)
    world.book()
    leaving = world.intend(side=Side.SELL, purpose=Purpose.EXIT)
    world.client._quiet_until_s = time.monotonic() + 60
    with pytest.raises(SourceUnavailable):
        world.reconciler.reconcile()
    assert world.order(leaving).status == "INTENT"
    world.client._quiet_until_s = 0.0
    assert world.reconciler.reconcile().resent == [leaving.client_order_id]


def test_no_entry_leaves_before_the_start_is_reconciled(
    world: World,  # noqa: F811
    practice: PracticeProcess,  # noqa: F811
) -> None:
    """I-19: an exit may, an entry is denied until a pass has completed since the start."""
    world.reboot(reconciled=False)
    world.run.reconciled_at = timezone.now() - timedelta(days=1)
    entry = world.intend()
    refused = world.broker.submit(entry, world.event)
    assert isinstance(refused, Rejection)
    assert refused.code == "ENTRIES_HELD"
    world.reconciler.run_if_due()
    later = world.intend()
    world.broker.submit(later, world.event)
    assert world.order(later).status == OrderStatus.OPEN


def test_failed_pass_leaves_entries_held(
    world: World,  # noqa: F811
    practice: PracticeProcess,  # noqa: F811
) -> None:
    """I-19: the venue does not answer the balance."""
    world.reboot(reconciled=False)
    practice.fault("account", "5xx")
    with pytest.raises(SourceUnavailable):
        world.reconciler.run_if_due()
    assert not world.reconciler.is_reconciled()


def test_unsettled_order_keeps_the_start_unreconciled(
    world: World,  # noqa: F811
    practice: PracticeProcess,  # noqa: F811
) -> None:
    """I-19: as long as one order may or may not exist, nobody adds risk."""
    practice.fault("order.create", "drop", nth=1, hold_s=2)
    intent = world.intend()
    world.broker.submit(intent, world.event)
    world.reboot(reconciled=False)
    world.reconciler.reconcile()
    assert not world.reconciler.is_reconciled()
    for _ in range(2):
        age(world.order(intent), 11)
        world.reconciler.reconcile()
    assert world.reconciler.is_reconciled()


def test_unsent_exit_of_a_dead_process_is_sent_under_its_own_id(
    world: World,  # noqa: F811
    practice: PracticeProcess,  # noqa: F811
) -> None:
    """F-001: an exit is not dropped as an entry is."""
    entry = world.intend()
    world.broker.submit(entry, world.event)
    world.book()
    intent = world.intend(side=Side.SELL, purpose=Purpose.EXIT)
    world.reboot(reconciled=False)
    assert world.reconciler.reconcile().resent == [intent.client_order_id]
    world.book()
    assert world.order(intent).status == OrderStatus.FILLED


@pytest.mark.parametrize(
    ("client_id", "code", "held"),
    [
        ("fedcba" + "1" * 26, "OTHER_DEPLOYMENT", True),
        ("abc123" + "2" * 26, "UNKNOWN_OWN_ORDER", True),
        ("web_by_hand", "EXTERNAL_ORDER", False),
    ],
)
def test_open_order_of_another_hand_is_told_and_never_adopted(
    world: World,  # noqa: F811
    practice: PracticeProcess,  # noqa: F811
    client_id: str,
    code: str,
    held: bool,
) -> None:
    """F-012: another deployment on the same keys stops entries; a person's order is only told."""
    foreign = make_intent(
        kind=OrderType.LIMIT, limit="1000.00", quantity="0.02000", client_order_id=client_id
    )
    world.client.send(foreign)
    report = world.reconciler.reconcile()
    assert report.foreign == [client_id]
    assert world.codes() == [code]
    assert world.reconciler.is_reconciled() is not held
    assert not models.Order.objects.filter(client_order_id=client_id).exists()
    world.client.cancel(BTC, client_id)
    world.reconciler.reconcile()
    assert world.reconciler.is_reconciled()


def test_a_strangers_order_is_over_when_no_look_of_five_seconds_found_it(
    world: World,  # noqa: F811
    practice: PracticeProcess,  # noqa: F811
) -> None:
    """F-012, F-047: a list that lacks it once proves nothing, also right after a start."""
    client_id = "fedcba" + "3" * 26
    foreign = make_intent(
        kind=OrderType.LIMIT, limit="1000.00", quantity="0.02000", client_order_id=client_id
    )
    world.client.send(foreign)
    told: list[set[str]] = []
    for later_s, is_there in ((0, True), (QUICK.gap_s, True), (QUICK.gap_s - 1, False), (1, False)):
        world.monotonic_s += later_s
        if not is_there:
            world.client.cancel(BTC, client_id)
        world.reconciler.reconcile()
        told = [standing for code, standing in world.over if code == "OTHER_DEPLOYMENT"]
        assert (set() in told) is (later_s == 1)
    assert told == [{client_id}, {client_id}, set()], "nothing is over by a process's first look"


def test_a_strangers_order_stands_while_a_pass_over_many_symbols_takes_longer_than_the_gap(
    db: Any,
) -> None:
    """F-012, F-047: at the first of fifty symbols it was seen long before the pass ends; it is not
    over, to be raised anew by the next pass."""
    now_s, client_id = 0.0, "fedcba" + "4" * 26
    raised: list[str] = []
    told: list[set[str]] = []

    class SlowVenue:
        def open_orders(self, symbol: str) -> list[Any]:
            nonlocal now_s
            now_s += 0.12
            word = SimpleNamespace(client_order_id=client_id, venue_order_id="1")
            return [SimpleNamespace(word=word)] if symbol == "S0" else []

    strangers = Strangers(
        SlowVenue(),  # type: ignore[arg-type]
        INSTALLATION,
        lambda alert: raised.append(alert.code),
        lambda code, standing: told.append(set(standing)),
        gap_s=QUICK.gap_s,
        monotonic=lambda: now_s,
    )
    for _ in range(3):
        for number in range(50):
            strangers.look(f"S{number}")
        assert strangers.hold_entries()
        now_s += 1
    assert raised == ["OTHER_DEPLOYMENT"] * 3
    assert told == [{client_id}] * 4, "two codes at each pass but the first"


def test_balance_difference_is_told_at_the_second_reading_only(
    world: World,  # noqa: F811
    practice: PracticeProcess,  # noqa: F811
) -> None:
    """F-061, I-5: one wrong reading is not believed, and nothing is corrected."""
    world.reconciler._baseline["BTC"] = world.client.balances().get("BTC", Decimal(0))
    assert world.reconciler.reconcile().differences == {}
    practice.admin("POST", "/balance", {"asset": "BTC", "delta": "0.5"})
    assert world.reconciler.reconcile().differences == {}
    world.monotonic_s += 30
    assert world.reconciler.reconcile().differences == {"BTC": Decimal("0.5")}
    assert world.codes() == ["BALANCE_DIFFERENCE"]
    practice.admin("POST", "/balance", {"asset": "BTC", "delta": "-0.5"})


def test_money_that_left_unseen_is_told_at_the_second_reading_while_all_is_quiet(
    world: World,  # noqa: F811
    practice: PracticeProcess,  # noqa: F811
) -> None:
    """I-6, F-061, CTL-16: the quote is compared as the coins are; trading explains what it moved,
    an order on its way puts the comparison off."""
    world.reconciler._baseline = dict(world.client.balances())
    for _ in range(2):
        world.broker.submit(world.intend(quantity="0.00200"), world.event)
        world.book()
        assert world.reconciler.reconcile().differences == {}
    practice.admin("POST", "/balance", {"asset": "USDT", "delta": "-100"})
    resting = world.intend(kind=OrderType.LIMIT, limit="1000.00", quantity="0.02000")
    world.broker.submit(resting, world.event)
    for _ in range(2):
        world.monotonic_s += 30
        assert world.reconciler.reconcile().differences == {}
    world.broker.cancel(resting.client_order_id, world.event)
    assert world.reconciler.reconcile().differences == {}
    world.monotonic_s += 30
    assert world.reconciler.reconcile().differences == {"USDT": Decimal(-100)}
    (alert,) = world.alerts
    assert (alert.code, alert.brake) == ("BALANCE_DIFFERENCE", TradingState.REDUCING)
    practice.admin("POST", "/balance", {"asset": "USDT", "delta": "100"})
    assert world.reconciler.reconcile().differences == {}


def test_a_deposit_explains_a_difference_and_waits_to_be_booked(
    world: World,  # noqa: F811
    practice: PracticeProcess,  # noqa: F811
) -> None:
    """D-59, I-5: no alert, no brake; once it is booked the books agree with the venue again."""
    world.reconciler._baseline["BTC"] = world.client.balances().get("BTC", Decimal(0))
    world.reconciler.reconcile()
    practice.step(1)
    practice.admin("POST", "/transfer", {"asset": "BTC", "amount": "0.5"})
    for _ in range(3):
        world.monotonic_s += 30
        assert world.reconciler.reconcile().differences == {}
    assert world.codes() == ["TRANSFER"]
    (asked,) = models.OperatorRequest.objects.filter(run=world.run, actor="venue")
    models.LedgerAdjustment.objects.create(
        run=world.run,
        request=asked,
        asset="BTC",
        amount=Decimal("0.5"),
        price_quote=Decimal(50_000),
        value_quote=Decimal(25_000),
        equity_before_quote=Decimal(10_000),
        after_fill_id=0,
        at=timezone.now(),
    )
    models.OperatorRequest.objects.update(status="DONE")
    for _ in range(2):
        world.monotonic_s += 30
        assert world.reconciler.reconcile().differences == {}
    practice.admin("POST", "/balance", {"asset": "BTC", "delta": "-0.5"})


def test_trading_does_not_wait_for_lists_that_are_down(
    world: World,  # noqa: F811
    practice: PracticeProcess,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """D-59, I-19: the pass completes and is stamped, and the next list is asked for later."""

    def down(*_: object, **__: object) -> None:
        raise SourceUnavailable("the wallet service is down")

    monkeypatch.setattr(world.client, "transfers_since", down)
    world.reboot(reconciled=False)
    world.reconciler.run_if_due()
    assert world.reconciler.is_reconciled()
    assert world.codes() == ["TRANSFERS_UNREADABLE"]


def test_coins_of_before_the_run_that_left_are_missed_by_nobody(
    world: World,  # noqa: F811
    practice: PracticeProcess,  # noqa: F811
) -> None:
    """D-59, I-5: they were in no book; what is expected of the account falls all the same."""
    world.run.opening_balances = {"BTC": "2"}
    world.run.save()
    asked = request_adjust(
        run=world.run, asset="BTC", amount=Decimal("-0.4"), actor="venue", reason="withdrawn"
    )
    world.reconciler._baseline["BTC"] = Decimal(2)
    assert own_coins(world.run, "BTC") == 2
    request_adjust(
        run=world.run, asset="BTC", amount=Decimal("-1.7"), actor="venue", reason="too much"
    )
    (due,) = StoredInstructions(world.run).due(world.now_ms)
    assert isinstance(due, Adjust)
    assert due.own_base == 2
    models.OperatorRequest.objects.filter(pk=asked.pk).update(status="DONE")
    assert own_coins(world.run, "BTC") == Decimal("1.6")
    (later,) = StoredInstructions(world.run).due(world.now_ms)
    assert isinstance(later, Adjust)
    assert (later.amount, later.own_base) == (Decimal("-1.7"), Decimal("1.6"))
    assert world.reconciler._expected()["BTC"] == Decimal("1.6")


def test_order_that_vanished_from_the_venue_is_ended_and_told(
    world: World,  # noqa: F811
    practice: PracticeProcess,  # noqa: F811
) -> None:
    """I-7: an order the venue once accepted and now twice does not know."""
    intent = world.intend(kind=OrderType.LIMIT, limit="1000.00", quantity="0.02000")
    world.broker.submit(intent, world.event)
    practice.fault("order.query", "not_found_lag", lag_s=600)
    for _ in range(2):
        world.reconciler.reconcile()
        age(world.order(intent), 11)
    assert world.order(intent).status == OrderStatus.EXPIRED
    assert "ORDER_VANISHED" in world.codes()
    practice.clear_faults()
    world.client.cancel(BTC, intent.client_order_id)


def test_late_fill_of_an_order_presumed_absent_is_booked_and_told(
    world: World,  # noqa: F811
    practice: PracticeProcess,  # noqa: F811
) -> None:
    """F-014, I-3, I-7: the venue's lag outlived our patience; the fill is not lost."""
    practice.fault("order.create", "accept_then_timeout", nth=1, hold_s=2)
    lag = practice.fault("order.query", "not_found_lag", lag_s=600)
    intent = world.intend()
    world.broker.submit(intent, world.event)
    for _ in range(2):
        age(world.order(intent), 11)
        world.reconciler.reconcile()
    assert world.order(intent).status == OrderStatus.EXPIRED
    practice.admin("DELETE", "/fault", {"id": lag})
    fills = world.book(sweep=True)
    assert sum(f.quantity_base for f in fills) == intent.quantity_base
    assert world.order(intent).status == OrderStatus.FILLED
    assert "LATE_FILL" in world.codes()


def test_grace_must_be_longer_than_a_request_may_take(world: World) -> None:  # noqa: F811
    """F-046."""
    with pytest.raises(ValueError, match=r"grace_s must be above the request timeout of 1\.0 s"):
        RunReconciler(
            world.run,
            world.client,
            world.broker,
            world.fence,
            {},
            installation="abc123",
            booted_at=world.booted_at,
            alarm=world.alerts.append,
            closed=world.closed,
            agreed=world.agreed.append,
            patience=Patience(grace_s=1.0),
        )
