"""The paper broker: what fills, when, at what price and under which id."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from engine.matching import FeeIn
from engine.paper import PaperBroker, Resting
from engine.types.bars import Book, EventKind, MarketEvent
from engine.types.opinions import Side
from engine.types.orders import (
    Cause,
    OrderIntent,
    OrderState,
    OrderStatus,
    OrderType,
    Purpose,
    Rejection,
)
from tests.engine.books import BTC, D, bar, bar_event, instrument, intent

BOOK = Book(60_000, bids=((99.0, 1.0),), asks=((101.0, 1.0), (102.0, 2.0)))
FLAT = (100.0, 100.0, 100.0, 100.0)
WITH_BOOK = bar_event(bar(FLAT), BOOK)
NO_BOOK = bar_event(bar(FLAT))


def broker(slippage_bps: str = "0", **kwargs: object) -> PaperBroker:
    return PaperBroker({BTC: instrument()}, FeeIn.QUOTE, D(slippage_bps), **kwargs)


def later(ohlc: tuple[float, float, float, float], book: Book | None = None) -> MarketEvent:
    return bar_event(bar(ohlc, ts_ms=60_000), book)


def accepted(answer: object) -> OrderState:
    assert isinstance(answer, OrderState), answer
    return answer


def stop(price: str) -> OrderIntent:
    exit_fields = {"purpose": Purpose.EXIT, "order_type": OrderType.STOP, "stop_price": D(price)}
    return intent(Side.SELL, "1", **exit_fields)


def test_a_market_order_fills_at_once_against_the_events_book() -> None:
    """D-25: the fill carries the event's time and comes with the next call."""
    paper = broker()
    order = intent(quantity="2")
    state = accepted(paper.submit(order, WITH_BOOK))
    assert (state.status, state.average_price) == (OrderStatus.FILLED, D("101.5"))
    fills = paper.fills_at(later(FLAT))
    assert [(f.price, f.quantity_base, f.fee, f.ts_ms) for f, _ in fills] == [
        (D("101"), D("1"), D("0.101"), 60_000),
        (D("102"), D("1"), D("0.102"), 60_000),
    ]
    assert [f.trade_id for f, _ in fills] == [
        f"paper:{order.client_order_id}:0",
        f"paper:{order.client_order_id}:1",
    ]
    assert all(of is order for _, of in fills)
    assert paper.fills_at(later(FLAT)) == ()


def test_what_a_thin_book_cannot_give_is_cancelled() -> None:
    """F-014: immediate or cancel, the fills stay."""
    paper = broker()
    state = accepted(paper.submit(intent(quantity="5"), WITH_BOOK))
    assert (state.status, state.filled_base) == (OrderStatus.CANCELED, D("3"))
    assert paper.open_intents() == ()
    assert sum(f.quantity_base for f, _ in paper.fills_at(later(FLAT))) == 3


def test_without_a_book_a_market_order_fills_at_the_next_open_with_slippage() -> None:
    """D-22: never on the bar it was decided on."""
    paper = broker("10")
    order = intent()
    assert accepted(paper.submit(order, NO_BOOK)).status is OrderStatus.OPEN
    assert paper.open_intents() == (order,)
    clock = MarketEvent(EventKind.CLOCK, BTC, 61_000, 61_000)
    other = bar_event(bar(FLAT, ts_ms=60_000), symbol="ETH/USDT")
    assert not paper.fills_at(clock)
    assert not paper.fills_at(other)
    ((done, _),) = paper.fills_at(later((110.0, 120.0, 90.0, 100.0)))
    assert (done.price, done.ts_ms, done.is_maker) == (D("110.11"), 60_000, False)
    assert paper.open_intents() == ()


def test_another_symbols_book_never_fills_an_order() -> None:
    """A flatten may be submitted on any event."""
    paper = broker()
    event = replace(WITH_BOOK, symbol="ETH/USDT")
    assert accepted(paper.submit(intent(), event)).status is OrderStatus.OPEN


def test_a_limit_order_takes_what_is_offered_and_rests_with_the_remainder() -> None:
    """D-25"""
    paper = broker()
    order = intent(quantity="2", order_type=OrderType.LIMIT, limit_price=D("101"))
    state = accepted(paper.submit(order, WITH_BOOK))
    assert (state.status, state.filled_base) == (OrderStatus.PARTIAL, D("1"))
    assert paper.open_intents() == (replace(order, quantity_base=D("1")),)
    assert len(paper.fills_at(later((103.0, 104.0, 102.0, 103.0)))) == 1
    ((done, _),) = paper.fills_at(later((103.0, 104.0, 100.0, 103.0)))
    assert (done.price, done.quantity_base, done.is_maker) == (D("101"), D("1"), True)
    assert done.trade_id.endswith(":1")


def test_a_stop_rests_until_a_bar_touches_it_and_pays_slippage_without_a_book() -> None:
    """CTL-15"""
    paper = broker("100")
    paper.submit(stop("95"), NO_BOOK)
    assert not paper.fills_at(later((100.0, 101.0, 96.0, 100.0)))
    ((done, _),) = paper.fills_at(later((100.0, 101.0, 94.0, 100.0)))
    assert done.price == D("94.05")
    assert not done.is_maker


