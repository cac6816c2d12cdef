"""Reads of this room."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import numpy as np
from django.db import connection
from django.db.models import QuerySet

from engine.types import bars
from engine.types.bars import BarColumns
from market.models import Candle, Instrument

# how many bars may be drawn as one
_JOINED = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 720, 1_440, 2_880, 4_320, 10_080, 20_160, 43_200)
# One statement for both databases, which differ in how seconds become a time. A bar is looked up
# between its edges: sorting a long stretch into its bars took five times as long, and a file.
_OF_BAR = """
    FROM market_candle
    WHERE instrument_id = %(instrument)s AND timeframe_ms = %(timeframe_ms)s
      AND opened_at >= since AND opened_at < till
"""
_JOIN = """
WITH RECURSIVE edges(at_s) AS (
    SELECT CAST(%(first_s)s AS BIGINT) UNION ALL SELECT at_s + %(width_s)s FROM edges
    WHERE at_s + %(width_s)s < %(until_s)s
), cells(at_s, since, till) AS (
    SELECT at_s,
        {time}(CASE WHEN at_s < %(since_s)s THEN %(since_s)s ELSE at_s END{of}),
        {time}(CASE WHEN at_s + %(width_s)s > %(until_s)s
            THEN %(until_s)s ELSE at_s + %(width_s)s END{of})
    FROM edges
)
SELECT at_s,
    (SELECT open {of_bar} ORDER BY opened_at LIMIT 1),
    (SELECT MAX(high) {of_bar}),
    (SELECT MIN(low) {of_bar}),
    (SELECT close {of_bar} ORDER BY opened_at DESC LIMIT 1),
    (SELECT SUM(volume) {of_bar})
FROM cells ORDER BY at_s
"""
_TIME_OF = {
    "sqlite": {"time": "datetime", "of": ", 'unixepoch'"},
    "postgresql": {"time": "to_timestamp", "of": ""},
}


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
    rows = _candles(venue, symbol, timeframe_ms)
    if until is not None:
        rows = rows.filter(opened_at__lt=until)
    return list(rows.order_by("-opened_at")[:limit])[::-1]


def candle_span(*, venue: str, symbol: str, timeframe_ms: int) -> tuple[datetime, datetime] | None:
    """Return when the first and the last stored candle opened, None where none is stored."""
    rows = _candles(venue, symbol, timeframe_ms).order_by("opened_at")
    first, last = rows.first(), rows.last()
    return None if first is None or last is None else (first.opened_at, last.opened_at)


def candle_columns(
    *,
    venue: str,
    symbol: str,
    timeframe_ms: int,
    since: datetime,
    until: datetime,
    max_bars: int,
) -> BarColumns:
    """Return the candles opened from ``since`` on and before ``until`` as columns, oldest first.

    Where the period has room for more than ``max_bars``, so many are joined into one on the grid
    of the epoch that it has not: first open, highest high, lowest low, last close, volume added.
    ``timeframe_ms`` of the answer is that of its bars; a gap is left out, never filled.
    """
    joined = _joined((until - since).total_seconds() * 1000 / timeframe_ms, max_bars)
    if joined > 1 and timeframe_ms % 1000 == 0:
        rows = _joined_rows(
            venue=venue,
            symbol=symbol,
            timeframe_ms=timeframe_ms,
            joined=joined,
            since=since,
            until=until,
        )
        return _columns(rows, timeframe_ms * joined)
    found = _candles(venue, symbol, timeframe_ms).filter(opened_at__gte=since, opened_at__lt=until)
    newest = found.order_by("-opened_at").values_list(*_COLUMNS)[:max_bars]
    rows = [(round(at.timestamp() * 1000), *values) for at, *values in newest]
    return _columns(rows[::-1], timeframe_ms)


_COLUMNS = ("opened_at", "open", "high", "low", "close", "volume")


def _candles(venue: str, symbol: str, timeframe_ms: int) -> QuerySet[Candle]:
    return Candle.objects.filter(
        instrument__venue=venue, instrument__symbol=symbol, timeframe_ms=timeframe_ms
    )


def _joined(bars: float, max_bars: int) -> int:
    """Return how many bars become one so that ``bars`` of them fit."""
    for count in _JOINED:
        if bars <= count * max_bars:
            return count
    return int(-(-bars // max_bars))


def _joined_rows(
    *, venue: str, symbol: str, timeframe_ms: int, joined: int, since: datetime, until: datetime
) -> list[tuple[Any, ...]]:
    """Return (ts_ms, open, high, low, close, volume) of every ``joined`` candles that has any."""
    instrument = Instrument.objects.filter(venue=venue, symbol=symbol).first()
    if instrument is None:
        return []
    width_s = timeframe_ms // 1000 * joined
    # candles open on whole seconds, what is asked for need not
    since_s, until_s = math.ceil(since.timestamp()), math.ceil(until.timestamp())
    given = {
        "instrument": instrument.pk,
        "timeframe_ms": timeframe_ms,
        "first_s": since_s // width_s * width_s,
        "width_s": width_s,
        "since_s": since_s,
        "until_s": until_s,
    }
    with connection.cursor() as cursor:
        cursor.execute(_JOIN.format(of_bar=_OF_BAR, **_TIME_OF[connection.vendor]), given)
        return [(at_s * 1000, *row) for at_s, *row in cursor.fetchall() if row[0] is not None]


def _columns(rows: list[tuple[Any, ...]], timeframe_ms: int) -> BarColumns:
    ts_ms = np.array([row[0] for row in rows], dtype=np.int64)
    values = [np.array([row[i] for row in rows], dtype=np.float64) for i in range(1, 6)]
    return BarColumns(ts_ms, *values, timeframe_ms=timeframe_ms)


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
