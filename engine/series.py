"""Moments of a stream of numbers, each new one in constant time.

A figure that its data does not define is None, never 0, infinity or NaN.
"""

from __future__ import annotations

from math import sqrt

# Spreads below this share of the mean are rounding, not variation: a ratio to them is noise.
_NO_SPREAD = 1e-12


class Series:
    """Mean, spread, downside and drawdown of a stream of numbers (Welford's recurrence)."""

    __slots__ = ("count", "down_squares", "drawdown", "mean", "peak", "squares", "total")

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.squares = 0.0
        self.down_squares = 0.0
        self.total = 0.0
        self.peak = 0.0
        self.drawdown = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        delta = value - self.mean
        self.mean += delta / self.count
        self.squares += delta * (value - self.mean)
        if value < 0.0:
            self.down_squares += value * value
        self.total += value
        if self.total > self.peak:
            self.peak = self.total
        elif self.peak - self.total > self.drawdown:
            self.drawdown = self.peak - self.total

    def mean_or_none(self) -> float | None:
        return self.mean if self.count else None

    def sharpe(self) -> float | None:
        if self.count < 2:
            return None
        deviation = sqrt(self.squares / (self.count - 1))
        return self.mean / deviation if deviation > _NO_SPREAD * abs(self.mean) else None

    def sortino(self) -> float | None:
        if self.count < 2 or self.down_squares == 0.0:
            return None
        return self.mean / sqrt(self.down_squares / self.count)
