"""Fills that a venue told of and then took back (F-062)."""

from __future__ import annotations

from collections.abc import Iterable

from engine.ports import TradingState
from trades import models, records
from trades.alerts import Alarm, Alert
from trades.brokers.ccxt_values import VenueTrade


class Withdrawn:
    """Compares what we booked with what the venue lists, sweep after sweep."""

    def __init__(self, run: models.TradingRun, alarm: Alarm) -> None:
        self._run = run
        self._alarm = alarm
        self._missing: dict[str, set[str]] = {}

    def look(self, symbol: str, since_ms: int, trades: Iterable[VenueTrade]) -> None:
        """Tell of fills we booked that the venue, asked twice, does not know any more.

        ``trades`` are all it lists from ``since_ms`` on. Books stay as they are until a person
        has looked: which side is wrong nobody knows here.
        """
        listed = {trade.trade_id for trade in trades}
        booked = self._run.fills.filter(
            symbol=symbol, executed_at__gte=records.moment(since_ms)
        ).select_related("order")
        # a trade made by hand is booked in parts of our naming, which no venue lists
        booked = booked.exclude(order__request__kind=models.RequestKind.BOOK_EXTERNAL)
        missing = {fill.trade_id: fill for fill in booked if fill.trade_id not in listed}
        for trade_id in sorted(missing.keys() & self._missing.get(symbol, set())):
            fill = missing[trade_id]
            text = (
                f"fill {trade_id} of {fill.quantity_base} {symbol} is in our books and no longer"
                " at the venue; compare both before anything is sent"
            )
            scope, brake = f"strategy:{fill.strategy}", TradingState.HALTED
            self._alarm(Alert("FILL_WITHDRAWN", f"{symbol} {trade_id}", text, scope, brake))
        self._missing[symbol] = set(missing)