def test_a_stop_that_is_gapped_through_fills_at_the_open() -> None:
    """CTL-15"""
    paper = broker("100")
    paper.submit(stop("95"), WITH_BOOK)
    ((done, _),) = paper.fills_at(later((90.0, 91.0, 89.0, 90.0), BOOK))
    assert done.price == D("90")


@pytest.mark.parametrize(
    ("ohlc", "first"),
    [((100.0, 110.0, 90.0, 105.0), "stop"), ((105.0, 110.0, 90.0, 100.0), "limit")],
)
def test_two_orders_in_one_bar_fill_in_the_order_of_its_path(
    ohlc: tuple[float, float, float, float], first: str
) -> None:
    """D-25"""
    paper = broker()
    target = intent(
        Side.SELL, "1", purpose=Purpose.EXIT, order_type=OrderType.LIMIT, limit_price=D("109")
    )
    paper.submit(target, NO_BOOK)
    paper.submit(stop("95"), NO_BOOK)
    assert next(of.order_type for _, of in paper.fills_at(later(ohlc))) == first


def test_submitting_the_same_order_again_only_reports_it() -> None:
    """I-1, I-2: one client order id is one order."""
    paper = broker()
    order = intent()
    first = paper.submit(order, WITH_BOOK)
    assert paper.submit(order, WITH_BOOK) == first
    assert len(paper.fills_at(later(FLAT))) == 1


def test_a_cancelled_order_no_longer_fills() -> None:
    """F-014"""
    paper = broker()
    order = stop("95")
    paper.submit(order, NO_BOOK)
    assert accepted(paper.cancel(order.client_order_id, NO_BOOK)).status is OrderStatus.CANCELED
    assert paper.open_intents() == ()
    assert not paper.fills_at(later((90.0, 91.0, 89.0, 90.0)))
    assert isinstance(paper.cancel("nobody", NO_BOOK), Rejection)


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (intent(quantity="0.00005"), "LOT_SIZE"),
        (intent(quantity="0"), "LOT_SIZE"),
        (intent(quantity="0.01"), "MIN_NOTIONAL"),
        (intent(symbol="DOGE/USDT"), "UNKNOWN_SYMBOL"),
        (intent(order_type=OrderType.LIMIT), "NO_PRICE"),
        (intent(order_type=OrderType.STOP, stop_price=D("90")), "STOP_ENTRY"),
    ],
)
def test_an_order_a_venue_would_refuse_is_refused(order: OrderIntent, code: str) -> None:
    """F-019"""
    answer = broker().submit(order, WITH_BOOK)
    assert isinstance(answer, Rejection)
    assert answer.code == code


def test_a_restored_order_goes_on_with_the_next_fill_number() -> None:
    """OPT-31, F-003: a repeated id would be taken for a repeated fill."""
    order = intent(quantity="2", order_type=OrderType.LIMIT, limit_price=D("95"))
    known = Resting(order, filled_base=D("1"), cost_quote=D("95"), fills=1)
    paper = broker(resting=[known])
    ((done, _),) = paper.fills_at(later((100.0, 101.0, 94.0, 100.0)))
    assert (done.quantity_base, done.trade_id) == (D("1"), f"paper:{order.client_order_id}:1")


def test_the_same_intents_and_events_give_the_same_fills() -> None:
    """I-26"""
    orders = [intent(quantity="2"), stop("95")]
    events = [WITH_BOOK, later((100.0, 101.0, 94.0, 100.0))]

    def run() -> list[object]:
        paper, fills = broker(), []
        for event in events:
            fills += paper.fills_at(event)
            for order in orders:
                paper.submit(order, event)
        return fills

    assert run() == run()
    assert len(run()) == 3


def test_a_negative_slippage_is_refused() -> None:
    """D-22"""
    with pytest.raises(ValueError, match="was -1"):
        PaperBroker({}, slippage_bps=Decimal(-1))


def waiting(kind: OrderType, trigger: str, limit: str | None = None) -> OrderIntent:
    """A sell order of 1 that waits for a price."""
    name = "target_price" if kind is OrderType.TAKE_PROFIT else "stop_price"
    prices = {name: D(trigger), "limit_price": None if limit is None else D(limit)}
    return intent(Side.SELL, "1", purpose=Purpose.EXIT, order_type=kind, **prices)


def test_a_stop_limit_sells_within_its_limit_once_its_stop_is_reached() -> None:
    """CTL-15: at the stop, or at the open between stop and limit; slippage ends at the limit."""
    paper = broker("200")
    paper.submit(waiting(OrderType.STOP_LIMIT, "95", "94"), NO_BOOK)
    assert not paper.fills_at(later((100.0, 101.0, 95.5, 100.0)))
    ((done, _),) = paper.fills_at(later((100.0, 101.0, 90.0, 100.0)))
    assert (done.price, done.is_maker) == (D("94"), False)
    gentle = broker()
    gentle.submit(waiting(OrderType.STOP_LIMIT, "95", "94"), NO_BOOK)
    ((done, _),) = gentle.fills_at(later((94.5, 96.0, 94.0, 95.0)))
    assert done.price == D("94.5")


