"""Orders that wait for a price, and entries that may not rest, on the practice exchange."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.types.opinions import Side
from engine.types.orders import OrderIntent, OrderState, OrderStatus, OrderType, Purpose
from tests.practice_process import PracticeProcess
from tests.trades.order_factory import BTC, World, make_run
from tests.trades.rows import MINUTE, make_candle, make_order
from tests.trades.rows import make_run as make_stored_run
from trades import models
from trades.brokers.ccxt_values import Prices
from trades.brokers.paper import _resting
from trades.brokers.stop_limits import StopLimits


def venue_order(practice: PracticeProcess, intent: OrderIntent) -> dict[str, Any]:
    (row,) = [o for o in practice.ledger()["orders"] if o["client_id"] == intent.client_order_id]
    return dict(row)


def enter(world: World) -> Decimal:
    """Buy 0.002 at the market and return about what it cost."""
    world.broker.submit(world.intend(), world.event)
    return world.book()[0].price


def rest(world: World, kind: OrderType, price: Decimal, limit: Decimal | None = None) -> Any:
    name = "target_price" if kind is OrderType.TAKE_PROFIT else "stop_price"
    fields = {"stop": str(price)} if name == "stop_price" else {}
    written = world.intend(
        side=Side.SELL,
        purpose=Purpose.EXIT,
        kind=kind,
        limit=None if limit is None else str(limit),
        **fields,
    )
    intent = replace(written, **{name: price})
    rows = models.Order.objects.filter(client_order_id=intent.client_order_id)
    rows.update(**{name: price})
    answer = world.broker.submit(intent, world.event)
    assert isinstance(answer, OrderState) and answer.status is OrderStatus.OPEN
    return intent


def test_a_stop_limit_rests_and_is_asked_about_as_a_stop(
    world: World, practice: PracticeProcess
) -> None:
    """CTL-15: it holds the coins, and nothing else may sell them meanwhile (I-21)."""
    enter(world)
    intent = rest(world, OrderType.STOP_LIMIT, Decimal("20000"), Decimal("19900"))
    row = venue_order(practice, intent)
    assert (row["kind"], Decimal(row["stop_price"])) == ("STOP_LOSS_LIMIT", Decimal(20000))
    assert Decimal(row["price"]) == Decimal(19900)
    assert not world.broker.has_news()
    second = world.intend(side=Side.SELL, purpose=Purpose.EXIT)
    held = world.broker.submit(second, world.event)
    assert isinstance(held, OrderState) and held.status is OrderStatus.INTENT
    world.broker.cancel(intent.client_order_id, world.event)
    assert world.order(intent).status == OrderStatus.CANCELED


def test_a_take_profit_rests_at_its_target_and_ends_when_it_is_cancelled(
    world: World, practice: PracticeProcess
) -> None:
    """I-21: the position's other exits are watched meanwhile, and may have the coins after it."""
    price = enter(world)
    target = (price * 2).quantize(Decimal("0.01"))
    intent = rest(world, OrderType.TAKE_PROFIT, target)
    row = venue_order(practice, intent)
    assert (row["kind"], Decimal(row["stop_price"])) == ("TAKE_PROFIT", target)
    assert not world.broker.has_news()
    world.broker.cancel(intent.client_order_id, world.event)
    assert world.order(intent).status == OrderStatus.CANCELED


def test_an_ioc_entry_that_the_market_left_expires_without_a_fill(
    world: World, practice: PracticeProcess
) -> None:
    """CTL-3: what its limit does not allow is not bought later."""
    price = enter(world)
    low = (price * Decimal("0.9")).quantize(Decimal("0.01"))
    intent = world.intend(kind=OrderType.IOC_LIMIT, limit=str(low))
    world.broker.submit(intent, world.event)
    assert venue_order(practice, intent)["status"] == "EXPIRED"
    assert world.book() == []
    order = world.order(intent)
    assert (order.status, order.filled_base) == (OrderStatus.EXPIRED, Decimal(0))
    assert world.broker.open_intents() == ()


