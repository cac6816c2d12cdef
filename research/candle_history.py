"""Stored candles as a history to replay."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from engine.types.bars import BarColumns
from market import models
from market.errors import DataError
from market.selectors import instrument_value
from market.sources.history import History
from market.sources.instruments import timeframe_from_ms

_NAMES = ("opened_at", "open", "high", "low", "close", "volume")


def stored_history(venue: str, symbols: Sequence[str], timeframe_ms: int) -> History:
    """Return every kept candle of these symbols, with the venue's own filters and fees.

    Raises:
        DataError: the venue has no such symbol, or none of its candles is kept.
    """
    rows = {row.symbol: row for row in models.Instrument.objects.filter(venue=venue)}
    missing = [symbol for symbol in symbols if symbol not in rows]
    if missing:
        raise DataError(f"symbol was {missing[0]}, {venue} has {', '.join(sorted(rows))}")
    bars = {symbol: _bars(rows[symbol], timeframe_ms) for symbol in symbols}
    return History(
        bars, {symbol: instrument_value(rows[symbol]) for symbol in symbols}, timeframe_ms
    )


def _bars(row: models.Instrument, timeframe_ms: int) -> BarColumns:
    found = models.Candle.objects.filter(instrument=row, timeframe_ms=timeframe_ms)
    kept = list(found.order_by("opened_at").values_list(*_NAMES))
    if not kept:
        raise DataError(
            f"candles of {row.symbol} on {row.venue} with bars of"
            f" {timeframe_from_ms(timeframe_ms)} were 0, allowed: at least 1"
        )
    opened = np.array([_ms(at) for at, *_ in kept], dtype=np.int64)
    numbers = np.array([values for _, *values in kept], dtype=np.float64)
    return BarColumns(opened, *numbers.T.copy(), timeframe_ms=timeframe_ms)


def _ms(at: datetime) -> int:
    return round(at.astimezone(UTC).timestamp() * 1000)
