"""Series for the charts. Floats: a chart may round, the ledger may not."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db.models import F, FloatField, IntegerField, Window
from django.db.models.functions import Cast, Mod, RowNumber

from market.models import Candle
from trades.models import EquityPoint, Fill, Lot, Trade, TradingRun

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


def last_close(run: TradingRun, symbol: str) -> float | None:
    return (
        Candle.objects.filter(
            instrument__venue=run.venue, instrument__symbol=symbol, timeframe_ms=run.timeframe_ms
        )
        .order_by("-opened_at")
        .values_list("close", flat=True)
        .first()
    )


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
    points = EquityPoint.objects.filter(run=run)
    n_points = points.count()
    step = max(1, math.ceil(n_points / limit))
    rows = (
        points.annotate(
            place=Window(RowNumber(), order_by="at"), equity=Cast("equity_quote", FloatField())
        )
        # counted from the newest, so that the last point is always among them
        .annotate(rest=Mod(n_points - F("place"), step, output_field=IntegerField()))
        .filter(rest=0)
        .order_by("at")
        .values_list("at", "equity", "drawdown_fraction")
    )
    rows = list(rows)
    return {
        "ts_ms": [as_ms(row[0]) for row in rows],
        "equity": [row[1] for row in rows],
        "drawdown_fraction": [row[2] for row in rows],
    }


def positions(run: TradingRun) -> list[dict[str, Any]]:
    """Return open positions by strategy and symbol, marked at the last close."""
    lots: dict[tuple[str, str, str], list[Lot]] = defaultdict(list)
    for lot in Lot.objects.filter(run=run, is_open=True).order_by("opened_at", "id"):
        lots[lot.strategy, lot.symbol, lot.side].append(lot)
    marks = {symbol: last_close(run, symbol) for symbol in {key[1] for key in lots}}
    return [_position(key, held, marks[key[1]]) for key, held in sorted(lots.items())]


def _position(key: tuple[str, str, str], lots: list[Lot], mark: float | None) -> dict[str, Any]:
    strategy, symbol, side = key
    quantity = sum((lot.quantity_base for lot in lots), Decimal(0))
    cost = sum((lot.quantity_base * lot.entry_price for lot in lots), Decimal(0))
    fees = sum((lot.entry_fee_quote for lot in lots), Decimal(0))
    sign = 1 if side == "BUY" else -1
    unrealised = None
    if mark is not None:
        unrealised = sign * (float(quantity) * mark - float(cost)) - float(fees)
    return {
        "strategy": strategy,
        "symbol": symbol,
        "side": side,
        "quantity": as_float(quantity),
        "entry_price": as_float(cost / quantity) if quantity else None,
        "mark_price": mark,
        "notional_quote": None if mark is None else float(quantity) * mark,
        "unrealised_pnl_quote": unrealised,
        "stop_price": as_float(lots[0].stop_price),
        "target_price": as_float(lots[0].target_price),
        "opened_at_ms": as_ms(lots[0].opened_at),
    }


def datetime_of(ts_ms: int) -> datetime:
    return datetime.fromtimestamp(ts_ms / 1000, tz=UTC)
