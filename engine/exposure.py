"""What is held and what entry orders may still take, summed the ways the limits ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from engine.lots import LotBook
from engine.types.ledger import ZERO
from engine.types.opinions import Side
from engine.types.orders import OrderIntent


class Exposure:
    """Gross exposure in quote by symbol and strategy; each sum starts from the open books.

    ``keys`` are the (strategy, symbol) that are held or may be; ``reserved_cash_quote`` is what
    pending buys may still cost.
    """

    __slots__ = (
        "by_strategy",
        "by_symbol",
        "gross_quote",
        "keys",
        "orders_by_symbol",
        "positions_base",
        "reserved_cash_quote",
    )

    def __init__(self, books: Iterable[LotBook], mark_of: Callable[[str], Decimal]) -> None:
        self.by_symbol: dict[str, Decimal] = {}
        self.by_strategy: dict[str, Decimal] = {}
        self.positions_base: dict[tuple[str, str], Decimal] = {}
        self.orders_by_symbol: dict[str, int] = {}
        self.keys: set[tuple[str, str]] = set()
        self.gross_quote = ZERO
        self.reserved_cash_quote = ZERO
        for book in books:
            if book.quantity:
                self.positions_base[book.strategy, book.symbol] = book.quantity
                value = abs(book.quantity) * mark_of(book.symbol)
                self._add(book.strategy, book.symbol, value)

    def reserve(self, intent: OrderIntent, filled_base: Decimal) -> None:
        """Count an entry order as if what is left of it were filled at its price."""
        left = max(intent.quantity_base - filled_base, ZERO)
        value = left * (intent.limit_price or intent.reference_price)
        self._add(intent.strategy, intent.symbol, value)
        on_symbol = self.orders_by_symbol.get(intent.symbol, 0)
        self.orders_by_symbol[intent.symbol] = on_symbol + 1
        if intent.side is Side.BUY:
            self.reserved_cash_quote += value

    def _add(self, strategy: str, symbol: str, value_quote: Decimal) -> None:
        self.keys.add((strategy, symbol))
        self.by_symbol[symbol] = self.by_symbol.get(symbol, ZERO) + value_quote
        self.by_strategy[strategy] = self.by_strategy.get(strategy, ZERO) + value_quote
        self.gross_quote += value_quote
