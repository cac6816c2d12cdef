"""Stop-limits that the market has left behind: no fill will come, and the position is unguarded."""

from __future__ import annotations

from collections.abc import Callable, Collection

from engine.types.opinions import Side
from engine.types.orders import OrderStatus
from trades import models

_RESTS = (OrderStatus.OPEN, OrderStatus.PARTIAL)


class StopLimits:
    """Remembers which stop-limits of one run were jumped over, as of the last look at each.

    ``quote`` returns a symbol's best (bid, ask) from the venue, or why it has none.
    """

    def __init__(self, quote: Callable[[str], tuple[float, float] | str]) -> None:
        self._quote = quote
        self._jumped: set[str] = set()

    @property
    def jumped(self) -> Collection[str]:
        return frozenset(self._jumped)

    def look(self, order: models.Order) -> None:
        """Judge an order that the venue was just asked about: one that rests although nobody pays
        its limit any more was triggered and left behind. Without a quote it stays as it was."""
        if order.status not in _RESTS or order.limit_price is None:
            self._jumped.discard(order.client_order_id)
            return
        quote = self._quote(order.symbol)
        if isinstance(quote, str):
            return
        bid, ask = quote
        limit = float(order.limit_price)
        if bid < limit if order.side == Side.SELL else ask > limit:
            self._jumped.add(order.client_order_id)
        else:
            self._jumped.discard(order.client_order_id)
