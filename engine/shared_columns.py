"""Columns that rules, regimes and features share: computed once a store, then read-only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine import indicators
from engine.types.bars import ColumnStore, FloatColumn

# An average range below this fraction of price is a market that stands still: ratios to it are
# rounding noise, and a stop that many ticks away would be no stop.
STILL_FRACTION = 1e-9


def shared(
    store: ColumnStore, key: tuple[object, ...], compute: Callable[[ColumnStore], FloatColumn]
) -> FloatColumn:
    """Return a cached column that nobody may write to."""

    def frozen(of: ColumnStore) -> FloatColumn:
        column = compute(of)
        column.setflags(write=False)
        return column

    return store.get(("shared", *key), frozen)


def log_close(store: ColumnStore) -> FloatColumn:
    """ln of the close."""
    return shared(store, ("log_close",), lambda s: np.log(s.bars.close))


def log_returns(store: ColumnStore) -> FloatColumn:
    """One-bar log returns, NaN on the first row."""
    return shared(store, ("log_returns",), lambda s: indicators.log_returns(s.bars.close))


def ema(store: ColumnStore, span: int) -> FloatColumn:
    """Exponential mean of the close."""
    return shared(store, ("ema", span), lambda s: indicators.ema(s.bars.close, span))


def atr(store: ColumnStore, span: int) -> FloatColumn:
    """Average true range in quote units."""

    def compute(s: ColumnStore) -> FloatColumn:
        return indicators.atr(s.bars.high, s.bars.low, s.bars.close, span)

    return shared(store, ("atr", span), compute)


def rsi(store: ColumnStore, span: int) -> FloatColumn:
    """Relative strength index of the close, in [0, 100]."""
    return shared(store, ("rsi", span), lambda s: indicators.rsi(s.bars.close, span))


def return_std(store: ColumnStore, window: int) -> FloatColumn:
    """Standard deviation of one bar's log return over ``window`` bars."""
    return shared(
        store, ("return_std", window), lambda s: indicators.rolling_std(log_returns(s), window)
    )


def signed_efficiency(store: ColumnStore, window: int) -> FloatColumn:
    """Signed efficiency ratio of the log close, in [-1, 1]."""
    return shared(
        store,
        ("signed_efficiency", window),
        lambda s: indicators.signed_efficiency(log_close(s), window),
    )


def highest(store: ColumnStore, window: int) -> FloatColumn:
    """Highest high of the last ``window`` bars, the current one included."""
    return shared(store, ("highest", window), lambda s: indicators.rolling_max(s.bars.high, window))


def lowest(store: ColumnStore, window: int) -> FloatColumn:
    """Lowest low of the last ``window`` bars, the current one included."""
    return shared(store, ("lowest", window), lambda s: indicators.rolling_min(s.bars.low, window))


def mean_volume(store: ColumnStore, window: int) -> FloatColumn:
    """Mean volume in base units over ``window`` bars."""
    return shared(store, ("mean_volume", window), lambda s: indicators.sma(s.bars.volume, window))


def floored_atr(store: ColumnStore, span: int) -> FloatColumn:
    """Average true range, exactly 0 where the market stands still (see STILL_FRACTION)."""

    def compute(s: ColumnStore) -> FloatColumn:
        column = atr(s, span)
        return np.where(column <= STILL_FRACTION * s.bars.close, 0.0, column)

    return shared(store, ("floored_atr", span), compute)


def per_atr(store: ColumnStore, values: FloatColumn, span: int) -> FloatColumn:
    """A distance in quote units as multiples of the average true range; 0 where still."""
    return indicators.ratio(values, floored_atr(store, span))
