"""The order rows on their own: claims, answers, fills, endings."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import transaction
from django.utils import timezone

from engine.ports import TradingState
from engine.types.opinions import Side
from engine.types.orders import OrderIntent, OrderState, OrderStatus, Purpose, Rejection, Unanswered
from strategies.models import Strategy
from tests.trades.order_factory import (
    STRATEGY,
    age,
    held_fence,
    lose_lease,
    make_fill,
    make_intent,
    make_run,
    statuses,
    write_intent,
)
from trades import models, oms, records
from trades.errors import IllegalTransition, LeaseLost
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
    with pytest.raises(IllegalTransition, match="was SENDING, which does not allow request_cancel"):
        oms.request_cancel(intent.client_order_id, fence)


def test_halt_between_two_misses_ends_an_exit_instead_of_resending_it(
    run: models.TradingRun, fence: Fence
) -> None:
    """I-9: a resend is a send."""
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
    assert [o.client_order_id for o in oms.presumed_absent(run.pk, "BTC/USDT")] == [
        intent.client_order_id
    ]
    long_ago = timezone.now() - oms.PRESUMED_ABSENT_FOR * 2
    models.Order.objects.filter(run=run).update(updated_at=long_ago)
    assert not oms.presumed_absent(run.pk, "BTC/USDT").exists()
