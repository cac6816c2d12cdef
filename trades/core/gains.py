"""Realised gains, first in first out over a whole account, whichever strategy traded (D-59).

Pure. What is sold is matched with the oldest coins of the same symbol that are still there. A fee
in quote belongs to its trade's cost or proceeds; a fee in coins takes coins away. Coins whose price
nobody knows (held before the first run, deposited) have no cost, and neither has their gain: null,
never 0. Sales of coins that never came in are told the same way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from engine.types.ledger import ZERO
from engine.types.opinions import Side

_PART_STEP = Decimal("0.000000000001")
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Movement:
    """Coins that came (BUY) or went (SELL). ``price`` None: they changed hands without a price,
    so a going is a transfer and no disposal. ``other_fee`` is one in a third asset, not valued."""

    symbol: str
    side: Side
    quantity_base: Decimal
    price: Decimal | None
    fee_quote: Decimal
    fee_base: Decimal
    ts_ms: int
    other_fee: str = ""


@dataclass(frozen=True, slots=True)
class Disposal:
    """One piece of a sale. Money in quote; ``gain_quote`` = proceeds - cost - fees, and it, the
    cost and the days are None where the coins' price is not known."""

    symbol: str
    quantity_base: Decimal
    acquired_at_ms: int | None
    disposed_at_ms: int
    proceeds_quote: Decimal
    cost_quote: Decimal | None
    fees_quote: Decimal
    gain_quote: Decimal | None
    holding_days: int | None
    other_fee: str = ""


@dataclass(frozen=True, slots=True)
class _Coins:
    quantity_base: Decimal
    cost_quote: Decimal | None
    fee_quote: Decimal
    ts_ms: int


def disposals(movements: Iterable[Movement]) -> list[Disposal]:
    """Return every disposal, in the order of the movements, which must be oldest first."""
    stocks: dict[str, deque[_Coins]] = {}
    found: list[Disposal] = []
    for movement in movements:
        stock = stocks.setdefault(movement.symbol, deque())
        if movement.side is Side.BUY:
            _add(stock, movement)
        else:
            found.extend(_dispose(stock, movement))
    return found


def in_year(found: Iterable[Disposal], year: int) -> list[Disposal]:
    """Return the disposals of one UTC year."""
    return [d for d in found if datetime.fromtimestamp(d.disposed_at_ms / 1000, UTC).year == year]


def _add(stock: deque[_Coins], came: Movement) -> None:
    quantity = came.quantity_base - came.fee_base
    if quantity > 0:
        cost = None if came.price is None else came.quantity_base * came.price
        stock.append(_Coins(quantity, cost, came.fee_quote, came.ts_ms))


def _dispose(stock: deque[_Coins], went: Movement) -> list[Disposal]:
    pieces: list[Disposal] = []
    left = went.quantity_base + went.fee_base
    proceeds = ZERO if went.price is None else went.quantity_base * went.price
    fee = went.fee_quote
    while left > 0:
        coins = _take(stock, left)
        piece = coins.quantity_base
        earned, paid = _part(proceeds, piece, left), _part(fee, piece, left)
        if went.price is not None:
            pieces.append(_disposal(went, coins, earned, paid))
        left, proceeds, fee = left - piece, proceeds - earned, fee - paid
    return pieces


def _take(stock: deque[_Coins], wanted: Decimal) -> _Coins:
    """Take up to ``wanted`` of the oldest coins; coins that never came in have no time either."""
    if not stock:
        return _Coins(wanted, None, ZERO, -1)
    oldest = stock.popleft()
    if oldest.quantity_base <= wanted:
        return oldest
    whole = oldest.quantity_base
    cost = None if oldest.cost_quote is None else _part(oldest.cost_quote, wanted, whole)
    fee = _part(oldest.fee_quote, wanted, whole)
    taken = _Coins(wanted, cost, fee, oldest.ts_ms)
    rest = replace(
        oldest,
        quantity_base=whole - wanted,
        cost_quote=None if cost is None or oldest.cost_quote is None else oldest.cost_quote - cost,
        fee_quote=oldest.fee_quote - fee,
    )
    stock.appendleft(rest)
    return taken


def _disposal(went: Movement, coins: _Coins, earned: Decimal, paid: Decimal) -> Disposal:
    fees = coins.fee_quote + paid
    known = coins.cost_quote is not None
    return Disposal(
        symbol=went.symbol,
        quantity_base=coins.quantity_base,
        acquired_at_ms=coins.ts_ms if coins.ts_ms >= 0 else None,
        disposed_at_ms=went.ts_ms,
        proceeds_quote=earned,
        cost_quote=coins.cost_quote,
        fees_quote=fees,
        gain_quote=None if coins.cost_quote is None else earned - coins.cost_quote - fees,
        holding_days=(went.ts_ms - coins.ts_ms) // DAY_MS if known else None,
        other_fee=went.other_fee,
    )


def _part(amount: Decimal, piece: Decimal, whole: Decimal) -> Decimal:
    """The share of ``amount`` that belongs to ``piece`` of ``whole``; parts sum to it exactly."""
    if piece == whole:
        return amount
    return (amount * piece / whole).quantize(_PART_STEP, ROUND_HALF_EVEN)
