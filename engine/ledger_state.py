"""The values around a ledger: what a fill did, what a restart needs, one asset's balance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from engine.equity import EquityCurveState
from engine.lots import LotBook
from engine.types.decisions import Reason
from engine.types.ledger import ZERO, Lot, Trade
from engine.types.orders import Fill, OrderIntent

# The exit reason of what was swept out of a book because no order could close it.
DUST = "dust"


class LedgerError(ValueError):
    """A fill or balance that cannot be booked; nothing was changed."""


@dataclass(frozen=True, slots=True)
class FillEffect:
    """What one fill did. ``reasons`` are alerts: OVERFILL, OVERSOLD, FEE_UNVALUED."""

    opened: tuple[Lot, ...] = ()
    changed: tuple[Lot, ...] = ()
    trades: tuple[Trade, ...] = ()
    duplicate: bool = False
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class LedgerState:
    """Everything a ledger is, for restoring one from rows.

    ``seen`` are (symbol, venue trade id) of booked fills; ``filled_base`` the sum of fills by
    client order id; ``marks`` quote prices by asset.
    """

    quote: str
    balances: Mapping[str, Decimal]
    lots: tuple[Lot, ...] = ()
    seen: frozenset[tuple[str, str]] = frozenset()
    filled_base: Mapping[str, Decimal] = field(default_factory=dict)
    marks: Mapping[str, Decimal] = field(default_factory=dict)
    deposits_quote: Decimal = ZERO
    realised_quote: Decimal = ZERO
    fees_quote: Decimal = ZERO
    holding_pnl_quote: Decimal = ZERO
    curve: EquityCurveState | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """``external_base`` is held by no strategy; ``price_quote`` is the last mark, None before."""

    external_base: Decimal = ZERO
    price_quote: Decimal | None = None


class Asset:
    """A balance other than the quote. ``external`` is what no strategy's lots account for."""

    __slots__ = ("balance", "external", "gross", "mark")

    def __init__(self, balance: Decimal) -> None:
        self.balance = balance
        self.external = balance
        self.gross = ZERO  # sum over strategies of |position|
        self.mark: Decimal | None = None


def mark_price(what: str, price: float | Decimal) -> Decimal:
    exact = price if isinstance(price, Decimal) else Decimal(repr(float(price)))
    if not exact.is_finite() or exact <= 0:
        raise LedgerError(f"mark of {what} must be positive, was {price}")
    return exact


def require(holds: bool, message: str) -> None:
    if not holds:
        raise LedgerError(message)


def oversold(book: LotBook) -> Reason:
    text = f"{book.strategy} sold below zero in {book.symbol}, position was {book.quantity}"
    return Reason("OVERSOLD", text, float(book.quantity), 0.0)


def check_fill(fill: Fill, intent: OrderIntent) -> None:
    """Refuse a fill that cannot be booked.

    Raises:
        LedgerError: another symbol than the intent's, or a number that is none.
    """
    where = f"fill {fill.trade_id} of {fill.symbol}"
    require(fill.symbol == intent.symbol, f"{where}: intent's symbol was {intent.symbol}")
    for name, value in (("price", fill.price), ("quantity_base", fill.quantity_base)):
        fits = value.is_finite() and value > 0
        require(fits, f"{where}: {name} must be positive, was {value}")
    require(fill.fee.is_finite(), f"{where}: fee must be finite, was {fill.fee}")


def overfill(filled_base: Decimal, intent: OrderIntent) -> Reason:
    text = f"filled {filled_base} above ordered, ordered was {intent.quantity_base}"
    return Reason("OVERFILL", text, float(filled_base), float(intent.quantity_base))


def unvalued(fill: Fill, quote: str) -> Reason:
    text = f"fee {fill.fee} {fill.fee_asset} has no mark, counted as 0 {quote}"
    return Reason("FEE_UNVALUED", text, float(fill.fee))


def base_of(symbol: str, quote: str) -> str:
    """The base asset of a symbol written BASE/QUOTE or BASE/QUOTE:SETTLE.

    Raises:
        LedgerError: the symbol has another quote.
    """
    base, _, rest = symbol.partition("/")
    fits = bool(base) and rest.partition(":")[0] == quote
    require(fits, f"symbol must be BASE/{quote}, was {symbol}")
    return base
