"""Reads of this room."""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet

from engine.types import bars
from market.models import Candle, Instrument


def instrument_list(*, venue: str | None = None) -> QuerySet[Instrument]:
    rows = Instrument.objects.order_by("venue", "symbol")
    return rows.filter(venue=venue) if venue else rows


def candle_list(
    *,
    venue: str,
    symbol: str,
    timeframe_ms: int,
    limit: int,
    until: datetime | None = None,
) -> list[Candle]:
    """Return the last ``limit`` closed candles opened before ``until``, oldest first."""
    rows = Candle.objects.filter(
        instrument__venue=venue, instrument__symbol=symbol, timeframe_ms=timeframe_ms
    )
    if until is not None:
        rows = rows.filter(opened_at__lt=until)
    return list(rows.order_by("-opened_at")[:limit])[::-1]


def instrument_value(row: Instrument) -> bars.Instrument:
    """Return the engine's value of an instrument's row."""
    return bars.Instrument(
        symbol=row.symbol,
        base=row.base,
        quote=row.quote,
        tick_size=row.tick_size,
        lot_size=row.lot_size,
        min_notional_quote=row.min_notional_quote,
        min_quantity_base=row.min_quantity_base,
        maker_fee_fraction=row.maker_fee_fraction,
        taker_fee_fraction=row.taker_fee_fraction,
        shortable=row.is_shortable,
    )
