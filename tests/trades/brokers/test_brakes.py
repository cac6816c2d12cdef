"""Brakes of the order path: refusals that pile up, and entries that should not rest."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from engine.ports import TradingState
from engine.types.opinions import Side
from engine.types.orders import (
    Cause,
    OrderState,
    OrderStatus,
    OrderType,
    Purpose,
    Rejection,
    Unanswered,
)
from market.sources.ccxt_poll import instrument_of
from tests.practice_process import PracticeProcess
from tests.trades.order_factory import BTC, INSTRUMENT, World, make_intent, write_intent
from trades import models
from trades.alerts import Alert
from trades.brokers.refusals import HALT_WAITS_S
from trades.invariants.controls import nothing_was_sent_against_the_kill_switch
from trades.services import control_set


def sent(world: World, status: str, minutes_ago: float) -> None:
    """An order that was sent and ended, some time ago."""
    intent = make_intent(decided_at_ms=world.now_ms)
    order = write_intent(world.run, intent)
    at = timezone.now() - timedelta(minutes=minutes_ago)
    models.Order.objects.filter(pk=order.pk).update(status=status, sent_at=at)
    models.OrderEvent.objects.create(
        order=order, seq=2, from_status="SENDING", to_status=status, at=at
    )


def refuse(world: World, practice: PracticeProcess) -> None:
    """Send one order that the venue refuses."""
    practice.fault("order.create", "reject", nth=1, code=-2010)
    world.broker.submit(world.intend(), world.event)


@pytest.mark.parametrize(
    ("minutes_ago", "codes"), [(9.0, ["REJECTIONS"]), (11.0, [])], ids=["ten", "nine"]
)
def test_ten_refusals_within_ten_minutes_end_entries(
    world: World, practice: PracticeProcess, minutes_ago: float, codes: list[str]
) -> None:
    """CTL-17: also where orders that were taken lie between them; an old one does not count."""
    sent(world, "REJECTED", minutes_ago)
    for _ in range(8):
        sent(world, "REJECTED", 5.0)
        sent(world, "FILLED", 5.0)
    refuse(world, practice)
    assert world.codes() == codes
    assert [alert.brake for alert in world.alerts] == [TradingState.REDUCING] * len(codes)


def test_five_refusals_in_a_row_end_entries_and_refused_keys_halt(
    world: World, practice: PracticeProcess
) -> None:
    """CTL-17, F-052, F-056"""
    for _ in range(4):
        sent(world, "REJECTED", 5.0)
    refuse(world, practice)
    assert [(a.code, a.brake) for a in world.alerts] == [("REJECTIONS", TradingState.REDUCING)]
    world.alerts.clear()
    practice.fault("order.create", "reject", nth=1, code=-2015)
    world.broker.submit(world.intend(quantity="0.00300"), world.event)
    assert ("AUTH", TradingState.HALTED) in [(a.code, a.brake) for a in world.alerts]


def rest(world: World) -> Any:
    """A limit order of ours, far below the market, open at the venue."""
    bid, _ = world.client.quote(BTC)  # type: ignore[misc]
    price = (Decimal(repr(bid)) * Decimal("0.9")).quantize(Decimal("0.01"))
    intent = world.intend(kind=OrderType.LIMIT, limit=str(price), quantity="0.00400")
    answer = world.broker.submit(intent, world.event)
    assert isinstance(answer, OrderState) and answer.status is OrderStatus.OPEN
    return intent


def protect(world: World) -> Any:
    """A position bought here, with its stop resting far below."""
    world.broker.submit(world.intend(quantity="0.00200"), world.event)
    world.book()
    bid, _ = world.client.quote(BTC)  # type: ignore[misc]
    price = (Decimal(repr(bid)) * Decimal("0.8")).quantize(Decimal("0.01"))
    stop = world.intend(kind=OrderType.STOP, stop=str(price), side=Side.SELL, purpose=Purpose.EXIT)
    world.broker.submit(stop, world.event)
    return stop


@pytest.mark.parametrize(
    ("scope", "state"),
    [
        ("global", "HALTED"),
        ("global", "REDUCING"),
        ("symbol:BTC/USDT", "HALTED"),
        ("strategy:ema-trend", "REDUCING"),
    ],
)
def test_where_no_new_risk_is_allowed_entries_do_not_rest(
    world: World, practice: PracticeProcess, scope: str, state: str
) -> None:
    """CTL-13, I-9: the venue ends them; a protective stop stays where it is."""
    entry = rest(world)
    stop = protect(world)
    world.reconciler.run_if_due()
    assert world.order(entry).status == OrderStatus.OPEN, "nothing is canceled while trading"
    control_set(scope=scope, state=state, actor="a", reason="odd prices")
    world.reconciler.run_if_due()
    world.book(sweep=True)
    statuses = {o["client_id"]: o["status"] for o in practice.ledger()["orders"]}
    assert statuses[entry.client_order_id] == "CANCELED"
    assert statuses[stop.client_order_id] == "NEW"
    assert world.order(entry).status == OrderStatus.CANCELED
    assert world.order(stop).status == OrderStatus.OPEN


def test_a_halt_of_another_symbol_cancels_nothing_here(world: World) -> None:
    """CTL-13"""
    entry = rest(world)
    models.ControlState.objects.create(
        scope="symbol:ETH/USDT", state="HALTED", actor="a", changed_at=timezone.now()
    )
    assert world.broker.cancel_resting_entries() == 0
    assert world.order(entry).status == OrderStatus.OPEN


def test_the_file_cancels_resting_entries_too(world: World, tmp_path: Path, settings: Any) -> None:
    """CTL-13"""
    entry = rest(world)
    settings.VAR_DIR = tmp_path
    (tmp_path / "HALT").touch()
    assert world.broker.cancel_resting_entries() == 1
    assert world.order(entry).status == OrderStatus.CANCELED
    assert world.broker.cancel_resting_entries() == 0, "asked once"


def guarded(world: World) -> Any:
    """As ``protect``, and the order says what it is for, as the books know its price."""
    stop = protect(world)
    models.Lot.objects.filter(run=world.run, is_open=True).update(stop_price=stop.stop_price)
    models.Order.objects.filter(pk=world.order(stop).pk).update(cause=Cause.PROTECTION)
    return stop


def status_there(practice: PracticeProcess, intent: Any) -> str:
    """Return the exchange's own word on an order."""
    words = {o["client_id"]: o["status"] for o in practice.ledger()["orders"]}
    return str(words[intent.client_order_id])


