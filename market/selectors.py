"""Reads of this room."""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet

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
