"""What a person asks is written once, carried out once, and outlives the process."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from engine.ports import TradingState
from tests.trades.asked_run import BTC, STRATEGY, AskedRun
from trades import models
from trades.books import restore_ledger
from trades.errors import RequestRefused, WideningRefused
from trades.instructions import StoredInstructions
from trades.models import OperatorRequest, RequestStatus
from trades.requests import (
    request_adjust,
    request_book_external,
    request_close,
    request_exits,
)
from trades.selectors.requests import growth
from trades.services import control_set

pytestmark = pytest.mark.django_db
D = Decimal


def ask_close(run: models.TradingRun, **given: object) -> OperatorRequest:
    fields = {"strategy": STRATEGY, "symbol": BTC, "actor": "anna", "reason": "news"}
    return request_close(run=run, **fields | given)  # type: ignore[arg-type]


def test_a_close_becomes_an_order_that_names_its_request_and_the_position_ends() -> None:
    """CTL-23, D-59: asked, audited, ordered, filled; every row says who and why."""
    asked = AskedRun()
    asked.hold("0.01")
    row = ask_close(asked.run, fraction=D("0.5"))
    assert AuditEvent.objects.get(action="request.close").reason == "news"
    asked.tick()
    row.refresh_from_db()
    assert (row.status, row.decided_at is not None) == (RequestStatus.DONE, True)
    (order,) = row.orders.all()
    assert (order.purpose, order.cause, order.actor) == ("exit", "request", "anna")
    assert order.quantity_base == D("0.005")
    asked.bar()
    order.refresh_from_db()
    assert order.status == "FILLED"
    assert asked.ledger.position(STRATEGY, BTC).quantity_base == D("0.005")
    assert models.Trade.objects.get().exit_reason == "MANUAL_CLOSE"


def test_the_same_key_is_the_same_request_and_another_body_is_refused() -> None:
    """SEC-44."""
    asked = AskedRun()
    asked.hold()
    first = ask_close(asked.run, key="k1")
    assert ask_close(asked.run, key="k1").pk == first.pk
    assert OperatorRequest.objects.count() == 1
    with pytest.raises(RequestRefused, match="key k1 was used for request"):
        ask_close(asked.run, key="k1", fraction=D("0.5"))
    assert AuditEvent.objects.filter(action="request.close").count() == 1


def test_a_crash_before_the_commit_leaves_the_request_waiting_and_no_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F-002: the request's status changes with its order or not at all; then it goes once."""
    asked = AskedRun()
    asked.hold()
    row = ask_close(asked.run)

    def dies(name: str) -> None:
        if name == "event.before_commit":
            raise OSError("power cut")

    with monkeypatch.context() as patched:
        patched.setattr("trades.journal.failpoint", dies)
        with pytest.raises(OSError, match="power cut"):
            asked.tick()
    row.refresh_from_db()
    assert row.status == RequestStatus.WAITING
    assert not models.Order.objects.filter(purpose="exit").exists()
    asked.tick()
    asked.tick()
    assert models.Order.objects.filter(purpose="exit").count() == 1


def test_a_request_that_nobody_looked_at_in_time_is_not_done_later() -> None:
    """A worker that comes back after an outage must not sell into another market."""
    asked = AskedRun()
    asked.hold()
    row = ask_close(asked.run)
    past = timezone.now() - timedelta(seconds=1)
    OperatorRequest.objects.filter(pk=row.pk).update(expires_at=past)
    assert asked.tick().submitted == []
    row.refresh_from_db()
    assert row.status == RequestStatus.EXPIRED
    assert not StoredInstructions(asked.run).waiting()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"strategy": "breakout"}, "breakout holds no BTC/USDT"),
        ({"quantity_base": D("1")}, "allowed: at most 0.01"),
        ({"quantity_base": D("NaN")}, "quantity_base was NaN"),
        ({"fraction": D("1.5")}, "fraction was 1.5, allowed: above 0 up to 1"),
        ({"fraction": D("0.5"), "quantity_base": D("0.001")}, "both given"),
        ({"reason": "  "}, "reason had 0 characters"),
        ({"reason": "a\x00b"}, "of text"),
    ],
)
def test_what_is_plainly_impossible_is_refused_before_it_is_written(
    given: dict[str, object], text: str
) -> None:
    """SEC-43: numbers, and what is allowed."""
    asked = AskedRun()
    asked.hold("0.01")
    with pytest.raises(RequestRefused, match=text):
        ask_close(asked.run, **given)
    assert not OperatorRequest.objects.exists()


def test_a_close_of_what_is_halted_is_refused_and_says_the_way_out() -> None:
    """D-28."""
    asked = AskedRun()
    asked.hold()
    control_set(scope="global", state=TradingState.HALTED, actor="anna", reason="storm")
    with pytest.raises(RequestRefused, match=r"global was HALTED \(storm\), allowed: a flatten"):
        ask_close(asked.run)


def test_a_moved_stop_outlives_the_process() -> None:
    """D-59, I-26: the rebuilt books have the stop that the person set, not the entry's."""
    asked = AskedRun()
    asked.hold()
    stop = (asked.price * D("0.97")).quantize(D("0.01"))
    request_exits(
        run=asked.run,
        strategy=STRATEGY,
        symbol=BTC,
        changes={"stop_price": stop},
        actor="anna",
        reason="tighter",
    )
    asked.tick()
    assert asked.ledger.position(STRATEGY, BTC).stop_price == stop
    assert asked.restored().position(STRATEGY, BTC).stop_price == stop
    assert asked.restored().lots == asked.ledger.lots