def test_an_ioc_entry_that_fills_in_part_ends_with_what_it_got(
    world: World, practice: PracticeProcess
) -> None:
    """I-4, F-018: the rest is given up, the fills stay."""
    price = enter(world)
    practice.fault("order.fill", "partial", nth=1, fraction="0.5")
    high = (price * Decimal("1.01")).quantize(Decimal("0.01"))
    intent = world.intend(kind=OrderType.IOC_LIMIT, limit=str(high))
    world.broker.submit(intent, world.event)
    world.book()
    assert world.book() == [], "the ending counts once its fills are booked"
    order = world.order(intent)
    assert (order.status, order.filled_base) == (OrderStatus.EXPIRED, Decimal("0.001"))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("side", "prices", "is_jumped"),
    [
        ("SELL", Prices(99.0, 100.0), True),
        ("SELL", Prices(99.0, 100.0, last=100.6), True),
        ("SELL", Prices(99.0, 103.0, last=102.0), False),
        ("SELL", Prices(101.0, 102.0), False),
        ("BUY", Prices(99.0, 100.0), False),
        ("BUY", Prices(101.0, 102.0), True),
        ("BUY", Prices(98.0, 102.0, last=100.0), False),
    ],
)
def test_a_stop_limit_nobody_pays_any_more_was_jumped_over(
    side: str, prices: Prices, is_jumped: bool
) -> None:
    """F-057: told by the venue's prices against limit and stop, at two looks in a row; an order
    that ended is none."""
    order = make_order(
        make_run(),
        symbol=BTC,
        side=side,
        order_type="stop_limit",
        limit_price=Decimal("100.5"),
        stop_price=Decimal("100.6"),
    )
    answers: list[Any] = [prices, "no answer", prices, "no answer", prices]
    watch = StopLimits(lambda symbol: answers.pop(0))
    for _ in range(2):
        watch.look(order)
        assert not watch.jumped, "one look proves nothing"
    for _ in range(2):
        watch.look(order)
        assert (order.client_order_id in watch.jumped) is is_jumped, "no answer changes nothing"
    order.status = "CANCELED"
    watch.look(order)
    assert not watch.jumped


@pytest.mark.django_db
def test_a_book_that_was_thin_for_one_look_sells_nothing() -> None:
    """F-057: a look that finds a buyer begins the count anew."""
    fields = {"limit_price": Decimal("100.5"), "stop_price": Decimal("100.6")}
    order = make_order(make_run(), symbol=BTC, side="SELL", order_type="stop_limit", **fields)
    thin, usual = Prices(99.0, 103.0, last=100.0), Prices(101.0, 102.0, last=101.0)
    answers = [thin, usual, thin]
    watch = StopLimits(lambda symbol: answers.pop(0))
    for _ in range(3):
        watch.look(order)
        assert not watch.jumped


def test_the_broker_looks_at_a_resting_stop_limit_and_tells_when_it_was_left_behind(
    world: World, practice: PracticeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-057: within the seconds in which resting stops are asked about, not at the bar's close."""
    enter(world)
    intent = rest(world, OrderType.STOP_LIMIT, Decimal("20000"), Decimal("19900"))
    world.monotonic_s += 6
    world.book()
    assert not world.broker.jumped()
    low = Prices(18_000.0, 18_001.0, last=18_000.5)
    monkeypatch.setattr(world.broker._stop_limits, "_prices", lambda symbol: low)
    for _ in range(2):
        assert not world.broker.jumped()
        world.monotonic_s += 6
        world.book()
    assert world.broker.jumped() == {intent.client_order_id}
    world.broker.cancel(intent.client_order_id, world.event)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("minute", "low", "fields", "is_triggered"),
    [
        (1, 94.0, {}, True),
        (1, 96.0, {}, False),
        (-1, 94.0, {}, False),
        (2, 94.0, {}, False),
        (1, 94.0, {"order_type": "stop", "limit_price": None}, False),
    ],
    ids=["reached since", "not reached", "reached before", "not processed yet", "a plain stop"],
)
def test_a_paper_run_knows_after_a_restart_which_stop_limit_was_jumped_over(
    minute: int, low: float, fields: dict[str, Any], is_triggered: bool
) -> None:
    """F-057: by the stored bars that the run has processed, not by those that another run of the
    venue brought meanwhile; within its limit it would have filled."""
    run = make_stored_run()
    prices = {"stop_price": Decimal(95), "limit_price": Decimal(94), **fields}
    order = make_order(run, side="SELL", purpose="exit", **{"order_type": "stop_limit", **prices})
    processed_until = order.decided_at + 2 * MINUTE
    run.cursors.create(symbol=order.symbol, last_bar_close_at=processed_until)
    make_candle(close=low, minute=minute)
    assert _resting(order).is_triggered is is_triggered
