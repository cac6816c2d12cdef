"""What it cost: lots, closed trades, equity."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from engine.types.opinions import Side

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Lot:
    """An open piece of a position, made by one entry fill of one strategy.

    ``quantity_base`` is what remains (> 0, ``side`` gives the direction); ``entry_fee_quote`` is
    the part of the entry fee that belongs to what remains; ``risk_per_unit_quote`` is the distance
    from entry to the initial stop (0 = no stop was set, R is then undefined).
    """

    lot_id: str
    strategy: str
    symbol: str
    side: Side
    quantity_base: Decimal
    entry_price: Decimal
    entry_fee_quote: Decimal
    risk_per_unit_quote: Decimal
    stop_price: Decimal | None
    target_price: Decimal | None
    regime: str
    opened_at_ms: int
    entry_order_id: str


@dataclass(frozen=True, slots=True)
class Trade:
    """A lot, or part of one, that was closed by a fill. PnL is net of both fees, in quote.

    ``r_multiple`` is net PnL over initial stop risk, None where no stop was set.
    """

    trade_id: str
    strategy: str
    symbol: str
    side: Side
    quantity_base: Decimal
    entry_price: Decimal
    exit_price: Decimal
    fees_quote: Decimal
    pnl_quote: Decimal
    r_multiple: float | None
    opened_at_ms: int
    closed_at_ms: int
    entry_regime: str
    exit_regime: str
    exit_reason: str
    entry_order_id: str
    exit_order_id: str


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """Mark-to-market equity at one event. ``drawdown_fraction`` is in [0, 1] from the peak."""

    ts_ms: int
    equity_quote: Decimal
    cash_quote: Decimal
    exposure_quote: Decimal
    peak_equity_quote: Decimal
    drawdown_fraction: float
    day_pnl_quote: Decimal

    def at(self, ts_ms: int) -> EquityPoint:
        """Return the same account at another time of the same UTC day."""
        return EquityPoint(
            ts_ms,
            self.equity_quote,
            self.cash_quote,
            self.exposure_quote,
            self.peak_equity_quote,
            self.drawdown_fraction,
            self.day_pnl_quote,
        )
