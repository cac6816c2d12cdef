"""Writes of this room: history kept as candles."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction
from django.db.models import QuerySet

from engine.quality import bar_at, validate_columns
from engine.types.bars import Bar, BarColumns
from market.models import Candle, Instrument

# What a chart shows when it opens.
CHART_BARS = 400
_KEEP = """
INSERT INTO market_candle
  (instrument_id, timeframe_ms, opened_at, "open", "high", "low", "close", "volume")
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
# More than a session looks back on: the window of its columns, and what is shown of them.
KEPT_BARS = 10_000
_BATCH = 500


def candles_backfill(*, venue: str, symbol: str, bars: BarColumns, limit: int = CHART_BARS) -> int:
    """Keep the last ``limit`` bars as candles; return how many passed the gate.

    Candles are immutable, so a bar that is there already stays as it is, and the call may be
    repeated. A bar that the quality gate refuses is left out, as it is in the loop.

    Raises:
        Instrument.DoesNotExist: the venue's instrument has no row.
    """
    instrument = Instrument.objects.get(venue=venue, symbol=symbol)
    refused = {row for row, _ in validate_columns(bars)}
    rows = [r for r in range(max(0, len(bars) - limit), len(bars)) if r not in refused]
    opened_at = {row: _opened_at(bars, row) for row in rows}
    # a session that starts again has them all but the last few: reading is ten times as fast
    kept = set(
        Candle.objects.filter(
            instrument=instrument,
            timeframe_ms=bars.timeframe_ms,
            opened_at__gte=min(opened_at.values(), default=datetime.max.replace(tzinfo=UTC)),
        ).values_list("opened_at", flat=True)
    )
    missing = [bar_at(bars, row) for row in rows if opened_at[row] not in kept]
    candles_keep(instrument=instrument, timeframe_ms=bars.timeframe_ms, bars=missing)
    return len(rows)


def candles_prune(*, days: float, keep: int = KEPT_BARS, dry_run: bool = False) -> int:
    """Delete candles older than so many days before the newest of their kind; return how many.

    ``keep`` bars of each instrument and length stay whatever their age: columns remember them.
    """
    kinds = Candle.objects.order_by("instrument_id", "timeframe_ms")
    done = 0
    for instrument_id, timeframe_ms in kinds.values_list(
        "instrument_id", "timeframe_ms"
    ).distinct():
        rows = Candle.objects.filter(instrument_id=instrument_id, timeframe_ms=timeframe_ms)
        times = rows.order_by("-opened_at").values_list("opened_at", flat=True)
        newest, oldest_kept = times.first(), times[keep - 1 : keep].first()
        if newest is None or oldest_kept is None:
            continue
        old = rows.filter(opened_at__lt=min(newest - timedelta(days=days), oldest_kept))
        done += old.count() if dry_run else _delete(old)
    return done


def _delete(rows: QuerySet[Candle]) -> int:
    """Delete in small transactions, so that trading never waits long for the database."""
    done = 0
    while keys := list(rows.order_by("opened_at").values_list("pk", flat=True)[:_BATCH]):
        done += Candle.objects.filter(pk__in=keys).delete()[0]
    return done


def candles_keep(*, instrument: Instrument, timeframe_ms: int, bars: Sequence[Bar]) -> None:
    """Write bars that passed the gate; one that is there already stays as it is.

    A run of fifty symbols begins with 125,000 of them: as model instances they cost three times
    the processor time.

    Raises:
        IntegrityError: a bar that no candle may be; nothing of the call is written.
    """
    as_time = connection.ops.adapt_datetimefield_value
    rows = [
        (
            instrument.pk,
            timeframe_ms,
            as_time(datetime.fromtimestamp(bar.ts_ms / 1000, tz=UTC)),
            *(bar.open, bar.high, bar.low, bar.close, bar.volume),
        )
        for bar in bars
    ]
    if not rows:
        return
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.executemany(_KEEP, rows)


def _opened_at(bars: BarColumns, row: int) -> datetime:
    return datetime.fromtimestamp(int(bars.ts_ms[row]) / 1000, tz=UTC)