def test_a_stop_limit_that_is_jumped_over_rests_at_its_limit_and_says_so() -> None:
    """F-057: nothing is sold far below; the next bar that pays the limit takes it."""
    paper = broker()
    order = waiting(OrderType.STOP_LIMIT, "95", "94")
    paper.submit(order, NO_BOOK)
    assert paper.jumped() == []
    assert not paper.fills_at(later((90.0, 91.0, 89.0, 90.0)))
    assert paper.jumped() == [order.client_order_id]
    (resting,) = paper.resting()
    assert resting.is_triggered and paper.open_intents() == (order,)
    restarted = broker(resting=[resting])
    assert restarted.jumped() == [order.client_order_id]
    ((done, _),) = restarted.fills_at(later((93.0, 94.2, 92.0, 93.0)))
    assert (done.price, done.is_maker) == (D("94"), True)
    assert restarted.jumped() == []


@pytest.mark.parametrize(
    ("kind", "price", "bars"),
    [(OrderType.STOP, "95", 1), (OrderType.STOP, "94.9", 2), (OrderType.TAKE_PROFIT, "106", 2)],
)
def test_bars_that_no_waiting_order_can_meet_are_told_beforehand(
    kind: OrderType, price: str, bars: int
) -> None:
    """I-26: touching the price is enough, and beyond it counts too."""
    paper = broker()
    lows, highs = np.array([98.0, 95.0, 80.0]), np.array([101.0, 105.0, 106.0])
    assert paper.untouched(BTC, lows, highs) == 3
    guard = replace(waiting(kind, price), cause=Cause.PROTECTION)
    accepted(paper.submit(guard, bar_event(bar((100, 101, 99, 100)))))
    assert paper.untouched(BTC, lows, highs) == bars
    assert paper.untouched("ETH/USDT", lows, highs) == 3


def test_an_order_that_is_no_guard_may_meet_the_next_bar() -> None:
    """I-26: a market order takes its open, whatever it is."""
    paper = broker()
    accepted(paper.submit(intent(), bar_event(bar((100, 101, 99, 100)))))
    assert paper.untouched(BTC, np.array([98.0]), np.array([101.0])) == 0


def test_a_take_profit_sells_at_the_market_when_its_target_is_reached() -> None:
    """A better open is taken; slippage is paid as by every order that takes."""
    paper = broker("100")
    paper.submit(waiting(OrderType.TAKE_PROFIT, "110"), NO_BOOK)
    assert not paper.fills_at(later((100.0, 109.9, 90.0, 100.0)))
    ((done, _),) = paper.fills_at(later((100.0, 110.0, 99.0, 105.0)))
    assert (done.price, done.is_maker) == (D("108.9"), False)
    gapped = broker()
    gapped.submit(waiting(OrderType.TAKE_PROFIT, "110"), NO_BOOK)
    ((done, _),) = gapped.fills_at(later((112.0, 113.0, 111.0, 112.0)))
    assert done.price == D("112")


def test_an_ioc_limit_takes_what_its_limit_allows_and_never_rests() -> None:
    """CTL-3: with a book part of it, without one the next open, and nothing beyond the limit."""
    order = intent(quantity="2", order_type=OrderType.IOC_LIMIT, limit_price=D("101"))
    paper = broker()
    state = accepted(paper.submit(order, WITH_BOOK))
    assert (state.status, state.filled_base) == (OrderStatus.CANCELED, D("1"))
    assert paper.open_intents() == ()
    bookless = broker("10")
    bookless.submit(order, NO_BOOK)
    ((done, _),) = bookless.fills_at(later((100.5, 104.0, 90.0, 104.0)))
    assert done.price == D("100.61")
    missed = broker("10")
    missed.submit(order, NO_BOOK)
    assert not missed.fills_at(later((101.0, 104.0, 90.0, 90.0)))
    assert missed.open_intents() == ()
    answer = accepted(missed.submit(order, NO_BOOK))
    assert (answer.status, answer.filled_base) == (OrderStatus.EXPIRED, D("0"))


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (waiting(OrderType.STOP_LIMIT, "95"), "NO_PRICE"),
        (replace(waiting(OrderType.STOP_LIMIT, "95", "94"), stop_price=None), "NO_PRICE"),
        (replace(waiting(OrderType.TAKE_PROFIT, "110"), purpose=Purpose.ENTRY), "STOP_ENTRY"),
        (intent(order_type=OrderType.IOC_LIMIT), "NO_PRICE"),
    ],
)
def test_an_order_that_waits_needs_its_prices_and_a_position(order: OrderIntent, code: str) -> None:
    answer = broker().submit(order, NO_BOOK)
    assert isinstance(answer, Rejection) and answer.code == code
