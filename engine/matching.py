"""How an order meets the market: one fill model for paper trading and the practice exchange.

Every function is pure and deterministic: the same book, bar and order always give the same fill.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from enum import StrEnum

from engine.types.bars import Bar, Book, Instrument
from engine.types.opinions import Side
from engine.types.orders import OrderType

# Venues print fees with eight digits after the point; a longer fee could not be read back.
FEE_STEP = Decimal("0.00000001")
_BPS = Decimal("0.0001")


class FeeIn(StrEnum):
    """The asset a venue charges its fee in; RECEIVED is base for a BUY and quote for a SELL."""

    QUOTE = "quote"
    BASE = "base"
    RECEIVED = "received"


def walk_book(
    side: Side,
    quantity: Decimal,
    book: Book,
    instrument: Instrument,
    limit_price: Decimal | None = None,
) -> tuple[tuple[Decimal, Decimal], ...]:
    """Take liquidity from the best level on until ``quantity`` or the book is used up.

    Returns (price on the tick grid, quantity on the lot grid) per level, best first; what the
    book could not give within ``limit_price`` is simply not in the answer. An empty side gives
    an empty tuple.

    Raises:
        ValueError: a level's price or quantity is not finite, or the quantity is negative.
    """
    left = instrument.quantity(quantity)
    taken: list[tuple[Decimal, Decimal]] = []
    for level_price, level_quantity in book.asks if side is Side.BUY else book.bids:
        if left <= 0:
            break
        price = instrument.price(level_price)
        if limit_price is not None and is_worse(side, price, limit_price):
            break
        piece = min(left, instrument.quantity(level_quantity))
        if piece > 0:
            taken.append((price, piece))
            left -= piece
    return tuple(taken)


def is_worse(side: Side, price: Decimal, limit_price: Decimal) -> bool:
    """True where ``price`` is worse for ``side`` than its limit."""
    return price > limit_price if side is Side.BUY else price < limit_price


def fee_of(
    price: Decimal,
    quantity_base: Decimal,
    side: Side,
    instrument: Instrument,
    is_maker: bool,
    fee_in: FeeIn,
) -> tuple[Decimal, str]:
    """Return the fee (positive = a cost, to eight digits) and the asset it is charged in.

    The rounding is said and not the context's: ccxt sets that one in threads that import it.
    """
    fraction = instrument.maker_fee_fraction if is_maker else instrument.taker_fee_fraction
    in_base = fee_in is FeeIn.BASE or (fee_in is FeeIn.RECEIVED and side is Side.BUY)
    if in_base:
        return (quantity_base * fraction).quantize(FEE_STEP, ROUND_HALF_EVEN), instrument.base
    return (price * quantity_base * fraction).quantize(FEE_STEP, ROUND_HALF_EVEN), instrument.quote


def bar_path(bar: Bar) -> tuple[float, float, float, float]:
    """The four prices in the order they are taken to have been traded.

    A rising bar (close >= open) visits its low first, a falling bar its high first.
    """
    if bar.close >= bar.open:
        return bar.open, bar.low, bar.high, bar.close
    return bar.open, bar.high, bar.low, bar.close


def resting_fill(
    order_side: Side, order_type: OrderType, price: Decimal, bar: Bar
) -> Decimal | None:
    """Price at which a resting order meets ``bar``; None = untouched.

    ``price`` is what it waits for: its limit, or its trigger. Touching the price is enough. Where
    the bar opens beyond it, the order meets the open: better than asked for a limit or a
    take-profit, worse for a stop. A STOP_LIMIT fills there only within its limit (``is_worse``).

    Raises:
        ValueError: an order that takes at once never rests.
    """
    open_price = Decimal(repr(bar.open))
    if waits_below(order_side, order_type):
        if open_price <= price:
            return open_price
        return price if Decimal(repr(bar.low)) <= price else None
    if open_price >= price:
        return open_price
    return price if Decimal(repr(bar.high)) >= price else None


def touch_position(
    order_side: Side, order_type: OrderType, price: Decimal, bar: Bar
) -> float | None:
    """Where on the bar's path a resting order fills, in [0, 3]; None = untouched.

    0 is the open, each whole number the next price of ``bar_path``; of two resting orders the
    one with the smaller position fills first.
    """
    if resting_fill(order_side, order_type, price, bar) is None:
        return None
    below = waits_below(order_side, order_type)
    path, level = bar_path(bar), float(price)
    if (path[0] <= level) if below else (path[0] >= level):
        return 0.0
    for leg in range(3):
        start, end = path[leg], path[leg + 1]
        if (end <= level) if below else (end >= level):
            return leg + (start - level) / (start - end)
    return 3.0  # only float rounding of the level can lead here


def waits_below(side: Side, order_type: OrderType) -> bool:
    """True where the order waits for the price to fall to it."""
    if order_type.takes_at_once:
        raise ValueError(f"a {order_type} order does not rest, order type was {order_type}")
    return (side is Side.BUY) is (order_type in (OrderType.LIMIT, OrderType.TAKE_PROFIT))


def next_open_fill(side: Side, bar: Bar, instrument: Instrument, slippage_bps: Decimal) -> Decimal:
    """Price of a market order at a bar's open where there is no book: slipped against the taker.

    ``slippage_bps`` >= 0; the tick rounding is against the taker too.
    """
    return slipped(side, Decimal(repr(bar.open)), instrument, slippage_bps)


def slipped(side: Side, price: Decimal, instrument: Instrument, slippage_bps: Decimal) -> Decimal:
    """Move ``price`` by ``slippage_bps`` against the taker and round to the tick against it.

    A sell never goes below one tick.
    """
    moved = price * (1 + side.sign * slippage_bps * _BPS)
    rounding = ROUND_CEILING if side is Side.BUY else ROUND_FLOOR
    return max(instrument.price(moved, rounding), instrument.tick_size)
