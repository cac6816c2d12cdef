"""Columns that rules, regimes and features share: computed once a bar and store, read-only."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from engine import indicators
from engine.compiled import kernel
from engine.types.bars import ColumnStore, Fill, FloatColumn

# An average range below this fraction of price is a market that stands still: ratios to it are
# rounding noise, and a stop that many ticks away would be no stop.
STILL_FRACTION = 1e-9


def shared(store: ColumnStore, key: tuple[Hashable, ...], fill: Fill) -> FloatColumn:
    """Return a float column under a name that every reader of the store shares."""
    return store.column(("shared", *key), fill)


def log_close(store: ColumnStore) -> FloatColumn:
    """ln of the close."""

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        np.log(s.bars.close[start:], out=out[start:])

    return shared(store, ("log_close",), fill)


def log_returns(store: ColumnStore) -> FloatColumn:
    """One-bar log returns, NaN on the first row."""

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        close = s.bars.close
        first = max(1, start)
        out[start:first] = np.nan
        np.log(close[first:] / close[first - 1 : -1], out=out[first:])

    return shared(store, ("log_returns",), fill)


def true_range(store: ColumnStore) -> FloatColumn:
    """Range of the bar including the gap from the previous close."""

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        indicators.fill_true_range(s.bars.high, s.bars.low, s.bars.close, out, start)

    return shared(store, ("true_range",), fill)


def log_true_range(store: ColumnStore) -> FloatColumn:
    """ln of the true range's top over its bottom: how far the bar went, as a fraction of price."""

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        indicators.fill_log_true_range(s.bars.high, s.bars.low, s.bars.close, out, start)

    return shared(store, ("log_true_range",), fill)


def mean_range(store: ColumnStore, window: int) -> FloatColumn:
    """Mean of ``log_true_range`` over ``window`` bars."""

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        indicators.fill_mean(log_true_range(s), window, out, start)

    return shared(store, ("mean_range", window), fill)


def ema(store: ColumnStore, span: int) -> FloatColumn:
    """Exponential mean of the close."""

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        indicators.fill_recursive_mean(s.bars.close, indicators.ema_weight(span), span, out, start)

    return shared(store, ("ema", span), fill)


def volume_ema(store: ColumnStore, span: int) -> FloatColumn:
    """Exponential mean of the volume in base units."""

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        indicators.fill_recursive_mean(s.bars.volume, indicators.ema_weight(span), span, out, start)

    return shared(store, ("volume_ema", span), fill)


def atr(store: ColumnStore, span: int) -> FloatColumn:
    """Average true range in quote units."""

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        indicators.fill_recursive_mean(true_range(s), 1.0 / span, span, out, start)

    return shared(store, ("atr", span), fill)


def _mean_gain(store: ColumnStore, span: int, sign: float) -> FloatColumn:
    def gains(s: ColumnStore, out: FloatColumn, start: int) -> None:
        indicators.fill_gains(s.bars.close, sign, out, start)

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        change = shared(s, ("gains", sign), gains)
        indicators.fill_recursive_mean(change, 1.0 / span, span, out, start)

    return shared(store, ("mean_gain", span, sign), fill)


def rsi(store: ColumnStore, span: int) -> FloatColumn:
    """Relative strength index of the close, in [0, 100]."""

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        gain, loss = _mean_gain(s, span, 1.0), _mean_gain(s, span, -1.0)
        indicators.fill_rsi(gain, loss, s.bars.close, out, start)

    return shared(store, ("rsi", span), fill)


def return_std(store: ColumnStore, window: int) -> FloatColumn:
    """Standard deviation of one bar's log return over ``window`` bars."""

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        indicators.fill_std(log_returns(s), window, out, start)

    return shared(store, ("return_std", window), fill)


def signed_efficiency(store: ColumnStore, window: int) -> FloatColumn:
    """Signed efficiency ratio of the log close, in [-1, 1]."""

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        indicators.fill_signed_efficiency(log_close(s), window, out, start)

    return shared(store, ("signed_efficiency", window), fill)


def highest(store: ColumnStore, window: int) -> FloatColumn:
    """Highest high of the last ``window`` bars, the current one included."""

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        indicators.fill_extreme(s.bars.high, window, 1.0, out, start)

    return shared(store, ("highest", window), fill)


def lowest(store: ColumnStore, window: int) -> FloatColumn:
    """Lowest low of the last ``window`` bars, the current one included."""

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        indicators.fill_extreme(s.bars.low, window, -1.0, out, start)

    return shared(store, ("lowest", window), fill)


def mean_volume(store: ColumnStore, window: int) -> FloatColumn:
    """Mean volume in base units over ``window`` bars."""

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        indicators.fill_mean(s.bars.volume, window, out, start)

    return shared(store, ("mean_volume", window), fill)


def floored_atr(store: ColumnStore, span: int) -> FloatColumn:
    """Average true range, exactly 0 where the market stands still (see STILL_FRACTION)."""

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        _fill_floored(atr(s, span), s.bars.close, STILL_FRACTION, out, start)

    return shared(store, ("floored_atr", span), fill)


@kernel
def _fill_floored(
    values: FloatColumn, close: FloatColumn, fraction: float, out: FloatColumn, start: int
) -> None:
    for row in range(start, values.shape[0]):
        out[row] = 0.0 if values[row] <= fraction * close[row] else values[row]


def per_atr(store: ColumnStore, values: FloatColumn, span: int) -> FloatColumn:
    """A distance in quote units as multiples of the average true range; 0 where still."""
    return indicators.ratio(values, floored_atr(store, span))
