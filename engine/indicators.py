"""Causal columns: every function maps (n,) to (n,), and row t depends on rows up to t only.

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
def _recursive_mean(values: FloatColumn, alpha: float, warm_up: int) -> FloatColumn:
    n = values.shape[0]
    out = np.full(n, NAN)
    first = _first_finite(values)
    if first >= n:
        return out
    level = values[first]
    for row in range(first, n):
        level += alpha * (values[row] - level)
        if row - first + 1 >= warm_up:
            out[row] = level
    return out


def ema(values: FloatColumn, span: int) -> FloatColumn:
    """Exponential mean with weight 2 / (span + 1), begun at the first value; warm after span."""
    return _recursive_mean(values, 2.0 / (_window(span) + 1.0), span)


def wilder_mean(values: FloatColumn, span: int) -> FloatColumn:
    """Exponential mean with weight 1 / span. Source: Wilder, New Concepts (1978)."""
    return _recursive_mean(values, 1.0 / _window(span), span)


@window_kernel
def _rolling_mean(values: FloatColumn, window: int) -> FloatColumn:
    n = values.shape[0]
    out = np.full(n, NAN)
    for row in range(window - 1, n):
        total = 0.0
        for i in range(row - window + 1, row + 1):
            total += values[i]
        out[row] = total / window
    return out


def sma(values: FloatColumn, window: int) -> FloatColumn:
    """Arithmetic mean of the last ``window`` values."""
    return _rolling_mean(values, _window(window))


@window_kernel
def _rolling_std(values: FloatColumn, window: int) -> FloatColumn:
    n = values.shape[0]
    out = np.full(n, NAN)
    for row in range(window - 1, n):
        start = row - window + 1
        # Relative to the oldest value: a constant window then gives exactly 0.
        origin = values[start]
        total = 0.0
        for i in range(start, row + 1):
            total += values[i] - origin
        mean = total / window
        squares = 0.0
        for i in range(start, row + 1):
            distance = values[i] - origin - mean
            squares += distance * distance
        out[row] = np.sqrt(squares / window)
    return out


def rolling_std(values: FloatColumn, window: int) -> FloatColumn:
    """Population standard deviation of the last ``window`` values; 0 where they are equal."""
    return _rolling_std(values, _window(window))


def zscore(values: FloatColumn, window: int) -> FloatColumn:
    """(value - mean) / standard deviation of its own window; 0 where the window is constant."""
    mean, deviation = sma(values, window), rolling_std(values, window)
    # Below rounding of the values themselves a deviation is noise, and so would be the ratio.
    return ratio(values - mean, deviation, floor=1e-12 * np.abs(mean))


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


def true_range(high: FloatColumn, low: FloatColumn, close: FloatColumn) -> FloatColumn:
    """Range of the bar including the gap from the previous close; the first row is high - low."""
    out = high - low
    if out.shape[0] > 1:
        previous = close[:-1]
        out[1:] = np.maximum(high[1:], previous) - np.minimum(low[1:], previous)
    return out


def atr(high: FloatColumn, low: FloatColumn, close: FloatColumn, span: int = 14) -> FloatColumn:
    """Average true range in quote units, Wilder's recursion. Source: Wilder (1978)."""
    return wilder_mean(true_range(high, low, close), span)


def rsi(close: FloatColumn, span: int = 14) -> FloatColumn:
    """Relative strength index in [0, 100]; 50 where nothing moves. Source: Wilder (1978)."""
    change = np.full(close.shape[0], NAN)
    change[1:] = np.diff(close)
    gain = wilder_mean(np.maximum(change, 0.0), span)
    loss = wilder_mean(np.maximum(-change, 0.0), span)
    # A market that stopped leaves vanishing gains and losses whose ratio means nothing.
    share = ratio(gain, gain + loss, floor=1e-12 * close)
    moving = (gain + loss) > 1e-12 * close
    out = np.where(moving, 100.0 * share, 50.0)
    out[np.isnan(share)] = NAN
    return out


@kernel
def _rolling_extreme(values: FloatColumn, window: int, sign: float) -> FloatColumn:
    # Monotonic queue in a ring: every row enters and leaves once.
    n = values.shape[0]
    out = np.full(n, NAN)
    queue = np.empty(window, dtype=np.int64)
    head, size = 0, 0
    first = _first_finite(values)
    for row in range(first, n):
        if size > 0 and queue[head] <= row - window:
            head = (head + 1) % window
            size -= 1
        while size > 0 and sign * values[queue[(head + size - 1) % window]] <= sign * values[row]:
            size -= 1
        queue[(head + size) % window] = row
        size += 1
        if row - first + 1 >= window:
            out[row] = values[queue[head]]
    return out


def rolling_max(values: FloatColumn, window: int) -> FloatColumn:
    """Highest of the last ``window`` values, the current one included."""
    return _rolling_extreme(values, _window(window), 1.0)


def rolling_min(values: FloatColumn, window: int) -> FloatColumn:
    """Lowest of the last ``window`` values, the current one included."""
    return _rolling_extreme(values, _window(window), -1.0)


