"""How an order meets a book or a bar."""

from decimal import ROUND_HALF_UP, Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.matching import (
    FeeIn,
    bar_path,
    fee_of,
    next_open_fill,
    resting_fill,
    touch_position,
    walk_book,
)
from engine.types.bars import Bar, Book
from engine.types.opinions import Side
from engine.types.orders import OrderType
from tests.engine.books import D, bar, instrument

BOOK = Book(0, bids=((99.0, 1.0), (98.0, 2.0)), asks=((101.0, 1.0), (102.0, 2.0)))
UP = bar((100.0, 110.0, 95.0, 105.0))
DOWN = bar((105.0, 110.0, 95.0, 100.0))


def test_a_buy_walks_the_asks_from_the_best_on() -> None:
    """D-25"""
    taken = walk_book(Side.BUY, D("2.5"), BOOK, instrument())
    assert taken == ((D("101.00"), D("1.0000")), (D("102.00"), D("1.5000")))


def test_a_sell_takes_the_bids_only_down_to_its_limit() -> None:
    """D-25"""
    assert walk_book(Side.SELL, D("2"), BOOK, instrument(), D("98.5")) == ((D("99"), D("1")),)


def test_a_thin_or_empty_book_gives_only_what_it_has() -> None:
    """D-25"""
    assert sum(q for _, q in walk_book(Side.BUY, D("9"), BOOK, instrument())) == 3
    assert walk_book(Side.BUY, D("1"), Book(0, (), ()), instrument()) == ()


def test_a_level_that_is_no_number_is_an_error_and_not_a_fill() -> None:
    """CTL-11"""
    with pytest.raises(ValueError, match="nan"):
        walk_book(Side.BUY, D("1"), Book(0, (), ((float("nan"), 1.0),)), instrument())


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(Side),
    st.decimals("0", "20", places=5),
    st.lists(st.floats(0.0, 5.0), max_size=6),
    st.none() | st.decimals("90", "110", places=2),
)
def test_a_walk_never_gives_more_than_asked_or_offered_or_worse_than_the_limit(
    side: Side, quantity: Decimal, sizes: list[float], limit: Decimal | None
) -> None:
    """D-25, I-2"""
    levels = [(100.0 + side.sign * i, size) for i, size in enumerate(sizes)]
    book = Book(0, tuple(levels), tuple(levels))
    taken = walk_book(side, quantity, book, instrument(), limit)
    total = sum((q for _, q in taken), D(0))
    assert total <= min(quantity, sum((D(repr(s)) for s in sizes), D(0)))
    for price, piece in taken:
        assert piece > 0
        assert piece % instrument().lot_size == 0
        assert limit is None or side.sign * (price - limit) <= 0
    if limit is None and sum(instrument().quantity(s) for s in sizes) >= quantity:
        assert total == instrument().quantity(quantity)


@pytest.mark.parametrize(
    ("fee_in", "side", "expected"),
    [
        (FeeIn.QUOTE, Side.BUY, (D("0.2"), "USDT")),
        (FeeIn.BASE, Side.SELL, (D("0.002"), "BTC")),
        (FeeIn.RECEIVED, Side.BUY, (D("0.002"), "BTC")),
        (FeeIn.RECEIVED, Side.SELL, (D("0.2"), "USDT")),
    ],
)
def test_the_fee_is_charged_in_the_asked_asset(
    fee_in: FeeIn, side: Side, expected: tuple[Decimal, str]
) -> None:
    """F-020"""
    assert fee_of(D("100"), D("2"), side, instrument(), False, fee_in) == expected


def test_a_fee_halfway_between_two_digits_is_the_same_in_every_thread() -> None:
    """I-26: a library that changes how its thread rounds must not change what is paid."""
    of = instrument(taker_fee_fraction=D("0.001"))
    price, quantity = D("110805.65"), D("0.0045")
    usual = fee_of(price, quantity, Side.BUY, of, False, FeeIn.QUOTE)
    with localcontext() as context:
        context.rounding = ROUND_HALF_UP
        assert fee_of(price, quantity, Side.BUY, of, False, FeeIn.QUOTE) == usual
    assert usual[0] == D("0.49862542")


def test_makers_pay_the_makers_fee() -> None:
    """I-6"""
    free = instrument(maker_fee_fraction=D(0))
    assert fee_of(D("100"), D("2"), Side.BUY, free, True, FeeIn.QUOTE)[0] == 0
    assert fee_of(D("100"), D("2"), Side.BUY, free, False, FeeIn.QUOTE)[0] == D("0.2")


