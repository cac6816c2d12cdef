"""Books that are read back from rows after a restart, where events and fills cross in time."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from engine.announce import EventOutcome
from engine.trading_book import Resumed, TradingBook
from engine.types.bars import EventKind, MarketEvent
from engine.types.opinions import Side
from engine.types.orders import Fill, OrderType, Purpose
from tests.trades.asked_run import BTC, STRATEGY, AskedRun
from tests.trades.order_factory import make_intent
from trades import models
from trades.books import resumed
from trades.brokers.withdrawn import Withdrawn
from trades.invariants import check_all, venue
from trades.invariants.registry import CHECKS
from trades.requests import request_adjust, request_book_external

pytestmark = pytest.mark.django_db
D = Decimal


def clock(at_ms: int) -> MarketEvent:
    return MarketEvent(EventKind.CLOCK, "", at_ms, at_ms)


def sold(asked: AskedRun, quantity: str, *, at_ms: int, event: MarketEvent) -> EventOutcome:
    """Book the fill of an exit at ``event``; the venue executed it at ``at_ms``."""
    intent = make_intent(
        side=Side.SELL, purpose=Purpose.EXIT, quantity=quantity, decided_at_ms=event.ts_ms
    )
    intent = replace(intent, strategy=STRATEGY, reference_price=asked.price)
    fill = Fill(
        trade_id=f"x{models.Fill.objects.count()}",
        client_order_id=intent.client_order_id,
        symbol=BTC,
        side=Side.SELL,
        price=asked.price,
        quantity_base=intent.quantity_base,
        fee=D("0.01"),
        fee_asset="USDT",
        ts_ms=at_ms,
    )
    outcome = EventOutcome(event)
    with asked.journal.event(event):
        asked.journal.record_intent(intent)
        asked.book.book([(fill, intent)], event, outcome, {})
        asked.book.mark(event, outcome)
    return outcome


def sweeping(asked: AskedRun, told: Resumed | None = None) -> TradingBook:
    """Give the run a book that knows which remainders no order could close."""
    was: Any = asked.book
    asked.book = TradingBook(
        identity=was._identity,
        account=was.account,
        limits=was._limits,
        broker=was.broker,
        journal=asked.journal,
        gatekeeper=asked.gate,
        policy=was._policy,
        instruments=asked.instruments,
        resumed=told or Resumed(),
    )
    return asked.book


def breaches(*ids: str) -> list[str]:
    found = check_all({key: CHECKS[key] for key in ids}).breaches
    return [f"{breach.id} {breach.detail}" for breach in found]


def test_dust_left_by_a_fill_that_a_bar_brought_late_stays_swept_after_a_restart() -> None:
    """F-019, I-5: the fill was executed after the close of the bar that it was booked at."""
    asked = AskedRun()
    sweeping(asked)
    asked.hold("0.01")
    event = clock(asked.now_ms + 1_000)
    outcome = sold(asked, "0.00999", at_ms=event.ts_ms + 800, event=event)
    assert [t.exit_reason for t in outcome.trades][1:] == ["dust"]
    rebuilt = asked.restored()
    assert rebuilt.lots == asked.ledger.lots == ()
    assert rebuilt.balances() == asked.ledger.balances()
    assert rebuilt.realised_quote == asked.ledger.realised_quote
    assert breaches("I-5") == []


def test_dust_whose_exit_a_restart_followed_is_swept_by_the_next_process() -> None:
    """F-019: the process died after the exit was booked and before its stop had ended."""
    asked = AskedRun()
    book = sweeping(asked)
    asked.hold("0.01")
    stop = make_intent(
        side=Side.SELL, purpose=Purpose.EXIT, quantity="0.01", kind=OrderType.STOP, stop="1"
    )
    asked.journal.record_intent(replace(stop, strategy=STRATEGY))
    real = book.broker
    book.broker = type(
        "Resting", (), {"open_intents": lambda _: (replace(stop, strategy=STRATEGY),)}
    )()
    event = clock(asked.now_ms + 1_000)
    outcome = sold(asked, "0.00999", at_ms=event.ts_ms, event=event)
    assert [t.exit_reason for t in outcome.trades] != [] and asked.ledger.lots, "the stop may fill"
    told = resumed(asked.run)
    assert told.remainders == {(STRATEGY, BTC): event.ts_ms}
    models.Order.objects.filter(client_order_id=stop.client_order_id).update(status="CANCELED")
    book = sweeping(asked, told)
    book.broker = real
    later = clock(event.ts_ms + 1_000)
    with asked.journal.event(later):
        book.book([], later, EventOutcome(later), {})
    assert asked.ledger.lots == ()
    assert asked.restored().lots == ()
    assert breaches("I-5") == []


def test_a_position_that_no_exit_touched_is_no_remainder() -> None:
    """F-019: what was just entered is kept, however small."""
    asked = AskedRun()
    asked.hold("0.00001")
    assert resumed(asked.run) == Resumed({}, asked.now_ms)


def test_a_withdrawal_at_an_event_behind_the_last_one_is_no_drawdown_after_a_restart() -> None:
    """I-6, D-59: a bar that came after a clock event had closed before it."""
    asked = AskedRun()
    asked.hold("0.01")
    asked.tick()
    bar_close_ms = asked.now_ms - 30_000
    request_adjust(run=asked.run, asset="USDT", amount=D("-5000"), actor="a", reason="rent")
    asked.session.on_event(clock(bar_close_ms))
    assert breaches("I-6") == []
    point = asked.restored().equity_point(asked.now_ms + 1)
    assert point.drawdown_fraction == pytest.approx(0.0, abs=0.001)
    assert point.peak_equity_quote < 6_000


def test_a_trade_by_hand_that_closed_lots_of_two_strategies_breaks_no_invariant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F-013, I-3: booked in parts, and its own row says so; nobody is stopped for it."""
    asked = AskedRun()
    asked.hold("0.01")
    asked.now_ms += 1_000
    asked.hold("0.01", strategy="rsi-reversion")
    now = timezone.now()
    fill = models.ExternalFill.objects.create(
        run=asked.run, trade_id="900", symbol=BTC, side="SELL", price=asked.price,
        quantity_base=D("0.015"), fee=D("0.02"), fee_asset="USDT", executed_at=now, noticed_at=now,
    )  # fmt: skip
    request_book_external(fill=fill, as_lots=True, actor="anna", reason="sold on my phone")
    asked.tick()
    assert set(models.Fill.objects.values_list("trade_id", flat=True)) >= {"900", "900.1"}
    assert breaches("I-3", "I-4", "I-5", "I-6", "I-7", "I-8", "I-21") == []
    models.TradingRun.objects.update(mode=models.Mode.PRACTICE)
    listed = [{"symbol": BTC, "trade_id": name} for name in ("t0", "t1", "900")]
    monkeypatch.setattr(venue, "ledger", lambda: {"fills": listed, "orders": []})
    assert breaches("I-3") == [], "the venue lists the trade once, under its own name"
    alarms: list[str] = []
    withdrawn = Withdrawn(asked.run, lambda alert: alarms.append(alert.subject))
    trades = [SimpleNamespace(trade_id=name) for name in ("t0", "900")]
    for _ in range(2):
        withdrawn.look(BTC, 0, trades)  # type: ignore[arg-type]
    assert alarms == [f"{BTC} t1"], "what the venue took back is told, and no part of ours"
    models.ExternalFill.objects.update(closed_lots=False)
    assert breaches("I-3") == ["I-3 trade 900 in BTC/USDT is booked as ours and as external"]
