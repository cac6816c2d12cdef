"""Closed trades for the layer's tests."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from engine.types.ledger import Trade
from engine.types.opinions import Side

HOUR_MS = 3_600_000


def closed(
    number: int,
    r: float | None,
    *,
    strategy: str = "ema-trend",
    symbol: str = "BTC/USDT",
    regime: str = "TRENDING",
    pnl: str | Decimal | None = None,
    risk_quote: str = "10",
    closed_at_ms: int | None = None,
    held_ms: int = 60_000,
) -> Trade:
    """A trade of one R of ``risk_quote``; its PnL follows from R unless it is given."""
    at = number * HOUR_MS if closed_at_ms is None else closed_at_ms
    if pnl is None:
        pnl = Decimal(repr(r or 0.0)) * Decimal(risk_quote)
    return Trade(
        trade_id=f"trade-{number}",
        strategy=strategy,
        symbol=symbol,
        side=Side.BUY,
        quantity_base=Decimal(1),
        entry_price=Decimal(100),
        exit_price=Decimal(100),
        fees_quote=Decimal("0.02"),
        pnl_quote=Decimal(pnl),
        r_multiple=r,
        opened_at_ms=at - held_ms,
        closed_at_ms=at,
        entry_regime=regime,
        exit_regime="QUIET",
        exit_reason="signal",
        entry_order_id="entry",
        exit_order_id="exit",
    )


def every(results: Iterable[float], first: int = 1, **named: str) -> list[Trade]:
    """One trade an hour with each of the results in R, numbered from ``first``."""
    return [closed(first + k, r, **named) for k, r in enumerate(results)]  # type: ignore[arg-type]
