"""Realised gains: first in, first out over the account, checked against coin by coin."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.types.opinions import Side
from trades.core.gains import DAY_MS, Movement, disposals, in_year

D = Decimal
BTC = "BTC/USDT"


def came(quantity: int | str, price: int | None, day: int, fee: str = "0") -> Movement:
    money = None if price is None else D(price)
    return Movement(BTC, Side.BUY, D(quantity), money, D(fee), D(0), day * DAY_MS)


def went(quantity: int | str, price: int | None, day: int, fee: str = "0") -> Movement:
    money = None if price is None else D(price)
    return Movement(BTC, Side.SELL, D(quantity), money, D(fee), D(0), day * DAY_MS)


def coin_by_coin(
    movements: list[Movement],
) -> list[tuple[int, Decimal, Decimal | None, int | None]]:
    """Sell single coins from a plain queue: (day sold, its proceeds, its cost, day bought)."""
    queue: list[tuple[Decimal | None, int]] = []
    sold: list[tuple[int, Decimal, Decimal | None, int | None]] = []
    for movement in movements:
        for _ in range(int(movement.quantity_base)):
            if movement.side is Side.BUY:
                queue.append((movement.price, movement.ts_ms))
                continue
            cost, at_ms = queue.pop(0) if queue else (None, None)
            if movement.price is not None:
                sold.append((movement.ts_ms, movement.price, cost, at_ms))
    return sold


MOVES = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(1, 6),
        st.one_of(st.none(), st.integers(1, 500)),
        st.integers(0, 9),
    ),
    max_size=14,
)


@settings(max_examples=100, deadline=None)
@given(moves=MOVES)
def test_every_piece_is_what_selling_coin_by_coin_gives(
    moves: list[tuple[bool, int, int | None, int]],
) -> None:
    """D-59: quantity, proceeds, cost and age of every disposal, against a brute-force matcher."""
    movements = []
    day = 0
    for buys, quantity, price, days in moves:
        day += days
        movements.append((came if buys else went)(quantity, price, day))
    found = disposals(movements)
    coins = coin_by_coin(movements)
    assert sum(d.quantity_base for d in found) == len(coins)
    expanded = [
        (d.disposed_at_ms, d.proceeds_quote / d.quantity_base, d.acquired_at_ms)
        for d in found
        for _ in range(int(d.quantity_base))
    ]
    assert expanded == [(sold, proceeds, bought) for sold, proceeds, _, bought in coins]
    known = sum((d.cost_quote for d in found if d.cost_quote is not None), D(0))
    assert known == sum((cost for _, _, cost, _ in coins if cost is not None), D(0))


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.integers(1, 99), min_size=1, max_size=8), fee=st.integers(0, 999))
def test_parts_of_a_lot_sum_to_it_to_the_last_digit(parts: list[int], fee: int) -> None:
    """No cent of cost or fee is lost or made by dividing."""
    whole = sum(parts)
    bought = came(whole, 7, 0, str(D(fee) / 7))
    found = disposals([bought, *(went(part, 9, 1) for part in parts)])
    assert sum(d.cost_quote or 0 for d in found) == whole * 7
    assert sum(d.fees_quote for d in found) == D(fee) / 7
    assert sum(d.gain_quote or 0 for d in found) == whole * 2 - D(fee) / 7


def test_coins_without_a_known_price_have_no_gain_and_are_told_apart() -> None:
    """Null, never 0: coins of before the first run, deposited ones, and ones that never came."""
    found = disposals([came(1, None, 0), went(2, 50, 400)])
    assert [(d.cost_quote, d.gain_quote, d.holding_days) for d in found] == [(None, None, None)] * 2
    assert [d.acquired_at_ms for d in found] == [0, None]
    assert [d.proceeds_quote for d in found] == [D(50), D(50)]


def test_a_withdrawal_takes_the_oldest_coins_and_is_no_disposal() -> None:
    found = disposals([came(1, 10, 0), came(1, 20, 1), went(1, None, 2), went(1, 30, 3)])
    assert [(d.cost_quote, d.gain_quote) for d in found] == [(D(20), D(10))]


def test_a_fee_in_coins_takes_coins_and_a_fee_in_quote_takes_gain() -> None:
    """F-020: 1 bought with 0.1 coins of fee is 0.9 held at the whole price."""
    bought = Movement(BTC, Side.BUY, D(1), D(100), D(0), D("0.1"), 0)
    (sold,) = disposals([bought, went("0.9", 200, 1, "2")])
    assert (sold.cost_quote, sold.fees_quote, sold.gain_quote) == (D(100), D(2), D(78))


def test_a_year_ends_at_midnight_utc() -> None:
    last_ms = 1_798_761_599_999  # 2026-12-31 23:59:59.999
    found = disposals(
        [Movement(BTC, Side.SELL, D(1), D(1), D(0), D(0), last_ms + late) for late in (0, 1)]
    )
    assert [len(in_year(found, year)) for year in (2025, 2026, 2027)] == [0, 1, 1]