@pytest.mark.parametrize(
    ("side", "kind", "price", "filled_at"),
    [
        (Side.BUY, OrderType.LIMIT, "96", "96"),  # touched
        (Side.BUY, OrderType.LIMIT, "95", "95"),  # touched exactly
        (Side.BUY, OrderType.LIMIT, "94.99", None),
        (Side.BUY, OrderType.LIMIT, "103", "100"),  # opened below: better than asked
        (Side.SELL, OrderType.LIMIT, "110", "110"),
        (Side.SELL, OrderType.LIMIT, "110.01", None),
        (Side.SELL, OrderType.LIMIT, "99", "100"),
        (Side.SELL, OrderType.STOP, "97", "97"),
        (Side.SELL, OrderType.STOP, "94", None),
        (Side.SELL, OrderType.STOP, "101", "100"),  # gapped through: worse than asked
        (Side.BUY, OrderType.STOP, "108", "108"),
        (Side.BUY, OrderType.STOP, "111", None),
        (Side.BUY, OrderType.STOP, "99", "100"),
    ],
)
def test_a_resting_order_fills_where_the_bar_touches_it(
    side: Side, kind: OrderType, price: str, filled_at: str | None
) -> None:
    """D-25: a gap through the price fills at the open."""
    expected = D(filled_at) if filled_at is not None else None
    assert resting_fill(side, kind, D(price), UP) == expected


def test_a_rising_bar_visits_its_low_first_and_a_falling_bar_its_high() -> None:
    """D-25"""
    assert bar_path(UP) == (100.0, 95.0, 110.0, 105.0)
    assert bar_path(DOWN) == (105.0, 110.0, 95.0, 100.0)


@pytest.mark.parametrize(("path_bar", "stop_first"), [(UP, True), (DOWN, False)])
def test_of_stop_and_target_in_one_bar_the_one_first_on_the_path_fills(
    path_bar: Bar, stop_first: bool
) -> None:
    """D-25"""
    stop = touch_position(Side.SELL, OrderType.STOP, D("97"), path_bar)
    target = touch_position(Side.SELL, OrderType.LIMIT, D("109"), path_bar)
    assert stop is not None
    assert target is not None
    assert (stop < target) is stop_first


@settings(max_examples=200, deadline=None)
@given(
    st.tuples(*[st.integers(9000, 11000)] * 4),
    st.integers(8900, 11100),
    st.sampled_from(Side),
    st.sampled_from([OrderType.LIMIT, OrderType.STOP]),
)
def test_a_resting_fill_lies_in_the_bar_and_on_its_path(
    ticks: tuple[int, int, int, int], price_ticks: int, side: Side, kind: OrderType
) -> None:
    """D-25: a limit is never filled worse than its price, a stop never better."""
    prices = [t / 100 for t in ticks]
    made = bar((prices[0], max(prices), min(prices), prices[3]))
    price = D(price_ticks) / 100
    filled = resting_fill(side, kind, price, made)
    assert (filled is None) == (touch_position(side, kind, price, made) is None)
    if filled is not None:
        assert D(repr(made.low)) <= filled <= D(repr(made.high))
        worse = side.sign * (filled - price)
        assert worse <= 0 if kind is OrderType.LIMIT else worse >= 0
        position = touch_position(side, kind, price, made)
        assert position is not None
        assert 0.0 <= position <= 3.0


def test_a_market_order_never_rests() -> None:
    """D-25"""
    with pytest.raises(ValueError, match="market"):
        resting_fill(Side.BUY, OrderType.MARKET, D("1"), UP)


def test_slippage_and_rounding_at_the_open_are_against_the_taker() -> None:
    """D-25"""
    opened = bar((100.0, 100.0, 100.0, 100.0))
    assert next_open_fill(Side.BUY, opened, instrument(), D("5.01")) == D("100.06")
    assert next_open_fill(Side.SELL, opened, instrument(), D("5.01")) == D("99.94")
    assert next_open_fill(Side.BUY, opened, instrument(), D("0")) == D("100")


def test_a_take_profit_waits_for_a_better_price_and_a_stop_limit_for_a_worse_one() -> None:
    """D-25: one fill model for paper trading and the practice exchange."""
    rising = Bar(0, 100.0, 111.0, 99.0, 110.0, volume=1.0)
    assert resting_fill(Side.SELL, OrderType.TAKE_PROFIT, Decimal(110), rising) == Decimal(110)
    assert resting_fill(Side.BUY, OrderType.TAKE_PROFIT, Decimal(99), rising) == Decimal(99)
    assert resting_fill(Side.SELL, OrderType.STOP_LIMIT, Decimal(98), rising) is None
    assert resting_fill(Side.BUY, OrderType.STOP_LIMIT, Decimal(105), rising) == Decimal(105)
    with pytest.raises(ValueError, match="order type was ioc_limit"):
        resting_fill(Side.BUY, OrderType.IOC_LIMIT, Decimal(100), rising)
