"""The order rows on their own: claims, answers, fills, endings."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from engine.ports import TradingState
from engine.types.opinions import Side
from engine.types.orders import (
    Cause,
    OrderIntent,
    OrderState,
    OrderStatus,
    OrderType,
    Purpose,
    Rejection,
    Unanswered,
)
from strategies.models import Strategy
from tests.trades.order_factory import (
    STRATEGY,
    age,
    held_fence,
    hold,
    lose_lease,
    make_fill,
    make_intent,
    make_run,
    statuses,
    write_intent,
)
from trades import models, oms, order_watch, records
from trades.errors import IllegalTransition, LeaseLost
from trades.invariants.controls import nothing_was_sent_against_the_kill_switch
from trades.lease import Fence, lease_acquire
from trades.services import control_set

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> models.TradingRun:
    return make_run()


@pytest.fixture
def fence(run: models.TradingRun) -> Fence:
    return held_fence(run)


def sent(run: models.TradingRun, fence: Fence, **fields: str) -> OrderIntent:
    intent = make_intent(**fields)  # type: ignore[arg-type]
    write_intent(run, intent)
    assert isinstance(oms.claim_for_send(intent.client_order_id, fence), oms.Claim)
    return intent


def word(intent: OrderIntent, status: OrderStatus, filled: str = "0") -> OrderState:
    return OrderState(intent.client_order_id, "77", status, Decimal(filled), None, 1)


def order_of(intent: OrderIntent) -> models.Order:
    return models.Order.objects.get(client_order_id=intent.client_order_id)


def book(intent: OrderIntent, quantity: str, price: str = "50000") -> oms.Booked:
    order, fill = order_of(intent), make_fill(intent, quantity, price)
    with transaction.atomic():
        records.fill_row(order.run, order, fill, timezone.now()).save(force_insert=True)
        return oms.book_fill(order, fill, timezone.now())


def test_claim_succeeds_once_and_the_second_hears_the_present_state(
    run: models.TradingRun, fence: Fence
) -> None:
    """F-023, F-024, I-2."""
    intent = sent(run, fence)
    second = oms.claim_for_send(intent.client_order_id, fence)
    assert isinstance(second, OrderState)
    assert second.status is OrderStatus.SENDING
    assert statuses(order_of(intent)) == ["INTENT", "SENDING"]


def test_claim_of_an_intent_that_was_never_committed_fails_loudly(
    run: models.TradingRun, fence: Fence
) -> None:
    """F-031: whoever asks before the commit finds no row, and nothing can be sent."""
    with pytest.raises(models.Order.DoesNotExist):
        oms.claim_for_send(make_intent().client_order_id, fence)


def test_lost_lease_refuses_every_write(run: models.TradingRun, fence: Fence) -> None:
    """F-010, F-011, I-16: the fence stands in each transaction of the order path."""
    intent = sent(run, fence)
    lose_lease(run)
    newer = lease_acquire(run=run, holder="worker-2", code_version="test")
    assert newer is not None
    assert newer.token > fence.token
    cid = intent.client_order_id
    attempts = [
        lambda: oms.claim_for_send(cid, fence),
        lambda: oms.record_answer(cid, Unanswered("timeout"), fence),
        lambda: oms.apply_word(cid, word(intent, OrderStatus.OPEN), fence),
        lambda: oms.record_miss(cid, fence),
        lambda: oms.expire(cid, fence, code="X", text="x"),
        lambda: oms.request_cancel(cid, fence),
        lambda: oms.adopt(cid, "77", fence),
        lambda: oms.deny(cid, Rejection("X", "x"), fence),
    ]
    for attempt in attempts:
        with pytest.raises(LeaseLost):
            attempt()
    assert order_of(intent).status == OrderStatus.SENDING


@pytest.mark.parametrize("scope", ["global", f"strategy:{STRATEGY}", "symbol:BTC/USDT"])
@pytest.mark.parametrize(
    ("state", "purpose", "code"),
    [
        (TradingState.HALTED, Purpose.ENTRY, "HALTED"),
        (TradingState.HALTED, Purpose.EXIT, "HALTED"),
        (TradingState.REDUCING, Purpose.ENTRY, "REDUCING"),
        (TradingState.REDUCING, Purpose.EXIT, None),
        (TradingState.ACTIVE, Purpose.ENTRY, None),
    ],
)
def test_kill_switch_is_read_in_the_transaction_that_sends(
    run: models.TradingRun,
    fence: Fence,
    scope: str,
    state: TradingState,
    purpose: Purpose,
    code: str | None,
) -> None:
    """I-9, F-103: set between the decision and the send."""
    hold(run, side=Side.SELL)
    intent = make_intent(purpose=purpose, side=Side.BUY)
    write_intent(run, intent)
    control_set(scope=scope, state=state, actor="anna", reason="because")
    answer = oms.claim_for_send(intent.client_order_id, fence)
    order = order_of(intent)
    assert order.control_epoch == 1
    if code is None:
        assert isinstance(answer, oms.Claim)
        assert order.status == OrderStatus.SENDING
    else:
        assert isinstance(answer, Rejection)
        assert not answer.by_venue
        assert (order.status, order.refusal_code) == (OrderStatus.DENIED, code)


@pytest.mark.parametrize(("status", "may"), [("SUSPENDED", False), ("DEGRADED", True)])
def test_strategy_suspended_after_the_decision_sends_no_entry(
    run: models.TradingRun, fence: Fence, status: str, may: bool
) -> None:
    """I-13, F-083; its exits still leave."""
    Strategy.objects.filter(code=STRATEGY).update(status=status)
    hold(run)
    entry, exit_intent = make_intent(), make_intent(purpose=Purpose.EXIT, side=Side.SELL)
    for intent in (entry, exit_intent):
        write_intent(run, intent)
    assert isinstance(oms.claim_for_send(entry.client_order_id, fence), oms.Claim) is may
    assert isinstance(oms.claim_for_send(exit_intent.client_order_id, fence), oms.Claim)


def test_no_answer_is_unknown_and_only_a_refusal_is_rejected(
    run: models.TradingRun, fence: Fence
) -> None:
    """F-045."""
    lost, refused = sent(run, fence), sent(run, fence)
    oms.record_answer(lost.client_order_id, Unanswered("timeout"), fence)
    oms.record_answer(refused.client_order_id, Rejection("-2010", "no money"), fence)
    assert order_of(lost).status == OrderStatus.UNKNOWN
    assert order_of(refused).status == OrderStatus.REJECTED


def test_status_and_average_price_follow_the_booked_fills_exactly(
    run: models.TradingRun, fence: Fence
) -> None:
    """I-4: 1/3 of a unit at one price and 2/3 at another, in Decimal."""
    intent = sent(run, fence, quantity="0.003")
    oms.record_answer(intent.client_order_id, word(intent, OrderStatus.FILLED, "0.003"), fence)
    assert order_of(intent).status == OrderStatus.OPEN
    book(intent, "0.001", "50000.01")
    assert order_of(intent).status == OrderStatus.PARTIAL
    book(intent, "0.002", "50000.02")
    order = order_of(intent)
    assert (order.status, order.filled_base) == (OrderStatus.FILLED, Decimal("0.003"))
    assert order.average_price == Decimal("50000.016666666667")


def test_fill_before_any_answer_is_booked(run: models.TradingRun, fence: Fence) -> None:
    """F-016."""
    intent = sent(run, fence)
    book(intent, "0.00200")
    assert statuses(order_of(intent)) == ["INTENT", "SENDING", "FILLED"]
    oms.record_answer(intent.client_order_id, word(intent, OrderStatus.FILLED, "0.002"), fence)
    assert order_of(intent).status == OrderStatus.FILLED


def test_ending_is_believed_only_when_every_fill_is_booked(
    run: models.TradingRun, fence: Fence
) -> None:
    """F-014, F-015."""
    intent = sent(run, fence, quantity="0.004")
    oms.record_answer(intent.client_order_id, word(intent, OrderStatus.OPEN), fence)
    cut_off = word(intent, OrderStatus.CANCELED, "0.001")
    oms.apply_word(intent.client_order_id, cut_off, fence)
    assert order_of(intent).status == OrderStatus.OPEN
    book(intent, "0.001")
    oms.apply_word(intent.client_order_id, cut_off, fence)
    assert order_of(intent).status == OrderStatus.CANCELED


def test_late_fill_on_a_canceled_order_is_booked_and_marked(
    run: models.TradingRun, fence: Fence
) -> None:
    """I-7, F-014."""
    intent = sent(run, fence, quantity="0.004")
    oms.apply_word(intent.client_order_id, word(intent, OrderStatus.CANCELED), fence)
    booked = book(intent, "0.001")
    assert booked.is_late
    order = order_of(intent)
    assert (order.status, order.filled_base) == (OrderStatus.CANCELED, Decimal("0.001"))
    assert statuses(order)[-2:] == ["CANCELED", "CANCELED"]


def test_overfill_is_booked_as_it_happened(run: models.TradingRun, fence: Fence) -> None:
    """F-017."""
    intent = sent(run, fence, quantity="0.002")
    booked = book(intent, "0.0025")
    assert booked.excess_base == Decimal("0.0005")
    assert order_of(intent).filled_base == Decimal("0.0025")


def test_word_that_changes_nothing_writes_nothing(run: models.TradingRun, fence: Fence) -> None:
    """F-005."""
    intent = sent(run, fence)
    oms.record_answer(intent.client_order_id, word(intent, OrderStatus.OPEN), fence)
    before = models.Order.objects.filter(pk=order_of(intent).pk).values().get()
    oms.apply_word(intent.client_order_id, word(intent, OrderStatus.OPEN), fence)
    assert models.Order.objects.filter(pk=order_of(intent).pk).values().get() == before
    assert statuses(order_of(intent)) == ["INTENT", "SENDING", "OPEN"]


def test_edge_that_the_table_does_not_have_is_an_error(
    run: models.TradingRun, fence: Fence
) -> None:
    """I-7."""
    intent = sent(run, fence)
    oms.apply_word(intent.client_order_id, word(intent, OrderStatus.OPEN), fence)
    with pytest.raises(IllegalTransition, match="was OPEN, which does not allow reject"):
        oms.record_answer(intent.client_order_id, Rejection("X", "too late"), fence)


def leaving(run: models.TradingRun, **fields: Any) -> OrderIntent:
    intent = make_intent(purpose=Purpose.EXIT, side=Side.SELL, **fields)
    write_intent(run, intent)
    return intent


def protected(run: models.TradingRun, fence: Fence) -> OrderIntent:
    """A position of 0.002 with its stop at the venue."""
    hold(run)
    stop = replace(leaving(run, kind=OrderType.STOP, stop="49500"), cause=Cause.PROTECTION)
    models.Order.objects.update(cause=Cause.PROTECTION)
    oms.claim_for_send(stop.client_order_id, fence)
    oms.apply_word(stop.client_order_id, word(stop, OrderStatus.OPEN), fence)
    return stop


def test_an_exit_waits_on_disk_until_the_stop_of_its_position_has_ended(
    run: models.TradingRun, fence: Fence
) -> None:
    """I-21: a resting stop and an exit never sell the same coins."""
    stop, intent = protected(run, fence), leaving(run)
    for status in (OrderStatus.OPEN, OrderStatus.PENDING_CANCEL):
        assert order_of(stop).status == status
        answer = oms.claim_for_send(intent.client_order_id, fence)
        assert isinstance(answer, OrderState) and answer.status is OrderStatus.INTENT
        oms.request_cancel(stop.client_order_id, fence)
    oms.apply_word(stop.client_order_id, word(stop, OrderStatus.CANCELED), fence)
    assert isinstance(oms.claim_for_send(intent.client_order_id, fence), oms.Claim)
    assert statuses(order_of(intent)) == ["INTENT", "SENDING"]


def test_an_exit_of_what_its_stop_has_sold_meanwhile_is_denied(
    run: models.TradingRun, fence: Fence
) -> None:
    """I-21, F-007: the position is gone, so nothing is left to reduce."""
    stop, intent = protected(run, fence), leaving(run)
    book(stop, "0.00200")
    models.Lot.objects.update(quantity_base=0, is_open=False)
    answer = oms.claim_for_send(intent.client_order_id, fence)
    assert isinstance(answer, Rejection) and not answer.by_venue
    order = order_of(intent)
    assert (order.status, order.refusal_code) == (OrderStatus.DENIED, "NOT_REDUCING")


def test_two_exits_that_fit_into_the_position_both_leave(
    run: models.TradingRun, fence: Fence
) -> None:
    """I-21: half by a person, half by the stop."""
    hold(run)
    halves = [leaving(run, quantity="0.00100") for _ in range(2)]
    for intent in halves:
        assert isinstance(oms.claim_for_send(intent.client_order_id, fence), oms.Claim)
    third = oms.claim_for_send(leaving(run, quantity="0.00001").client_order_id, fence)
    assert isinstance(third, OrderState) and third.status is OrderStatus.INTENT


def test_a_stop_is_not_given_up_in_a_halt_that_denies_what_it_would_make_room_for(
    run: models.TradingRun, fence: Fence
) -> None:
    """CTL-13, I-20: halted between plan and cancel; a stop of more than is held still goes."""
    stop, _ = protected(run, fence), leaving(run)
    control_set(scope="global", state=TradingState.HALTED, actor="ann", reason="crash")
    assert oms.request_cancel(stop.client_order_id, fence) is None
    assert order_of(stop).status == OrderStatus.OPEN
    models.Lot.objects.update(quantity_base=Decimal("0.001"))
    assert oms.request_cancel(stop.client_order_id, fence) is not None
    assert order_of(stop).status == OrderStatus.PENDING_CANCEL


def test_a_halt_between_a_stops_end_and_its_exit_finds_the_exits_right_taken(
    run: models.TradingRun, fence: Fence
) -> None:
    """I-9, I-20: the right to leave was read when the stop was taken away, so that no moment is
    without either; what was written down later, and entries, hear the halt."""
    stop, intent = protected(run, fence), leaving(run)
    entry = make_intent()
    write_intent(run, entry)
    cancelling = oms.request_cancel(stop.client_order_id, fence)
    assert cancelling is not None
    oms.apply_word(stop.client_order_id, word(stop, OrderStatus.CANCELED), fence)
    control_set(scope="global", state=TradingState.HALTED, actor="ann", reason="crash")
    later, clearance = leaving(run), cancelling.clearance
    for other in (later, entry):
        denied = oms.claim_for_send(other.client_order_id, fence, clearance=clearance)
        assert isinstance(denied, Rejection) and denied.code == "HALTED"
    claim = oms.claim_for_send(intent.client_order_id, fence, clearance=clearance)
    assert isinstance(claim, oms.Claim) and claim.control_epoch == 0
    send = order_of(intent).events.get(to_status=OrderStatus.SENDING)
    assert (send.detail["epoch"], "cleared_at" in send.detail) == (0, True)
    assert list(nothing_was_sent_against_the_kill_switch()) == []


def test_a_stop_that_ends_in_a_halt_clears_the_way_for_nothing(
    run: models.TradingRun, fence: Fence
) -> None:
    """I-9: one of more than is held goes; what would have followed it stays."""
    stop, intent = protected(run, fence), leaving(run, quantity="0.00100")
    control_set(scope="global", state=TradingState.HALTED, actor="ann", reason="crash")
    models.Lot.objects.update(quantity_base=Decimal("0.001"))
    cancelling = oms.request_cancel(stop.client_order_id, fence)
    assert cancelling is not None and cancelling.clearance is None
    oms.apply_word(stop.client_order_id, word(stop, OrderStatus.CANCELED), fence)
    assert isinstance(oms.claim_for_send(intent.client_order_id, fence), Rejection)


def test_a_cleared_exit_that_vanished_is_not_sent_again_in_a_halt(
    run: models.TradingRun, fence: Fence
) -> None:
    """I-9: the clearance was for one send."""
    stop, intent = protected(run, fence), leaving(run)
    cancelling = oms.request_cancel(stop.client_order_id, fence)
    assert cancelling is not None
    oms.apply_word(stop.client_order_id, word(stop, OrderStatus.CANCELED), fence)
    oms.claim_for_send(intent.client_order_id, fence, clearance=cancelling.clearance)
    oms.record_answer(intent.client_order_id, Unanswered("timeout"), fence)
    control_set(scope="global", state=TradingState.HALTED, actor="ann", reason="crash")
    name, clearance = intent.client_order_id, cancelling.clearance
    answer = oms.claim_for_send(name, fence, resend=True, clearance=clearance)
    assert isinstance(answer, Rejection) and answer.code == "HALTED"


def test_an_intent_that_is_cancelled_before_it_was_sent_is_denied(
    run: models.TradingRun, fence: Fence
) -> None:
    """F-007: the venue never hears of a stop that nobody wants any more."""
    hold(run)
    intent = leaving(run)
    assert oms.request_cancel(intent.client_order_id, fence) is None
    assert order_of(intent).status == OrderStatus.DENIED
    assert oms.request_cancel(intent.client_order_id, fence) is None


def test_refused_stops_do_not_halt_what_still_trades(run: models.TradingRun, fence: Fence) -> None:
    """F-056: a halt would take the exits away with which a position is left without its stop."""
    hold(run)
    for _ in range(3):
        stop = leaving(run, kind=OrderType.STOP, stop="49500")
        models.Order.objects.filter(client_order_id=stop.client_order_id).update(
            cause=Cause.PROTECTION
        )
        oms.claim_for_send(stop.client_order_id, fence)
        oms.record_answer(stop.client_order_id, Rejection("-2010", "would trigger"), fence)
    assert not order_watch.rejected_in_a_row(run.pk, 3)


def test_halt_between_two_misses_ends_an_exit_instead_of_resending_it(
    run: models.TradingRun, fence: Fence
) -> None:
    """I-9: a resend is a send."""
    hold(run)
    intent = make_intent(purpose=Purpose.EXIT, side=Side.SELL)
    write_intent(run, intent)
    oms.claim_for_send(intent.client_order_id, fence)
    oms.record_answer(intent.client_order_id, Unanswered("timeout"), fence)
    control_set(scope="global", state=TradingState.HALTED, actor="anna", reason="because")
    answer = oms.claim_for_send(intent.client_order_id, fence, resend=True)
    assert isinstance(answer, Rejection)
    assert order_of(intent).status == OrderStatus.EXPIRED


def test_presumed_absent_orders_are_looked_for_while_fresh(
    run: models.TradingRun, fence: Fence
) -> None:
    """I-3."""
    intent = sent(run, fence)
    oms.record_answer(intent.client_order_id, Unanswered("timeout"), fence)
    age(order_of(intent), 20)
    oms.expire(intent.client_order_id, fence, code=oms.ABSENT, text="not there")
    assert [o.client_order_id for o in order_watch.presumed_absent(run.pk, "BTC/USDT")] == [
        intent.client_order_id
    ]
    long_ago = timezone.now() - order_watch.PRESUMED_ABSENT_FOR * 2
    models.Order.objects.filter(run=run).update(updated_at=long_ago)
    assert not order_watch.presumed_absent(run.pk, "BTC/USDT").exists()
