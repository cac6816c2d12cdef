"""Statistics of an equity curve, each new point in constant time.

A figure that its data does not define is None, never 0, infinity or NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from engine.series import Series

YEAR_MS = 365.25 * 86_400_000


@dataclass(frozen=True, slots=True)
class EquityStatistics:
    """An equity curve; returns are those of one step each, deposits taken out.

    * ``total_return_fraction``: product of (1 + return) - 1 (time-weighted).
    * ``sharpe``: mean / standard deviation (n - 1) of returns * sqrt(steps a year), risk-free rate
      0; ``sortino``: mean / sqrt(mean(min(return, 0)^2)) * sqrt(steps a year). Steps a year =
      365.25 days over the mean step really seen. None below two returns or without spread.
    * ``max_drawdown_fraction``: largest fall of the time-weighted index from its running peak, in
      [0, 1]; ``longest_drawdown_ms``: longest time below a peak, the open one included.
    * ``max_exposure_fraction``: largest exposure / equity seen; None without a positive equity.
    """

    steps: int
    total_return_fraction: float | None
    sharpe: float | None
    sortino: float | None
    max_drawdown_fraction: float
    longest_drawdown_ms: int
    max_exposure_fraction: float | None


class EquityStats:
    """Accumulator over equity points; several points of one time count as the last of them."""

    __slots__ = (
        "_deposits",
        "_exposure",
        "_index",
        "_last",
        "_longest_ms",
        "_max_drawdown",
        "_now",
        "_peak",
        "_peak_ms",
        "_returns",
        "_start_ms",
    )

    def __init__(self) -> None:
        self._returns = Series()
        self._last: tuple[int, float] | None = None  # the point before the current time
        self._now: tuple[int, float] | None = None
        self._deposits = 0.0
        self._exposure: float | None = None
        self._index = 1.0
        self._peak = 1.0
        self._peak_ms = 0
        self._start_ms = 0
        self._max_drawdown = 0.0
        self._longest_ms = 0

    def add(self, ts_ms: int, equity: float, exposure: float = 0.0, deposit: float = 0.0) -> None:
        """Take in one point; ``deposit`` came in (or went out, < 0) since the point before.

        Raises:
            ValueError: time went back, or a number is not finite.
        """
        if not (equity - equity == 0.0 and deposit - deposit == 0.0 and exposure - exposure == 0.0):
            raise ValueError(f"equity and deposit must be finite, was {equity} and {deposit}")
        if self._now is None:
            self._start_ms = self._peak_ms = ts_ms
        elif ts_ms < self._now[0]:
            raise ValueError(f"equity points must not go back, last was {self._now[0]}")
        elif ts_ms > self._now[0]:
            self._settle()
        self._now = (ts_ms, equity)
        self._deposits += deposit
        if equity > 0.0:
            share = exposure / equity
            self._exposure = share if self._exposure is None else max(self._exposure, share)

    def _settle(self) -> None:
        """Turn the step that ended at the current time into a return."""
        now, last = self._now, self._last
        if now is not None and last is not None and last[1] > 0.0:
            change = (now[1] - self._deposits) / last[1] - 1.0
            self._returns.add(change)
            self._index *= 1.0 + change
            self._follow_peak(now[0])
        self._last, self._deposits = now, 0.0

    def _follow_peak(self, ts_ms: int) -> None:
        if self._index >= self._peak:
            self._peak, self._peak_ms = self._index, ts_ms
            return
        self._max_drawdown = max(self._max_drawdown, min(1.0 - self._index / self._peak, 1.0))
        self._longest_ms = max(self._longest_ms, ts_ms - self._peak_ms)

    def statistics(self) -> EquityStatistics:
        """The figures so far, the current time included."""
        view = self._copy()
        view._settle()
        returns = view._returns
        steps_a_year = None
        if view._now is not None and returns.count:
            steps_a_year = returns.count * YEAR_MS / (view._now[0] - view._start_ms)
        return EquityStatistics(
            steps=returns.count,
            total_return_fraction=view._index - 1.0 if returns.count else None,
            sharpe=_annual(returns.sharpe(), steps_a_year),
            sortino=_annual(returns.sortino(), steps_a_year),
            max_drawdown_fraction=view._max_drawdown,
            longest_drawdown_ms=view._longest_ms,
            max_exposure_fraction=view._exposure,
        )

    def _copy(self) -> EquityStats:
        twin = EquityStats()
        for name in EquityStats.__slots__:
            setattr(twin, name, getattr(self, name))
        twin._returns = Series()
        for name in Series.__slots__:
            setattr(twin._returns, name, getattr(self._returns, name))
        return twin


def _annual(ratio: float | None, steps_a_year: float | None) -> float | None:
    return ratio * sqrt(steps_a_year) if ratio is not None and steps_a_year is not None else None
