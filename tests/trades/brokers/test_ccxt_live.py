"""The venue broker against the practice exchange's process, through the unmodified ccxt."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.types.opinions import Side
from engine.types.orders import (
    OrderIntent,
    OrderState,
    OrderStatus,
    OrderType,
    Purpose,
    Rejection,
    Unanswered,
)
from tests.practice_process import PracticeProcess
from tests.trades.order_factory import BTC, World, age, lose_lease, statuses
from trades import models
from trades.brokers import ccxt_live
from trades.errors import LeaseLost


def venue_orders(practice: PracticeProcess, client_order_id: str) -> list[dict]:
    """Return what the exchange's own ledger has under one client id."""
    return [o for o in practice.ledger()["orders"] if o["client_id"] == client_order_id]


def test_market_order_is_filled_by_its_booked_fills_alone(
    world: World, practice: PracticeProcess
) -> None:
    """I-4: accepted and filled at the venue at once, FILLED here only when the fills are booked."""
    intent = world.intend(quantity="0.00200")
    answer = world.broker.submit(intent, world.event)
    assert isinstance(answer, OrderState)
    assert answer.status is OrderStatus.FILLED
    assert world.order(intent).status == OrderStatus.OPEN
    fills = world.book()
    order = world.order(intent)
    assert order.status == OrderStatus.FILLED
    assert order.filled_base == sum(f.quantity_base for f in fills) == Decimal("0.002")
    assert {f.trade_id for f in fills} == {
        str(f["trade_id"])
        for f in practice.ledger()["fills"]
        if str(f["order_id"]) == order.venue_order_id
    }
    assert world.broker.open_intents() == ()
    assert world.book() == [], "nothing is returned twice"


def test_second_submission_of_one_intent_sends_nothing(
    world: World, practice: PracticeProcess
) -> None:
    """F-023, F-024: a task delivered twice finds the order already claimed."""
    intent = world.intend()
    world.broker.submit(intent, world.event)
    world.book()
    again = world.broker.submit(intent, world.event)
    assert isinstance(again, OrderState)
    assert again.status is OrderStatus.FILLED
    assert len(venue_orders(practice, intent.client_order_id)) == 1
    assert statuses(world.order(intent)).count("SENDING") == 1


def test_worker_that_lost_its_lease_sends_nothing(world: World, practice: PracticeProcess) -> None:
    """F-010, F-011, I-16."""
    intent = world.intend()
    lose_lease(world.run)
    with pytest.raises(LeaseLost):
        world.broker.submit(intent, world.event)
    assert venue_orders(practice, intent.client_order_id) == []
    assert world.order(intent).status == OrderStatus.INTENT


