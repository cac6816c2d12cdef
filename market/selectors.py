"""Reads of this room."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from django.db.models import BigIntegerField, Func, Max, Min, QuerySet, Sum

from engine.types import bars
from engine.types.bars import BarColumns
from market.models import Candle, Instrument

# how many bars may be drawn as one
_JOINED = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 720, 1_440, 2_880, 4_320, 10_080, 20_160, 43_200)
_LOOKED_UP = 500


class _EpochSeconds(Func):
    """A time as whole seconds, so that a grid over it is arithmetic on both databases."""

    output_field = BigIntegerField()  # type: ignore[assignment]
    template = "CAST(EXTRACT(EPOCH FROM %(expressions)s) AS BIGINT)"

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "CAST(strftime('%%%%s', %(expressions)s) AS INTEGER)"
        return self.as_sql(compiler, connection, template=template, **context)


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
    rows = _candles(venue, symbol, timeframe_ms).filter(opened_at__gte=since, opened_at__lt=until)
    joined = _joined((until - since).total_seconds() * 1000 / timeframe_ms, max_bars)
    if joined == 1 or timeframe_ms % 1000:
        newest = rows.order_by("-opened_at").values_list(*_COLUMNS)[:max_bars]
        return _columns(list(newest)[::-1], timeframe_ms)
    width_s = timeframe_ms * joined // 1000
    at_s = _EpochSeconds("opened_at")
    grouped = (
        rows.annotate(at_s=at_s - at_s % width_s)
        .values("at_s")
        .annotate(
            first=Min("opened_at"),
            last=Max("opened_at"),
            most=Max("high"),
            least=Min("low"),
            sum=Sum("volume"),
        )
        .order_by("at_s")
    )
    found = list(grouped.values_list("at_s", "first", "last", "most", "least", "sum"))
    ends = _by_time(rows, {at for row in found for at in row[1:3]})
    bars = [
        (datetime.fromtimestamp(at, UTC), ends[first][0], most, least, ends[last][1], volume)
        for at, first, last, most, least, volume in found
    ]
    return _columns(bars, timeframe_ms * joined)


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


def _by_time(rows: QuerySet[Candle], times: set[datetime]) -> dict[datetime, tuple[float, float]]:
    """Return open and close of the candles that opened at these times."""
    wanted, found = sorted(times), {}
    for first in range(0, len(wanted), _LOOKED_UP):
        part = rows.filter(opened_at__in=wanted[first : first + _LOOKED_UP])
        found.update({at: (opened, close) for at, opened, close in part.values_list(*_ENDS)})
    return found


_ENDS = ("opened_at", "open", "close")


def _columns(rows: list[Any], timeframe_ms: int) -> BarColumns:
    ts_ms = np.array([round(row[0].timestamp() * 1000) for row in rows], dtype=np.int64)
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
