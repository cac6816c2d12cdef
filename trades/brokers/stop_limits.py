"""Stop-limits that the market has left behind: no fill will come, and the position is unguarded."""

from __future__ import annotations

from collections.abc import Callable, Collection
from decimal import Decimal

from engine.types.opinions import Side
from engine.types.orders import OrderStatus
from trades import models
from trades.brokers.ccxt_values import Prices

_RESTS = (OrderStatus.OPEN, OrderStatus.PARTIAL)
# A book that is thin for a moment shows no buyer either: one look proves nothing.
LOOKS = 2


class StopLimits:
    """Remembers which stop-limits of one run were jumped over, as of the last looks at each.

    ``prices`` returns a symbol's prices from the venue, or why it has none.
    """

    def __init__(self, prices: Callable[[str], Prices | str]) -> None:
        self._prices = prices
        self._seen: dict[str, int] = {}

    @property
    def jumped(self) -> Collection[str]:
        return frozenset(name for name, seen in self._seen.items() if seen >= LOOKS)

    def look(self, order: models.Order) -> None:
        """Judge an order that the venue was just asked about: one that rests although nobody pays
        its limit any more, at ``LOOKS`` looks in a row, was triggered and left behind. Without
        prices it stays as it was."""
        name = order.client_order_id
        if order.status not in _RESTS or order.limit_price is None or order.stop_price is None:
            self._seen.pop(name, None)
            return
        prices = self._prices(order.symbol)
        if isinstance(prices, str):
            return
        if _is_beyond(order.side, order.stop_price, order.limit_price, prices):
            self._seen[name] = self._seen.get(name, 0) + 1
        else:
            self._seen.pop(name, None)


def _is_beyond(side: str, stop: Decimal, limit: Decimal, prices: Prices) -> bool:
    """True where nobody pays ``limit`` and, where the last price is known, it reached ``stop``:
    that is what venues trigger on."""
    last = prices.last
    if side == Side.SELL:
        return prices.bid < float(limit) and (last is None or last <= float(stop))
    return prices.ask > float(limit) and (last is None or last >= float(stop))