def test_a_wider_stop_needs_who_may_widen() -> None:
    """SEC-19."""
    asked = AskedRun()
    asked.hold(stop_below="0.05")
    given = {
        "run": asked.run,
        "strategy": STRATEGY,
        "symbol": BTC,
        "changes": {"stop_price": (asked.price * D("0.9")).quantize(D("0.01"))},
        "actor": "anna",
        "reason": "room",
    }
    with pytest.raises(WideningRefused, match="widens the stop"):
        request_exits(**given)  # type: ignore[arg-type]
    request_exits(**given, may_widen=True)  # type: ignore[arg-type]
    asked.tick()
    assert OperatorRequest.objects.get().status == RequestStatus.DONE


def test_books_with_deposits_are_rebuilt_to_the_last_digit() -> None:
    """D-59, I-26: fills and adjustments in the order they were booked are the books."""
    asked = AskedRun()
    asked.hold("0.01")
    for asset, amount in (("USDT", "2500"), ("BTC", "0.02"), ("BTC", "-0.005"), ("USDT", "-100.5")):
        request_adjust(
            run=asked.run, asset=asset, amount=D(amount), actor="anna", reason="transfer"
        )
        asked.tick()
    asked.hold("0.004", strategy="breakout")
    asked.bar()
    again = asked.restored()
    again.mark(BTC, bar_close(asked))
    was, now = asked.ledger, again
    assert now.balances() == was.balances()
    assert (now.deposits_quote, now.equity_quote) == (was.deposits_quote, was.equity_quote)
    assert now.holding_pnl_quote == was.holding_pnl_quote
    assert now.equity_point(asked.now_ms) == was.equity_point(asked.now_ms)


def bar_close(asked: AskedRun) -> float:
    return float(asked.bars[BTC].close[asked.row - 1])


def test_a_deposit_is_no_return() -> None:
    """D-59: what the page shows as return grows by trading only."""
    asked = AskedRun()
    asked.tick()
    rows = models.LedgerAdjustment.objects.filter(run=asked.run)
    request_adjust(run=asked.run, asset="USDT", amount=D("10000"), actor="a", reason="more")
    asked.tick()
    shown = growth(
        start_quote=D(10_000), equity_quote=asked.ledger.equity_quote, adjustments=list(rows)
    )
    assert shown == 0.0
    doubled = growth(start_quote=D(10_000), equity_quote=D(40_000), adjustments=list(rows))
    assert doubled == 1.0


def external(asked: AskedRun, side: str = "SELL", quantity: str = "0.004") -> models.ExternalFill:
    now = timezone.now()
    return models.ExternalFill.objects.create(
        run=asked.run,
        trade_id="900",
        symbol=BTC,
        side=side,
        price=asked.price,
        quantity_base=D(quantity),
        fee=D("0.02"),
        fee_asset="USDT",
        executed_at=now,
        noticed_at=now,
    )


def test_a_sale_by_hand_is_booked_once_and_outlives_the_process() -> None:
    """F-013: lots close as EXTERNAL at its price; the books restart as they were."""
    asked = AskedRun()
    asked.hold("0.01")
    fill = external(asked)
    request_book_external(fill=fill, as_lots=True, actor="anna", reason="sold on my phone")
    assert asked.tick().submitted == []
    fill.refresh_from_db()
    assert (fill.booked_by is not None, fill.closed_lots) == (True, True)
    assert asked.ledger.position(STRATEGY, BTC).quantity_base == D("0.006")
    order = models.Order.objects.get(reason_code="EXTERNAL")
    assert (order.status, order.request_id, order.actor) == ("FILLED", fill.booked_by_id, "anna")
    assert asked.restored().balances() == asked.ledger.balances()
    assert asked.restored().lots == asked.ledger.lots
    with pytest.raises(RequestRefused, match="was booked by request"):
        request_book_external(fill=fill, as_lots=True, actor="anna", reason="again")


def test_a_trade_by_hand_waits_for_one_booking_only() -> None:
    """F-013, SEC-44."""
    asked = AskedRun()
    asked.hold("0.01")
    fill = external(asked)
    request_book_external(fill=fill, as_lots=True, actor="anna", reason="sold")
    with pytest.raises(RequestRefused, match="waits to be booked already"):
        request_book_external(fill=fill, as_lots=False, actor="bert", reason="mine")


def test_coins_bought_by_hand_stand_beside_the_strategies() -> None:
    """F-013."""
    asked = AskedRun()
    asked.hold("0.01")
    fill = external(asked, "BUY", "0.003")
    request_book_external(fill=fill, as_lots=False, actor="anna", reason="mine")
    asked.tick()
    fill.refresh_from_db()
    assert (fill.booked_by is not None, fill.closed_lots) == (True, False)
    assert asked.ledger.balances()["BTC"] == D("0.013")
    assert asked.restored().balances() == asked.ledger.balances()


def test_a_run_that_has_ended_is_asked_nothing() -> None:
    asked = AskedRun()
    asked.hold()
    models.TradingRun.objects.filter(pk=asked.run.pk).update(ended_at=timezone.now())
    asked.run.refresh_from_db()
    with pytest.raises(RequestRefused, match="has ended"):
        ask_close(asked.run)
    assert restore_ledger(asked.run, asked.instruments.values()).lots