@window_kernel
def _net_over_path(values: FloatColumn, window: int) -> FloatColumn:
    n = values.shape[0]
    out = np.full(n, NAN)
    moves = np.empty(n)
    if n > 0:
        moves[0] = NAN
    for row in range(1, n):
        moves[row] = abs(values[row] - values[row - 1])
    for row in range(window, n):
        path = 0.0
        for i in range(row - window + 1, row + 1):
            path += moves[i]
        net = values[row] - values[row - window]
        if path > 0.0:
            out[row] = net / path
        elif path == 0.0:
            out[row] = 0.0
    return out


def signed_efficiency(values: FloatColumn, window: int) -> FloatColumn:
    """Net move over the sum of absolute moves of ``window`` steps, in [-1, 1]; 0 where flat.

    Its size is Kaufman's efficiency ratio; a random walk's is about 1 / sqrt(window).
    Source: Kaufman, Smarter Trading (1995).
    """
    return np.clip(_net_over_path(values, _window(window)), -1.0, 1.0)


def efficiency_ratio(values: FloatColumn, window: int) -> FloatColumn:
    """Kaufman's efficiency ratio in [0, 1]; 1 = a straight line, 0 where flat."""
    return np.abs(signed_efficiency(values, window))


@window_kernel
def _rolling_slope(values: FloatColumn, window: int) -> FloatColumn:
    n = values.shape[0]
    out = np.full(n, NAN)
    middle = (window - 1) / 2.0
    spread = window * (window * window - 1.0) / 12.0
    for row in range(window - 1, n):
        start = row - window + 1
        origin = values[start]
        total = 0.0
        for i in range(window):
            total += (i - middle) * (values[start + i] - origin)
        out[row] = total / spread
    return out


def linear_slope(values: FloatColumn, window: int) -> FloatColumn:
    """Least-squares slope per bar over the last ``window`` values, in units of the values.

    Raises:
        ValueError: the window is below 2.
    """
    return _rolling_slope(values, _window(window, lowest=2))


@window_kernel
def _signed_volume_share(close: FloatColumn, volume: FloatColumn, window: int) -> FloatColumn:
    n = close.shape[0]
    out = np.full(n, NAN)
    signed = np.zeros(n)
    for row in range(1, n):
        signed[row] = np.sign(close[row] - close[row - 1]) * volume[row]
    for row in range(window, n):
        net, total = 0.0, 0.0
        for i in range(row - window + 1, row + 1):
            net += signed[i]
            total += volume[i]
        out[row] = net / total if total > 0.0 else 0.0
    return out


def on_balance_volume_share(close: FloatColumn, volume: FloatColumn, window: int) -> FloatColumn:
    """Volume of rising less falling bars over all volume of ``window`` bars, in [-1, 1].

    On-balance volume itself sums from the first bar on and so never forgets; this is its change
    over the window as a share. 0 where nothing traded. Source: Granville (1963), windowed.
    """
    return _signed_volume_share(close, volume, _window(window))


@window_kernel
def _rolling_moments(values: FloatColumn, window: int, power: int) -> FloatColumn:
    n = values.shape[0]
    out = np.full(n, NAN)
    for row in range(window - 1, n):
        start = row - window + 1
        total = 0.0
        for i in range(start, row + 1):
            total += values[i]
        mean = total / window
        second, higher, largest = 0.0, 0.0, 0.0
        for i in range(start, row + 1):
            d = values[i] - mean
            second += d * d
            higher += d * d * d if power == 3 else d * d * d * d
            largest = max(largest, abs(values[i]))
        second, higher = second / window, higher / window
        if np.isnan(second):
            continue
        # Equal values leave a variance of rounding size; its third moment would be noise.
        if second <= (1e-12 * largest) ** 2:
            out[row] = 0.0
        else:
            out[row] = higher / second ** (power / 2.0)
    return out


def rolling_skewness(values: FloatColumn, window: int) -> FloatColumn:
    """Third standardised moment of the last ``window`` values; 0 where they are equal."""
    return _rolling_moments(values, _window(window), 3)


def rolling_kurtosis(values: FloatColumn, window: int) -> FloatColumn:
    """Fourth standardised moment (3 = Gaussian); 0 where the values are equal."""
    return _rolling_moments(values, _window(window), 4)


@window_kernel
def _rolling_autocorrelation(values: FloatColumn, window: int) -> FloatColumn:
    n = values.shape[0]
    out = np.full(n, NAN)
    for row in range(window - 1, n):
        start = row - window + 1
        total = 0.0
        for i in range(start, row + 1):
            total += values[i]
        mean = total / window
        own, cross, largest = 0.0, 0.0, 0.0
        for i in range(start, row + 1):
            own += (values[i] - mean) * (values[i] - mean)
            largest = max(largest, abs(values[i]))
        for i in range(start + 1, row + 1):
            cross += (values[i] - mean) * (values[i - 1] - mean)
        if np.isnan(own):
            continue
        out[row] = cross / own if own > window * (1e-12 * largest) ** 2 else 0.0
    return out


def rolling_autocorrelation(values: FloatColumn, window: int) -> FloatColumn:
    """Lag-one autocorrelation within the last ``window`` values, in [-1, 1]; 0 where equal."""
    return _rolling_autocorrelation(values, _window(window, lowest=2))


def _window(window: int, *, lowest: int = 1) -> int:
    if window < lowest:
        raise ValueError(f"window must be at least {lowest}, was {window}")
    return window
