"""What a venue may do to us besides answering: withdraw, refuse, close, change its rules, ban."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.types.opinions import Side
from engine.types.orders import OrderState, OrderStatus, Purpose, Rejection, Unanswered
from market.errors import SourceUnavailable
from market.sources.ccxt_poll import instrument_of
from tests.practice_process import PracticeProcess
from tests.trades.brokers.test_ccxt_live import venue_orders
from tests.trades.order_factory import BTC, World
from trades import models
from trades.brokers.retry import Clock
from trades.errors import RulesChanged


@pytest.fixture
def world(world: World) -> World:
    """As a session is built: by the rules that the venue tells."""
    world.reconciler._instruments = {BTC: instrument_of(world.client.markets(), BTC)}
    return world


def test_fill_that_the_venue_withdraws_halts_its_strategy_and_is_told(
    world: World, practice: PracticeProcess
) -> None:
    """F-062: listed once, then gone: told at the second look, and nothing is rewritten."""
    intent = world.intend()
    world.broker.submit(intent, world.event)
    practice.fault("myTrades", "phantom_fill", nth=1)
    booked = world.book()
    (phantom,) = {f.trade_id for f in booked} - {
        str(f["trade_id"]) for f in practice.ledger()["fills"]
    }
    world.book(sweep=True)
    assert "FILL_WITHDRAWN" not in world.codes(), "once is a lag"
    world.book(sweep=True)
    (alert,) = [a for a in world.alerts if a.code == "FILL_WITHDRAWN"]
    assert (alert.scope, alert.brake) == (f"strategy:{intent.strategy}", "HALTED")
    assert phantom in alert.text
    assert models.Fill.objects.filter(trade_id=phantom).exists(), "a person compares first"


def test_refused_for_want_of_funds_is_reconciled_at_once_and_never_sent_smaller(
    world: World, practice: PracticeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-053: the books may be wrong: the venue is asked before anything else is sent."""
    passes: list[int] = []
    true = world.reconciler.reconcile
    monkeypatch.setattr(world.reconciler, "reconcile", lambda: (passes.append(1), true())[1])
    world.reconciler.run_if_due()
    world.reconciler.run_if_due()
    assert len(passes) == 1, "not due again for a while"
    intent = world.intend(quantity="5.00000")
    answer = world.broker.submit(intent, world.event)
    assert isinstance(answer, Rejection) and answer.by_venue
    world.reconciler.run_if_due()
    world.reconciler.run_if_due()
    assert len(passes) == 2, "once a refusal"
    assert venue_orders(practice, intent.client_order_id) == []
    assert models.Order.objects.filter(run=world.run).count() == 1, "no smaller second order"


def test_refusal_under_new_rules_has_the_session_built_anew(
    world: World, practice: PracticeProcess
) -> None:
    """F-054: steps changed while we traded; the next session rounds down by the new ones."""
    world.reconciler.run_if_due()
    practice.admin("POST", "/instrument", {"symbol": BTC, "lot_size": "0.001"})
    try:
        answer = world.broker.submit(world.intend(quantity="0.00150"), world.event)
        assert isinstance(answer, Rejection) and answer.by_venue
        with pytest.raises(RulesChanged, match=r"lot_size was 0\.00001, is 0\.001"):
            world.reconciler.run_if_due()
        found = instrument_of(world.client.markets(), BTC)
        assert found.quantity(Decimal("0.0019")) == Decimal("0.001")
    finally:
        practice.admin("POST", "/instrument", {"symbol": BTC, "lot_size": "0.00001"})


def test_closed_symbol_is_halted_alone_and_what_is_held_stays(
    world: World, practice: PracticeProcess
) -> None:
    """F-055: the position is kept, a person hears of it, and other symbols go on."""
    entry = world.intend()
    world.broker.submit(entry, world.event)
    world.book()
    practice.admin("POST", "/instrument", {"symbol": BTC, "halted": True})
    try:
        leaving = world.intend(side=Side.SELL, purpose=Purpose.EXIT)
        answer = world.broker.submit(leaving, world.event)
        assert isinstance(answer, Unanswered) and "closed" in answer.reason
        world.reconciler.run_if_due()
    finally:
        practice.admin("POST", "/instrument", {"symbol": BTC, "halted": False})
    (alert,) = [a for a in world.alerts if a.code == "SYMBOL_CLOSED"]
    assert (alert.scope, alert.brake) == (f"symbol:{BTC}", "HALTED")
    assert world.order(entry).status == OrderStatus.FILLED


def test_ban_is_waited_out_by_everybody_and_ends_by_itself(
    world: World, practice: PracticeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-050, I-22: no request before its end, entries denied with the time left, then normal."""
    now_s = 0.0
    world.client._clock = Clock(lambda: now_s, lambda _: None)
    practice.fault("order.create", "418", nth=1, retry_after_s=120)
    assert isinstance(world.broker.submit(world.intend(), world.event), Unanswered)
    with monkeypatch.context() as patch:
        patch.setattr(world.ccxt_client, "fetch", lambda *a, **k: pytest.fail("a request left"))
        for now_s in (1.0, 119.0):
            refused = world.broker.submit(world.intend(), world.event)
            assert isinstance(refused, Rejection)
            assert refused.code == "VENUE_SILENCE" and f"{120 - now_s:.0f} s" in refused.message
        with pytest.raises(SourceUnavailable, match="silence"):
            world.reconciler.run_if_due()
    now_s = 121.0
    answer = world.broker.submit(world.intend(), world.event)
    assert isinstance(answer, OrderState)


def test_the_tenth_refusal_in_a_row_calls_for_more_than_the_fifth(
    world: World, practice: PracticeProcess
) -> None:
    """F-056: REDUCING lets exits go on; where those are refused too, only HALTED ends it."""
    practice.fault("order.create", "reject:-2010", times=10, msg="No.")
    for n in range(1, 11):
        world.broker.submit(world.intend(), world.event)
        brakes = {alert.brake for alert in world.alerts if alert.brake is not None}
        assert ("REDUCING" in brakes) == (n >= 5)
        assert ("HALTED" in brakes) == (n == 10)
