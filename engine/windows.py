"""Statistics of one row's own window, for kernels that walk over rows.

Each looks at the ``window`` values that end at ``row`` (and, where it says so, the one before
them), in one fixed order: the same rows give the same bits in a short history and a long one.
Nothing here checks that the window lies within the array; the caller begins at a row that has it.
"""

from __future__ import annotations

from math import erf, sqrt

import numpy as np

from engine.compiled import window_kernel
from engine.types.bars import FloatColumn

# Deviations below this part of the largest value are rounding, and so would be any ratio to them.
ROUNDING = 1e-12


@window_kernel
def total(values: FloatColumn, row: int, window: int) -> float:
    """Sum of the window."""
    result = 0.0
    for i in range(row - window + 1, row + 1):
        result += values[i]
    return result


@window_kernel
def deviation(values: FloatColumn, row: int, window: int) -> float:
    """Population standard deviation; exactly 0 where the values are equal."""
    oldest = row - window + 1
    origin = values[oldest]
    sum_ = 0.0
    for i in range(oldest, row + 1):
        sum_ += values[i] - origin
    mean = sum_ / window
    squares = 0.0
    for i in range(oldest, row + 1):
        distance = values[i] - origin - mean
        squares += distance * distance
    return sqrt(squares / window)


@window_kernel
def root_mean_square(values: FloatColumn, row: int, window: int) -> float:
    """Root of the mean square: the deviation of values whose mean is taken as 0."""
    squares = 0.0
    for i in range(row - window + 1, row + 1):
        squares += values[i] * values[i]
    return sqrt(squares / window)


@window_kernel
def slope(values: FloatColumn, row: int, window: int) -> float:
    """Least-squares slope a step, in units of the values."""
    oldest = row - window + 1
    middle = (window - 1) / 2.0
    origin = values[oldest]
    sum_ = 0.0
    for i in range(window):
        sum_ += (i - middle) * (values[oldest + i] - origin)
    return sum_ / (window * (window * window - 1.0) / 12.0)


@window_kernel
def moments(values: FloatColumn, row: int, window: int) -> tuple[float, float]:
    """Skewness and kurtosis (3 = Gaussian); 0 where the values are equal."""
    oldest = row - window + 1
    mean = total(values, row, window) / window
    second, third, fourth, largest = 0.0, 0.0, 0.0, 0.0
    for i in range(oldest, row + 1):
        d = values[i] - mean
        square = d * d
        second += square
        third += square * d
        fourth += square * square
        largest = max(largest, abs(values[i]))
    second, third, fourth = second / window, third / window, fourth / window
    # Equal values leave a variance of rounding size; its higher moments would be noise.
    if second <= (ROUNDING * largest) ** 2:
        return 0.0, 0.0
    return third / (second * sqrt(second)), fourth / (second * second)


@window_kernel
def correlation(
    left: FloatColumn, left_row: int, right: FloatColumn, right_row: int, window: int
) -> float:
    """Correlation of two windows in [-1, 1]; 0 where either is constant."""
    mean_left = total(left, left_row, window) / window
    mean_right = total(right, right_row, window) / window
    cross, own_left, own_right = 0.0, 0.0, 0.0
    for i in range(window):
        x = left[left_row - i] - mean_left
        y = right[right_row - i] - mean_right
        cross += x * y
        own_left += x * x
        own_right += y * y
    floor = ROUNDING * ROUNDING * window
    if own_left <= floor * mean_left * mean_left or own_right <= floor * mean_right * mean_right:
        return 0.0
    if own_left * own_right <= 0.0:
        return 0.0
    return min(1.0, max(-1.0, cross / sqrt(own_left * own_right)))


@window_kernel
def autocorrelation(values: FloatColumn, row: int, window: int) -> float:
    """Lag-one autocorrelation within the window, in [-1, 1]; 0 where the values are equal."""
    oldest = row - window + 1
    mean = total(values, row, window) / window
    own, cross, largest = 0.0, 0.0, 0.0
    for i in range(oldest, row + 1):
        own += (values[i] - mean) * (values[i] - mean)
        largest = max(largest, abs(values[i]))
    for i in range(oldest + 1, row + 1):
        cross += (values[i] - mean) * (values[i - 1] - mean)
    return cross / own if own > window * (ROUNDING * largest) ** 2 else 0.0


@window_kernel
def log_ratio(numerator: float, denominator: float) -> float:
    """ln(numerator / denominator); 0 where either is not above 0."""
    if numerator > 0.0 and denominator > 0.0:
        return float(np.log(numerator / denominator))
    return 0.0


@window_kernel
def ratio(numerator: float, denominator: float, floor: float) -> float:
    """numerator / denominator; 0 where the denominator is at or below ``floor``."""
    return numerator / denominator if denominator > floor else 0.0


@window_kernel
def normal_share(value: float) -> float:
    """Probability that a standard normal variable lies below ``value``."""
    return 0.5 * (1.0 + erf(value / 1.4142135623730951))