def test_a_halt_while_the_stop_gives_way_leaves_no_position_without_either(
    world: World, practice: PracticeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I-9, I-20, CTL-13: at the named place between the stop's end and the exit's claim."""
    stop = guarded(world)
    intent = world.intend(side=Side.SELL, purpose=Purpose.EXIT)
    halted: list[str] = []

    def halt(place: str) -> None:
        if place == "stop.between":
            halted.append(place)
            control_set(scope="global", state=TradingState.HALTED, actor="ann", reason="crash")

    monkeypatch.setattr("trades.brokers.ccxt_live.failpoint", halt)
    ended = world.broker.cancel(stop.client_order_id, world.event)
    assert isinstance(ended, OrderState) and ended.status is OrderStatus.CANCELED
    assert halted, "the halt came in between"
    world.broker.submit(intent, world.event)
    world.book()
    assert world.order(intent).status == OrderStatus.FILLED
    assert not world.ledger.lots
    late = world.intend(side=Side.SELL, purpose=Purpose.EXIT)
    refused = world.broker.submit(late, world.event)
    assert isinstance(refused, Rejection) and refused.code == "HALTED"


def test_a_lost_cancel_of_a_stop_is_not_asked_again_in_a_halt(
    world: World, practice: PracticeProcess
) -> None:
    """CTL-13, I-20: what the stop would give way to could not leave; after the halt it is."""
    stop = guarded(world)
    practice.fault("order.cancel", "drop", nth=1, hold_s=2)
    assert isinstance(world.broker.cancel(stop.client_order_id, world.event), Unanswered)
    control_set(scope="global", state=TradingState.HALTED, actor="ann", reason="crash")
    world.reconciler.reconcile()
    assert status_there(practice, stop) == "NEW"
    control_set(scope="global", state=TradingState.ACTIVE, actor="ann", reason="over")
    world.reconciler.reconcile()
    assert status_there(practice, stop) == "CANCELED"
    world.broker.cancel(stop.client_order_id, world.event)


@pytest.mark.parametrize("seen_by", ["the cancel itself", "the next event", "reconciliation"])
def test_a_slow_cancel_does_not_spend_the_time_of_what_it_makes_room_for(
    world: World, practice: PracticeProcess, monkeypatch: pytest.MonkeyPatch, seen_by: str
) -> None:
    """I-9, I-20, CTL-13: the exit's ten seconds count from when the stop is seen to have gone."""
    stop = guarded(world)
    intent = world.intend(side=Side.SELL, purpose=Purpose.EXIT)
    cancel = world.client.cancel

    def slow(*args: Any, **named: Any) -> Any:
        answer = cancel(*args, **named)
        world.monotonic_s += 11
        return answer if seen_by == "the cancel itself" else Unanswered("timed out")

    monkeypatch.setattr(world.client, "cancel", slow)
    world.broker.cancel(stop.client_order_id, world.event)
    if seen_by != "the cancel itself":
        world.broker.submit(intent, world.event)
        assert world.order(intent).status == OrderStatus.INTENT, "the stop may still sell"
    control_set(scope="global", state=TradingState.HALTED, actor="ann", reason="crash")
    if seen_by == "reconciliation":
        world.reconciler.reconcile()
    else:
        world.book()
        world.broker.submit(intent, world.event)
    world.book()
    assert world.order(stop).status == OrderStatus.CANCELED
    assert world.order(intent).status == OrderStatus.FILLED
    assert not world.ledger.lots


def test_a_stop_that_is_asked_to_go_again_clears_the_way_again(
    world: World, practice: PracticeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I-9, I-20: also after a restart, and for an exit that was written down since the first."""
    stop = guarded(world)
    monkeypatch.setattr(world.client, "cancel", lambda *_, **__: Unanswered("timed out"))
    world.broker.cancel(stop.client_order_id, world.event)
    monkeypatch.undo()
    world.reboot()
    intent = world.intend(side=Side.SELL, purpose=Purpose.EXIT)
    world.reconciler.reconcile()
    assert status_there(practice, stop) == "CANCELED"
    control_set(scope="global", state=TradingState.HALTED, actor="ann", reason="crash")
    world.book()
    world.broker.submit(intent, world.event)
    world.book()
    assert world.order(intent).status == OrderStatus.FILLED


def brakes(world: World) -> None:
    """Let what the broker tells pull the kill switch, as in a session."""

    def pull(alert: Alert) -> None:
        world.alerts.append(alert)
        if alert.brake is not None:
            control_set(
                scope=alert.scope,
                state=alert.brake,
                actor="breaker",
                reason=alert.text,
                reason_code=alert.code,
                is_breaker=True,
            )

    world.broker._refusals._alarm = pull


def owed(world: World) -> list[models.Order]:
    return world.broker._refusals._stops.owed()


def refused_exit(world: World, practice: PracticeProcess, stop: Any) -> None:
    """The tenth refusal in a row: an exit whose stop has gone for it."""
    for _ in range(9):
        sent(world, "REJECTED", 30.0)
    intent = world.intend(side=Side.SELL, purpose=Purpose.EXIT)
    world.broker.cancel(stop.client_order_id, world.event)
    practice.fault("order.create", "reject", nth=1, code=-2010)
    assert isinstance(world.broker.submit(intent, world.event), Rejection)


def state() -> str:
    return models.ControlState.objects.get(scope="global").state


def test_the_stop_of_a_refused_exit_is_back_before_the_tenth_refusal_halts(
    world: World, practice: PracticeProcess
) -> None:
    """F-056, I-9, I-20: a halt is not pulled over a position with neither stop nor exit, and
    nothing is sent in it."""
    world.reconciler._instruments = {BTC: instrument_of(world.client.markets(), BTC)}
    stop = guarded(world)
    brakes(world)
    refused_exit(world, practice, stop)
    assert state() == "REDUCING", "no entry meanwhile"
    world.reconciler.run_if_due()
    assert state() == "HALTED"
    back = models.Order.objects.filter(cause=Cause.PROTECTION).latest("pk")
    assert back.client_order_id != stop.client_order_id
    assert (back.status, back.stop_price) == (OrderStatus.OPEN, stop.stop_price)
    there = {o["client_id"]: o["status"] for o in practice.ledger()["orders"]}
    assert there[back.client_order_id] == "NEW"
    assert not list(nothing_was_sent_against_the_kill_switch())
    world.reconciler.run_if_due()
    newest = models.Order.objects.filter(cause=Cause.PROTECTION).latest("pk")
    assert newest == back, "once"


def test_a_halt_waits_ten_seconds_for_a_stop_at_most(
    world: World, practice: PracticeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-056, I-22: a venue that wants silence is not asked, and does not put the halt off."""
    stop = guarded(world)
    brakes(world)
    refused_exit(world, practice, stop)
    monkeypatch.setattr(world.client, "hold", lambda _: "silence")
    world.broker.pull_due_brake()
    assert state() == "REDUCING"
    world.monotonic_s += HALT_WAITS_S
    world.broker.pull_due_brake()
    assert state() == "HALTED"
    assert [o.pk for o in owed(world)] == [world.order(stop).pk]


@pytest.mark.parametrize("what", ["it filled", "the venue refused it", "an exit is on its way"])
def test_no_stop_is_put_back_that_nobody_is_owed(
    world: World, practice: PracticeProcess, what: str
) -> None:
    """I-21: it could sell what another order sells, or be refused again and again."""
    stop = guarded(world)
    world.broker.cancel(stop.client_order_id, world.event)
    assert owed(world)
    if what == "an exit is on its way":
        leaving = world.intend(side=Side.SELL, purpose=Purpose.EXIT)
        models.Order.objects.filter(pk=world.order(leaving).pk).update(status="UNKNOWN")
    else:
        ended = {"it filled": "FILLED", "the venue refused it": "REJECTED"}[what]
        models.Order.objects.filter(pk=world.order(stop).pk).update(status=ended)
    assert owed(world) == []


def test_the_halt_of_refusals_waits_for_a_stop_that_is_being_taken_away(
    world: World, practice: PracticeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-056, I-9, I-20: the venue's word on its cancel is late, its exit waits on disk, and the
    tenth refusal is another order's; once the exit is refused too the stop is back before the
    halt."""
    world.reconciler._instruments = {BTC: instrument_of(world.client.markets(), BTC)}
    stop = guarded(world)
    brakes(world)
    leave = world.intend(side=Side.SELL, purpose=Purpose.EXIT)
    give_way_late(world, monkeypatch, stop)
    world.broker.submit(leave, world.event)
    for _ in range(9):
        sent(world, "REJECTED", 30.0)
    refuse(world, practice)
    assert world.order(leave).status == OrderStatus.INTENT
    world.broker.pull_due_brake()
    assert state() == "REDUCING", "neither stop nor exit is settled"
    world.book()
    assert world.order(stop).status == OrderStatus.CANCELED
    world.broker.pull_due_brake()
    assert state() == "REDUCING", "the exit may still leave by its right"
    practice.fault("order.create", "reject", nth=1, code=-2010)
    assert isinstance(world.broker.submit(leave, world.event), Rejection)
    world.reconciler.run_if_due()
    assert state() == "HALTED"
    back = models.Order.objects.filter(cause=Cause.PROTECTION).latest("pk")
    assert (back.status, back.stop_price) == (OrderStatus.OPEN, stop.stop_price)
    assert not list(nothing_was_sent_against_the_kill_switch())


def give_way_late(world: World, monkeypatch: pytest.MonkeyPatch, stop: Any) -> None:
    """Have the venue end a stop, while we hear nothing of it yet."""
    cancel = world.client.cancel

    def unheard(*args: Any, **named: Any) -> Unanswered:
        cancel(*args, **named)
        return Unanswered("timed out")

    monkeypatch.setattr(world.client, "cancel", unheard)
    world.broker.cancel(stop.client_order_id, world.event)
    assert world.order(stop).status == OrderStatus.PENDING_CANCEL


def test_the_halt_of_refusals_waits_ten_seconds_for_the_word_on_a_stop_at_most(
    world: World, practice: PracticeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-056, CTL-17: entries have ended meanwhile; a venue that says nothing does not put it off,
    and the exit keeps its right to leave."""
    stop = guarded(world)
    brakes(world)
    give_way_late(world, monkeypatch, stop)
    for _ in range(9):
        sent(world, "REJECTED", 30.0)
    refuse(world, practice)
    world.monotonic_s += HALT_WAITS_S - 1
    world.broker.pull_due_brake()
    assert state() == "REDUCING"
    world.monotonic_s += 1
    world.broker.pull_due_brake()
    assert state() == "HALTED"


def test_a_stop_not_sent_yet_is_no_reason_to_halt_over_it(
    world: World, practice: PracticeProcess
) -> None:
    """F-056, I-20: it was written ahead in the same event, and would be denied in the halt."""
    stop = guarded(world)
    models.Order.objects.filter(pk=world.order(stop).pk).update(status=OrderStatus.INTENT)
    brakes(world)
    for _ in range(9):
        sent(world, "REJECTED", 30.0)
    refuse(world, practice)
    assert state() == "REDUCING"


def test_what_is_put_back_guards_the_position_held_now_and_not_the_one_before(
    world: World, practice: PracticeProcess
) -> None:
    """F-056, I-20, I-21: price and quantity are those of the open lots, whoever's stop the newest
    cancelled one was."""
    world.reconciler._instruments = {BTC: instrument_of(world.client.markets(), BTC)}
    first = guarded(world)
    world.broker.cancel(first.client_order_id, world.event)
    world.broker.submit(world.intend(side=Side.SELL, purpose=Purpose.EXIT), world.event)
    world.book()
    assert not world.ledger.lots
    at = first.stop_price - 100
    world.broker.submit(world.intend(quantity="0.00300", stop=str(at)), world.event)
    world.book()
    brakes(world)
    for _ in range(9):
        sent(world, "REJECTED", 30.0)
    refuse(world, practice)
    world.broker.pull_due_brake()
    back = models.Order.objects.filter(cause=Cause.PROTECTION).latest("pk")
    held = models.Lot.objects.get(run=world.run, is_open=True).quantity_base
    assert (back.status, back.stop_price) == (OrderStatus.OPEN, at)
    assert back.quantity_base == INSTRUMENT.quantity(held) > first.quantity_base
    assert state() == "HALTED"


@pytest.mark.parametrize("what", ["dust", "a position without a stop in the books"])
def test_nothing_is_owed_that_the_books_would_not_let_rest(world: World, what: str) -> None:
    """F-019, I-20: no order for less than the venue takes, and none at another position's price."""
    stop = guarded(world)
    world.broker.cancel(stop.client_order_id, world.event)
    assert owed(world) == [world.order(stop)]
    changed = {"quantity_base": Decimal("0.00010")} if what == "dust" else {"stop_price": None}
    models.Lot.objects.filter(run=world.run, is_open=True).update(**changed)
    assert owed(world) == []