def test_process_frozen_between_claim_and_wire_does_not_send(
    world: World, practice: PracticeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-010: by the time it wakes somebody may have concluded that the order does not exist."""

    def freeze(name: str) -> None:
        if name == "oms.before_send":
            world.monotonic_s += 90

    monkeypatch.setattr(ccxt_live, "failpoint", freeze)
    intent = world.intend()
    assert isinstance(world.broker.submit(intent, world.event), Unanswered)
    assert venue_orders(practice, intent.client_order_id) == []
    assert world.order(intent).status == OrderStatus.UNKNOWN


def test_timeout_after_accept_is_unknown_then_adopted_and_never_resent(
    world: World, practice: PracticeProcess
) -> None:
    """F-045."""
    practice.fault("order.create", "accept_then_timeout", nth=1, hold_s=2)
    intent = world.intend()
    assert isinstance(world.broker.submit(intent, world.event), Unanswered)
    assert world.order(intent).status == OrderStatus.UNKNOWN
    age(world.order(intent), 11)
    report = world.reconciler.reconcile()
    assert report.adopted == [intent.client_order_id]
    world.book()
    assert world.order(intent).status == OrderStatus.FILLED
    assert len(venue_orders(practice, intent.client_order_id)) == 1


def test_fills_of_an_unanswered_order_are_booked_before_any_reconciliation(
    world: World, practice: PracticeProcess
) -> None:
    """F-016, F-045: the fill is heard before the accept, and tells whose order it was."""
    practice.fault("order.create", "accept_then_timeout", nth=1, hold_s=2)
    intent = world.intend()
    world.broker.submit(intent, world.event)
    world.book()
    order = world.order(intent)
    assert order.status == OrderStatus.FILLED
    assert order.venue_order_id == str(
        venue_orders(practice, intent.client_order_id)[0]["order_id"]
    )


def test_dropped_entry_expires_after_two_misses_and_never_before(
    world: World, practice: PracticeProcess
) -> None:
    """F-046: grace, one miss, a gap, a second miss: only then is the entry given up."""
    practice.fault("order.create", "drop", nth=1, hold_s=2)
    intent = world.intend()
    assert isinstance(world.broker.submit(intent, world.event), Unanswered)
    cid = intent.client_order_id
    assert world.reconciler.reconcile().undecided == [cid], "young: not even queried"
    assert world.order(intent).missed_queries == 0
    age(world.order(intent), 11)
    assert world.reconciler.reconcile().undecided == [cid]
    assert world.reconciler.reconcile().undecided == [cid], "a second query too soon counts not"
    assert world.order(intent).missed_queries == 1
    age(world.order(intent), 6)
    assert world.reconciler.reconcile().expired == [cid]
    assert world.order(intent).status == OrderStatus.EXPIRED
    assert venue_orders(practice, cid) == []


def test_dropped_exit_is_resent_once_with_its_own_id(
    world: World, practice: PracticeProcess
) -> None:
    """F-046."""
    entry = world.intend()
    world.broker.submit(entry, world.event)
    world.book()
    practice.fault("order.create", "drop", nth=1, hold_s=2)
    intent = world.intend(side=Side.SELL, purpose=Purpose.EXIT)
    world.broker.submit(intent, world.event)
    for _ in range(2):
        age(world.order(intent), 11)
        report = world.reconciler.reconcile()
    assert report.resent == [intent.client_order_id]
    world.book()
    assert world.order(intent).status == OrderStatus.FILLED
    assert len(venue_orders(practice, intent.client_order_id)) == 1
    assert statuses(world.order(intent)).count("SENDING") == 2


def test_exit_that_vanishes_twice_is_not_sent_a_third_time(
    world: World, practice: PracticeProcess
) -> None:
    """F-046: resent once, then the strategy decides anew."""
    entry = world.intend()
    world.broker.submit(entry, world.event)
    world.book()
    practice.fault("order.create", "drop", times=2, hold_s=2)
    intent = world.intend(side=Side.SELL, purpose=Purpose.EXIT)
    world.broker.submit(intent, world.event)
    for _ in range(4):
        age(world.order(intent), 11)
        world.reconciler.reconcile()
    assert world.order(intent).status == OrderStatus.EXPIRED
    assert statuses(world.order(intent)).count("SENDING") == 2
    assert "ORDER_VANISHED" in world.codes()


def test_not_found_within_the_venues_read_lag_concludes_nothing(
    world: World, practice: PracticeProcess
) -> None:
    """F-047: the order exists, the query says otherwise, and nothing is resent or expired."""
    practice.fault("order.create", "accept_then_timeout", nth=1, hold_s=2)
    lag = practice.fault("order.query", "not_found_lag", lag_s=600)
    intent = world.intend(kind=OrderType.LIMIT, limit="1000.00", quantity="0.02000")
    world.broker.submit(intent, world.event)
    age(world.order(intent), 11)
    assert world.reconciler.reconcile().undecided == [intent.client_order_id]
    practice.admin("DELETE", "/fault", {"id": lag})
    age(world.order(intent), 6)
    assert world.reconciler.reconcile().adopted == [intent.client_order_id]
    assert world.order(intent).status == OrderStatus.OPEN
    assert len(venue_orders(practice, intent.client_order_id)) == 1
    world.broker.cancel(intent.client_order_id, world.event)


@pytest.mark.parametrize("verb", ["5xx", "html", "truncate", "empty"])
def test_ambiguous_answer_to_a_write_is_unknown_and_found_again(
    world: World, practice: PracticeProcess, verb: str
) -> None:
    """F-048."""
    accept = {"accept": True} if verb in ("5xx", "html") else {}
    practice.fault("order.create", verb, nth=1, **accept)
    intent = world.intend()
    assert isinstance(world.broker.submit(intent, world.event), Unanswered)
    assert world.order(intent).status == OrderStatus.UNKNOWN
    age(world.order(intent), 11)
    world.reconciler.reconcile()
    world.book()
    assert world.order(intent).status == OrderStatus.FILLED
    assert len(venue_orders(practice, intent.client_order_id)) == 1


def test_reads_are_repeated_after_a_server_error(world: World, practice: PracticeProcess) -> None:
    """F-048: ambiguous for writes, repeated for reads."""
    intent = world.intend()
    world.broker.submit(intent, world.event)
    practice.fault("myTrades", "5xx", nth=1)
    assert len(world.book()) > 0
    assert world.alerts == []


def test_unreachable_trades_delay_fills_and_lose_none(
    world: World, practice: PracticeProcess
) -> None:
    """F-060, I-3."""
    intent = world.intend()
    world.broker.submit(intent, world.event)
    practice.fault("myTrades", "5xx", times=3)
    assert world.book() == []
    assert world.codes() == ["FILLS_UNAVAILABLE"]
    assert world.fills_answered == 0
    assert world.broker.open_intents() == (intent,)
    assert sum(f.quantity_base for f in world.book()) == intent.quantity_base
    assert world.fills_answered == 1
    world.book()
    assert world.fills_answered == 1, "nothing was asked, so nothing was answered"


def test_no_request_leaves_before_the_venues_retry_after(
    world: World, practice: PracticeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-049, I-22: an entry is dropped, an exit waits on disk and is sent afterwards."""
    practice.fault("order.create", "429", nth=1, retry_after_s=30)
    first = world.intend()
    assert isinstance(world.broker.submit(first, world.event), Unanswered)
    assert world.client.silence_s() > 25

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a request left during the silence")

    with monkeypatch.context() as patch:
        patch.setattr(world.ccxt_client, "fetch", forbidden)
        entry = world.intend()
        refused = world.broker.submit(entry, world.event)
        assert isinstance(refused, Rejection)
        assert not refused.by_venue
        assert refused.code == "VENUE_SILENCE"
        exit_intent = world.intend(side=Side.SELL, purpose=Purpose.EXIT)
        assert isinstance(world.broker.submit(exit_intent, world.event), Unanswered)
        assert world.book() == []
    assert world.order(entry).status == OrderStatus.DENIED
    assert world.order(exit_intent).status == OrderStatus.INTENT


def test_explicit_refusal_is_rejected_with_the_venues_words(
    world: World, practice: PracticeProcess
) -> None:
    """F-053: more than the balance; the one way into REJECTED."""
    intent = world.intend(quantity="5.00000")
    answer = world.broker.submit(intent, world.event)
    assert isinstance(answer, Rejection)
    assert answer.by_venue
    order = world.order(intent)
    assert order.status == OrderStatus.REJECTED
    assert "insufficient balance" in order.refusal_text


def test_five_refusals_in_a_row_call_for_the_brake(world: World, practice: PracticeProcess) -> None:
    """F-056."""
    practice.fault("order.create", "reject:-2010", times=5, msg="No.")
    for _ in range(4):
        world.broker.submit(world.intend(), world.event)
    assert "REJECTIONS" not in world.codes()
    world.broker.submit(world.intend(), world.event)
    (alert,) = [a for a in world.alerts if a.code == "REJECTIONS"]
    assert alert.brake == "REDUCING"


def test_revoked_key_calls_for_a_halt_without_a_retry_storm(
    world: World, practice: PracticeProcess
) -> None:
    """F-052."""
    practice.fault("auth", "auth_off")
    intent = world.intend()
    answer = world.broker.submit(intent, world.event)
    assert isinstance(answer, Rejection)
    assert [(a.code, a.brake) for a in world.alerts] == [("AUTH", "HALTED")]
    assert world.order(intent).status == OrderStatus.REJECTED


def test_duplicate_client_id_error_means_the_order_is_already_there(
    world: World, practice: PracticeProcess
) -> None:
    """F-063: not a rejection; the query finds it."""
    intent = world.intend()
    practice.fault("order.create", "unique_ids_forever")
    world.client.send(intent)
    answer = world.broker.submit(intent, world.event)
    assert isinstance(answer, Unanswered)
    world.book()
    assert world.order(intent).status == OrderStatus.FILLED
    assert len(venue_orders(practice, intent.client_order_id)) == 1


def test_trade_by_hand_is_booked_as_external_and_told_once(
    world: World, practice: PracticeProcess
) -> None:
    """F-013, I-5."""
    intent = world.intend()
    world.broker.submit(intent, world.event)
    world.book()
    practice.admin("POST", "/trade", {"symbol": BTC, "side": "BUY", "quantity": "0.003"})
    assert world.book(sweep=True) == []
    rows = models.ExternalFill.objects.filter(run=world.run)
    assert sum(row.quantity_base for row in rows) == Decimal("0.003")
    told = world.codes().count("EXTERNAL_FILL")
    assert told == rows.count()
    world.book(sweep=True)
    assert world.codes().count("EXTERNAL_FILL") == told


def test_the_same_trade_reported_twice_and_out_of_order_is_booked_once(
    world: World, practice: PracticeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-016, I-3: told apart by trade id when it is booked, not when it is heard."""
    intents = [world.intend() for _ in range(3)]
    for intent in intents:
        world.broker.submit(intent, world.event)
    true = world.ccxt_client.fetch_my_trades
    monkeypatch.setattr(
        world.ccxt_client,
        "fetch_my_trades",
        lambda *a, **k: (lambda rows: [*reversed(rows), *rows])(true(*a, **k)),
    )
    first = world.book()
    assert [f.trade_id for f in first] == sorted({f.trade_id for f in first}, key=int)
    assert world.book() == []
    assert all(world.order(i).status == OrderStatus.FILLED for i in intents)


def test_partial_fill_then_cancel_keeps_the_fills(world: World, practice: PracticeProcess) -> None:
    """F-014, F-004: the cancel ends the order only after its fills are booked."""
    practice.fault("order.fill", "partial", nth=1, fraction="0.5")
    price = str(int(practice.client().fetch_ticker(BTC)["ask"] * 1.05))
    intent = world.intend(kind=OrderType.LIMIT, limit=price, quantity="0.00400")
    world.broker.submit(intent, world.event)
    answer = world.broker.cancel(intent.client_order_id, world.event)
    assert isinstance(answer, OrderState) and answer.status is OrderStatus.PENDING_CANCEL
    assert world.order(intent).status == OrderStatus.PENDING_CANCEL
    world.book()
    assert world.order(intent).filled_base == Decimal("0.002")
    (waiting,) = world.broker.open_intents()
    assert waiting.quantity_base == Decimal("0.002"), "the booked half is no longer on the way"
    world.book()
    order = world.order(intent)
    assert (order.status, order.filled_base) == (OrderStatus.CANCELED, Decimal("0.002"))


def test_cancel_of_an_order_that_filled_meanwhile_ends_as_filled(
    world: World, practice: PracticeProcess
) -> None:
    """F-015: "unknown order" is no ending; the fills are fetched first."""
    intent = world.intend()
    world.broker.submit(intent, world.event)
    answer = world.broker.cancel(intent.client_order_id, world.event)
    assert isinstance(answer, Rejection)
    world.book()
    assert world.order(intent).status == OrderStatus.FILLED


def test_lost_cancel_is_asked_again_by_reconciliation(
    world: World, practice: PracticeProcess
) -> None:
    """F-004."""
    practice.fault("order.cancel", "drop", nth=1, hold_s=2)
    intent = world.intend(kind=OrderType.LIMIT, limit="1000.00", quantity="0.02000")
    world.broker.submit(intent, world.event)
    assert isinstance(world.broker.cancel(intent.client_order_id, world.event), Unanswered)
    world.reconciler.reconcile()
    world.book()
    assert world.order(intent).status == OrderStatus.CANCELED
    assert venue_orders(practice, intent.client_order_id)[0]["status"] == "CANCELED"


def test_stop_order_rests_at_its_trigger(world: World, practice: PracticeProcess) -> None:
    entry = world.intend()
    world.broker.submit(entry, world.event)
    world.book()
    intent = world.intend(
        side=Side.SELL,
        purpose=Purpose.EXIT,
        kind=OrderType.STOP,
        quantity="0.00200",
        stop="20000.00",
    )
    answer = world.broker.submit(intent, world.event)
    assert isinstance(answer, OrderState)
    (row,) = venue_orders(practice, intent.client_order_id)
    assert (row["kind"], Decimal(row["stop_price"])) == ("STOP_LOSS", Decimal(20000))
    assert not world.broker.has_news(), "a stop that rests is looked at now and then only"
    world.monotonic_s += 6
    assert world.broker.has_news()
    world.broker.cancel(intent.client_order_id, world.event)


def protected(world: World) -> OrderIntent:
    """Enter, and let the position's stop rest."""
    world.broker.submit(world.intend(), world.event)
    world.book()
    stop = world.intend(side=Side.SELL, purpose=Purpose.EXIT, kind=OrderType.STOP, stop="20000.00")
    world.broker.submit(stop, world.event)
    return stop


def test_a_cancelled_stop_frees_its_coins_for_the_exit_at_once(
    world: World, practice: PracticeProcess
) -> None:
    """I-21: the venue has confirmed the end before the exit leaves."""
    stop = protected(world)
    intent = world.intend(side=Side.SELL, purpose=Purpose.EXIT)
    held = world.broker.submit(intent, world.event)
    assert isinstance(held, OrderState) and held.status is OrderStatus.INTENT
    assert venue_orders(practice, intent.client_order_id) == []
    assert world.broker.waiting() == (intent,)
    ended = world.broker.cancel(stop.client_order_id, world.event)
    assert isinstance(ended, OrderState) and ended.status is OrderStatus.CANCELED
    world.broker.submit(intent, world.event)
    world.book()
    assert world.order(intent).status == OrderStatus.FILLED
    assert not world.ledger.lots


def test_an_exit_waits_while_the_cancel_of_the_stop_has_no_answer(
    world: World, practice: PracticeProcess
) -> None:
    """I-21, F-004: the stop may still sell; the exit leaves after a later word of the venue."""
    stop = protected(world)
    practice.fault("order.cancel", "drop", nth=1, hold_s=2)
    intent = world.intend(side=Side.SELL, purpose=Purpose.EXIT)
    assert isinstance(world.broker.cancel(stop.client_order_id, world.event), Unanswered)
    world.broker.submit(intent, world.event)
    assert world.order(intent).status == OrderStatus.INTENT
    assert world.broker.has_news(), "an order without its end is asked about at once"
    assert world.reconciler.reconcile().undecided == [intent.client_order_id]
    world.book()
    assert world.order(stop).status == OrderStatus.CANCELED
    (waited,) = world.broker.waiting()
    world.broker.submit(waited, world.event)
    world.book()
    assert world.order(intent).status == OrderStatus.FILLED
