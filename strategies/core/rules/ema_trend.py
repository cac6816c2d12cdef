"""Follow the trend: enter on a cross of two exponential means or on a pullback that turns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine import shared_columns
from engine.compiled import kernel
from engine.types.bars import BoolColumn, ColumnStore, FloatColumn, IntColumn
from engine.types.conditions import Condition, Setup, Wants
from engine.types.opinions import Regime, RuleColumns, Side
from strategies.core.errors import StrategyError
from strategies.core.rules.assembly import (
    ATR_SPAN,
    MAX_EMA_SPAN,
    assemble,
    check_at_least,
    check_within,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmaTrendParams:
    """``min_gap_atr``: a pullback counts only while the means are this far apart."""

    fast_span: int = 12
    slow_span: int = 48
    stop_atr: float = 2.0
    target_atr: float = 3.0
    min_gap_atr: float = 1.5

    def __post_init__(self) -> None:
        check_within("fast_span", self.fast_span, 2, MAX_EMA_SPAN)
        check_within("slow_span", self.slow_span, 2, MAX_EMA_SPAN)
        if self.fast_span >= self.slow_span:
            raise StrategyError(
                f"fast_span must be below slow_span {self.slow_span}, was {self.fast_span}"
            )
        check_at_least("stop_atr", self.stop_atr, 0.1)
        check_at_least("target_atr", self.target_atr, 0.1)
        check_at_least("min_gap_atr", self.min_gap_atr, 0.0)


@dataclass(frozen=True, slots=True)
class EmaTrend:
    """The gap of the means in ATR is the opinion; it leaves on the opposite cross."""

    params: EmaTrendParams = field(default_factory=EmaTrendParams)

    @property
    def code(self) -> str:
        return "ema-trend"

    @property
    def favourable_regimes(self) -> frozenset[Regime]:
        return frozenset({Regime.TRENDING})

    @property
    def warm_up_bars(self) -> int:
        return max(self.params.slow_span, ATR_SPAN) + 1

    def columns(self, store: ColumnStore) -> RuleColumns:
        """Return the rule's columns; see RuleColumns."""
        p, bars = self.params, store.bars
        fast = shared_columns.ema(store, p.fast_span)
        slow = shared_columns.ema(store, p.slow_span)
        gap = shared_columns.per_atr(store, fast - slow, ATR_SPAN)
        side, crossed_up, crossed_down, ready = _signals(
            bars.open, bars.close, fast, slow, gap, p.min_gap_atr
        )
        reach = shared_columns.floored_atr(store, ATR_SPAN)
        lean = 0.05 * np.tanh(gap / 2.0)
        return assemble(
            store,
            side=side,
            lean=lean,
            confidence=0.5 + 0.4 * np.tanh(np.abs(gap) / 2.0),
            stop_price=bars.close - side * p.stop_atr * reach,
            target_price=bars.close + side * p.target_atr * reach,
            exit_long=crossed_down,
            exit_short=crossed_up,
            ready=ready,
        )

    def setups(self, store: ColumnStore, row: int) -> tuple[Setup, ...]:
        """Return both sides' two ways in, with their numbers at ``row`` (>= warm_up_bars)."""
        p, bars = self.params, store.bars
        fast = shared_columns.ema(store, p.fast_span)
        slow = shared_columns.ema(store, p.slow_span)
        gaps = shared_columns.per_atr(store, fast - slow, ATR_SPAN)
        reach = max(float(shared_columns.floored_atr(store, ATR_SPAN)[row]), 1e-12)
        gap, before = float(gaps[row]), float(gaps[row - 1])

        def in_atr(distance: float) -> float:
            return float(distance) / reach

        found: list[Setup] = []
        for side in (Side.BUY, Side.SELL):
            sign = side.sign
            cross = (
                Condition("gap of the means", sign * gap, Wants.ABOVE, 0.0, "ATR"),
                Condition("gap one bar ago", sign * before, Wants.AT_MOST, 0.0, "ATR"),
            )
            pullback = (
                Condition("gap of the means", sign * gap, Wants.ABOVE, p.min_gap_atr, "ATR"),
                Condition(
                    "pullback beyond the fast mean",
                    sign * in_atr(fast[row - 1] - bars.close[row - 1]),
                    Wants.ABOVE,
                    0.0,
                    "ATR",
                ),
                Condition(
                    "close back over the fast mean",
                    sign * in_atr(bars.close[row] - fast[row]),
                    Wants.ABOVE,
                    0.0,
                    "ATR",
                ),
                Condition(
                    "body of the bar",
                    sign * in_atr(bars.close[row] - bars.open[row]),
                    Wants.ABOVE,
                    0.0,
                    "ATR",
                ),
                Condition(
                    "slope of the slow mean",
                    sign * in_atr(slow[row] - slow[row - 1]),
                    Wants.ABOVE,
                    0.0,
                    "ATR",
                ),
            )
            found += [Setup("cross", side, cross), Setup("pullback", side, pullback)]
        return tuple(found)


@kernel
def _signals(
    opened: FloatColumn,
    close: FloatColumn,
    fast: FloatColumn,
    slow: FloatColumn,
    gap: FloatColumn,
    min_gap_atr: float,
) -> tuple[IntColumn, BoolColumn, BoolColumn, BoolColumn]:
    """Return the side, both crosses, and where the gap one bar ago is known; NaN compares False.

    A pullback: the last close was beyond the fast mean, this one is back on the trend's side.
    """
    n = close.shape[0]
    side = np.zeros(n, dtype=np.int64)
    crossed_up, crossed_down = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    ready = np.zeros(n, dtype=np.bool_)
    for row in range(1, n):
        before = row - 1
        ready[row] = not np.isnan(gap[before])
        crossed_up[row] = gap[row] > 0.0 and gap[before] <= 0.0
        crossed_down[row] = gap[row] < 0.0 and gap[before] >= 0.0
        turned_up = close[before] < fast[before] and close[row] > fast[row]
        turned_down = close[before] > fast[before] and close[row] < fast[row]
        rising, falling = slow[row] > slow[before], slow[row] < slow[before]
        long = crossed_up[row] or (
            turned_up and close[row] > opened[row] and rising and gap[row] > min_gap_atr
        )
        short = crossed_down[row] or (
            turned_down and close[row] < opened[row] and falling and gap[row] < -min_gap_atr
        )
        side[row] = int(long) - int(short)
    return side, crossed_up, crossed_down, ready
