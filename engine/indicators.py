"""Causal columns: every function maps (n,) to (n,), and row t depends on rows up to t only.

Each has one definition with two doors: the function itself, and a kernel ``fill_*`` that writes
rows ``start`` and later of a column whose earlier rows are known, so that a live bar costs one row.

Inputs are float64, finite except for a prefix of NaN (the warm-up of the column they came from);
outputs are NaN until warm. Windowed functions are computed afresh from each row's own window, so
nothing drifts and a bounded history gives the same last row as the whole one. Recursive ones (ema,
atr, rsi) forget: keep their spans at 60 or below for windows of 2,500 bars.
"""

from __future__ import annotations

import numpy as np

from engine.compiled import kernel, window_kernel
from engine.types.bars import FloatColumn

NAN = float("nan")


@kernel
def _first_finite(values: FloatColumn) -> int:
    for row in range(values.shape[0]):
        if not np.isnan(values[row]):
            return row
    return int(values.shape[0])


@kernel
def fill_recursive_mean(
    values: FloatColumn, alpha: float, warm_up: int, out: FloatColumn, start: int
) -> None:
    """Write an exponential mean of weight ``alpha``, NaN for the first ``warm_up - 1`` values."""
    n = values.shape[0]
    first = _first_finite(values)
    for row in range(start, n):
        out[row] = NAN
    if first >= n:
        return
    goes_on = start > 0 and not np.isnan(out[start - 1])
    level = out[start - 1] if goes_on else values[first]
    for row in range(start if goes_on else first, n):
        level += alpha * (values[row] - level)
        if goes_on or (row >= start and row - first + 1 >= warm_up):
            out[row] = level


def ema_weight(span: int) -> float:
    """Weight of the newest value in an exponential mean: 2 / (span + 1)."""
    return 2.0 / (_window(span) + 1.0)


def ema(values: FloatColumn, span: int) -> FloatColumn:
    """Exponential mean with weight 2 / (span + 1), begun at the first value; warm after span."""
    out = np.empty(values.shape[0])
    fill_recursive_mean(values, ema_weight(span), span, out, 0)
    return out


def wilder_mean(values: FloatColumn, span: int) -> FloatColumn:
    """Exponential mean with weight 1 / span. Source: Wilder, New Concepts (1978)."""
    out = np.empty(values.shape[0])
    fill_recursive_mean(values, 1.0 / _window(span), span, out, 0)
    return out


@window_kernel
def fill_mean(values: FloatColumn, window: int, out: FloatColumn, start: int) -> None:
    """Write the arithmetic mean of the last ``window`` values."""
    for row in range(start, values.shape[0]):
        if row < window - 1:
            out[row] = NAN
            continue
        total = 0.0
        for i in range(row - window + 1, row + 1):
            total += values[i]
        out[row] = total / window


def sma(values: FloatColumn, window: int) -> FloatColumn:
    """Arithmetic mean of the last ``window`` values."""
    out = np.empty(values.shape[0])
    fill_mean(values, _window(window), out, 0)
    return out


@window_kernel
def fill_std(values: FloatColumn, window: int, out: FloatColumn, start: int) -> None:
    """Write the population standard deviation of the last ``window`` values."""
    for row in range(start, values.shape[0]):
        if row < window - 1:
            out[row] = NAN
            continue
        oldest = row - window + 1
        # Relative to the oldest value: a constant window then gives exactly 0.
        origin = values[oldest]
        total = 0.0
        for i in range(oldest, row + 1):
            total += values[i] - origin
        mean = total / window
        squares = 0.0
        for i in range(oldest, row + 1):
            distance = values[i] - origin - mean
            squares += distance * distance
        out[row] = np.sqrt(squares / window)


def rolling_std(values: FloatColumn, window: int) -> FloatColumn:
    """Population standard deviation of the last ``window`` values; 0 where they are equal."""
    out = np.empty(values.shape[0])
    fill_std(values, _window(window), out, 0)
    return out


def ratio(
    numerator: FloatColumn, denominator: FloatColumn, *, floor: FloatColumn | float = 0.0
) -> FloatColumn:
    """numerator / denominator, 0 where the denominator is at or below ``floor``; NaN stays NaN."""
    unknown = np.isnan(numerator) | np.isnan(denominator)
    usable = denominator > floor
    out = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=usable)
    out[unknown] = NAN
    return out


def log_returns(close: FloatColumn, lag: int = 1) -> FloatColumn:
    """ln(close / close ``lag`` bars ago); the first ``lag`` rows are NaN."""
    out = np.full(close.shape[0], NAN)
    if close.shape[0] > lag:
        out[lag:] = np.log(close[lag:] / close[:-lag])
    return out


@kernel
def fill_true_range(
    high: FloatColumn, low: FloatColumn, close: FloatColumn, out: FloatColumn, start: int
) -> None:
    """Write the range of each bar including the gap from the previous close."""
    for row in range(start, close.shape[0]):
        top, bottom = high[row], low[row]
        if row > 0:
            top, bottom = max(top, close[row - 1]), min(bottom, close[row - 1])
        out[row] = top - bottom


