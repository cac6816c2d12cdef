"""Series for the charts. Floats: a chart may round, the ledger may not."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from market.models import Candle
from trades.models import Fill, Lot, Trade, TradingRun
from trades.selectors import Position, equity_list, position_list

BARS_SHOWN = 300
EQUITY_POINTS_SHOWN = 500
MARKERS_SHOWN = 200


def as_ms(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1000)


def as_float(value: Decimal | float | None) -> float | None:
    """Return a number JSON can carry: not finite becomes None."""
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def candles(run: TradingRun, symbol: str, limit: int = BARS_SHOWN) -> dict[str, list[Any]]:
    """Return the last ``limit`` closed bars as columns, oldest first."""
    rows = list(
        Candle.objects.filter(
            instrument__venue=run.venue, instrument__symbol=symbol, timeframe_ms=run.timeframe_ms
        )
        .order_by("-opened_at")
        .values_list("opened_at", "open", "high", "low", "close", "volume")[:limit]
    )
    rows.reverse()
    names = ("open", "high", "low", "close", "volume")
    columns: dict[str, list[Any]] = {"ts_ms": [as_ms(row[0]) for row in rows]}
    columns.update({name: [row[i + 1] for row in rows] for i, name in enumerate(names)})
    return columns


def fill_markers(run: TradingRun, symbol: str, since_ms: int | None) -> list[dict[str, Any]]:
    """Return the fills to draw over the candles, oldest first."""
    rows = Fill.objects.filter(run=run, symbol=symbol).select_related("order")
    if since_ms is not None:
        rows = rows.filter(executed_at__gte=datetime_of(since_ms))
    newest = rows.order_by("-executed_at", "-id")[:MARKERS_SHOWN]
    return [
        {
            "ts_ms": as_ms(row.executed_at),
            "side": row.side,
            "purpose": row.order.purpose,
            "strategy": row.strategy,
            "price": as_float(row.price),
            "quantity": as_float(row.quantity_base),
        }
        for row in reversed(newest)
    ]


def trade_spans(run: TradingRun, symbol: str, since_ms: int | None) -> list[dict[str, Any]]:
    """Return closed trades as entry-exit lines, oldest first."""
    rows = Trade.objects.filter(run=run, symbol=symbol)
    if since_ms is not None:
        rows = rows.filter(closed_at__gte=datetime_of(since_ms))
    newest = rows.order_by("-closed_at", "-id")[:MARKERS_SHOWN]
    return [
        {
            "strategy": row.strategy,
            "opened_ms": as_ms(row.opened_at),
            "closed_ms": as_ms(row.closed_at),
            "entry_price": as_float(row.entry_price),
            "exit_price": as_float(row.exit_price),
            "pnl_quote": as_float(row.pnl_quote),
        }
        for row in reversed(newest)
    ]


def equity_curve(run: TradingRun, limit: int = EQUITY_POINTS_SHOWN) -> dict[str, list[Any]]:
    """Return the run's equity and drawdown, thinned to about ``limit`` points, oldest first."""
    rows = equity_list(run=run, max_points=limit)
    return {
        "ts_ms": [as_ms(row.at) for row in rows],
        "equity": [as_float(row.equity_quote) for row in rows],
        "drawdown_fraction": [row.drawdown_fraction for row in rows],
    }


def positions(run: TradingRun) -> list[dict[str, Any]]:
    """Return open positions by strategy and symbol, marked at the last close.

    ``risk_quote`` is what the position lost at its first stop: one R. It and what is measured
    against it are None where the entry had no stop.
    """
    risks = _risks(run)
    return [_position(row, risks[row.strategy, row.symbol]) for row in position_list(run=run)]


def _risks(run: TradingRun) -> dict[tuple[str, str], Decimal]:
    risks: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    lots = Lot.objects.filter(run=run, is_open=True)
    for strategy, symbol, quantity, risk in lots.values_list(
        "strategy", "symbol", "quantity_base", "risk_per_unit_quote"
    ):
        risks[strategy, symbol] += quantity * risk
    return risks


def _position(row: Position, risk_quote: Decimal) -> dict[str, Any]:
    pnl = row.unrealised_pnl_quote
    return {
        "strategy": row.strategy,
        "symbol": row.symbol,
        "side": row.side,
        "quantity": as_float(row.quantity_base),
        "entry_price": as_float(row.average_price),
        "mark_price": as_float(row.mark_price),
        "notional_quote": as_float(row.notional_quote),
        "unrealised_pnl_quote": as_float(pnl),
        "risk_quote": as_float(risk_quote) if risk_quote > 0 else None,
        "r_so_far": as_float(pnl / risk_quote) if pnl is not None and risk_quote > 0 else None,
        "stop_price": as_float(row.stop_price),
        "resting_stop_quantity": as_float(row.resting_stop_base),
        "target_price": as_float(row.target_price),
        "opened_at_ms": as_ms(row.opened_at),
    }


def datetime_of(ts_ms: int) -> datetime:
    return datetime.fromtimestamp(ts_ms / 1000, tz=UTC)