@kernel
def fill_log_true_range(
    high: FloatColumn, low: FloatColumn, close: FloatColumn, out: FloatColumn, start: int
) -> None:
    """Write ln of the true range's top over its bottom."""
    for row in range(start, close.shape[0]):
        top, bottom = high[row], low[row]
        if row > 0:
            top, bottom = max(top, close[row - 1]), min(bottom, close[row - 1])
        out[row] = np.log(top / bottom)


@kernel
def fill_change(values: FloatColumn, out: FloatColumn, start: int) -> None:
    """Write each value less the one before; the first row is NaN."""
    for row in range(start, values.shape[0]):
        out[row] = values[row] - values[row - 1] if row > 0 else NAN


def true_range(high: FloatColumn, low: FloatColumn, close: FloatColumn) -> FloatColumn:
    """Range of the bar including the gap from the previous close; the first row is high - low."""
    out = np.empty(close.shape[0])
    fill_true_range(high, low, close, out, 0)
    return out


def atr(high: FloatColumn, low: FloatColumn, close: FloatColumn, span: int = 14) -> FloatColumn:
    """Average true range in quote units, Wilder's recursion. Source: Wilder (1978)."""
    return wilder_mean(true_range(high, low, close), span)


@kernel
def fill_gains(close: FloatColumn, sign: float, out: FloatColumn, start: int) -> None:
    """Write how far each close is above the one before (``sign`` 1) or below it (-1), at least 0.

    The first row is NaN.
    """
    for row in range(start, close.shape[0]):
        out[row] = max(sign * (close[row] - close[row - 1]), 0.0) if row > 0 else NAN


@kernel
def fill_rsi(
    gain: FloatColumn, loss: FloatColumn, close: FloatColumn, out: FloatColumn, start: int
) -> None:
    """Write the index in [0, 100] from mean gains and losses; 50 where nothing moves."""
    for row in range(start, close.shape[0]):
        total = gain[row] + loss[row]
        if np.isnan(total):
            out[row] = NAN
        # A market that stopped leaves vanishing gains and losses whose ratio means nothing.
        elif total > 1e-12 * close[row]:
            out[row] = 100.0 * (gain[row] / total)
        else:
            out[row] = 50.0


def rsi(close: FloatColumn, span: int = 14) -> FloatColumn:
    """Relative strength index in [0, 100]; 50 where nothing moves. Source: Wilder (1978)."""
    out = np.empty(close.shape[0])
    means = []
    for sign in (1.0, -1.0):
        fill_gains(close, sign, out, 0)
        means.append(wilder_mean(out, span))
    fill_rsi(means[0], means[1], close, out, 0)
    return out


@kernel
def fill_extreme(
    values: FloatColumn, window: int, sign: float, out: FloatColumn, start: int
) -> None:
    """Write the highest (``sign`` 1) or lowest (-1) of the last ``window`` values."""
    # Monotonic queue in a ring: every row enters and leaves once.
    n = values.shape[0]
    for row in range(start, n):
        out[row] = NAN
    queue = np.empty(window, dtype=np.int64)
    head, size = 0, 0
    first = _first_finite(values)
    for row in range(max(first, start - window + 1), n):
        if size > 0 and queue[head] <= row - window:
            head = (head + 1) % window
            size -= 1
        while size > 0 and sign * values[queue[(head + size - 1) % window]] <= sign * values[row]:
            size -= 1
        queue[(head + size) % window] = row
        size += 1
        if row >= start and row - first + 1 >= window:
            out[row] = values[queue[head]]


def rolling_max(values: FloatColumn, window: int) -> FloatColumn:
    """Highest of the last ``window`` values, the current one included."""
    out = np.empty(values.shape[0])
    fill_extreme(values, _window(window), 1.0, out, 0)
    return out


def rolling_min(values: FloatColumn, window: int) -> FloatColumn:
    """Lowest of the last ``window`` values, the current one included."""
    out = np.empty(values.shape[0])
    fill_extreme(values, _window(window), -1.0, out, 0)
    return out


@window_kernel
def fill_signed_efficiency(values: FloatColumn, window: int, out: FloatColumn, start: int) -> None:
    """Write the net move over the path of ``window`` steps, in [-1, 1]."""
    n = values.shape[0]
    moves = np.empty(n)
    for row in range(max(1, start - window), n):
        moves[row] = abs(values[row] - values[row - 1])
    for row in range(start, n):
        out[row] = NAN
        if row < window:
            continue
        path = 0.0
        for i in range(row - window + 1, row + 1):
            path += moves[i]
        net = values[row] - values[row - window]
        if path > 0.0:
            out[row] = min(1.0, max(-1.0, net / path))
        elif path == 0.0:
            out[row] = 0.0


def signed_efficiency(values: FloatColumn, window: int) -> FloatColumn:
    """Net move over the sum of absolute moves of ``window`` steps, in [-1, 1]; 0 where flat.

    Its size is Kaufman's efficiency ratio; a random walk's is about 1 / sqrt(window).
    Source: Kaufman, Smarter Trading (1995).
    """
    out = np.empty(values.shape[0])
    fill_signed_efficiency(values, _window(window), out, 0)
    return out


def _window(window: int, *, lowest: int = 1) -> int:
    if window < lowest:
        raise ValueError(f"window must be at least {lowest}, was {window}")
    return window
