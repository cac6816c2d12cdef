"""Trade the first return into a gap that three bars left behind."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine import shared_columns
from engine.compiled import kernel
from engine.types.bars import BoolColumn, ColumnStore, FloatColumn
from engine.types.conditions import Condition, Setup, Wants
from engine.types.opinions import Regime, RuleColumns, Side
from strategies.core.rules.assembly import (
    ATR_SPAN,
    MAX_WINDOW,
    assemble,
    check_at_least,
    check_within,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FairValueGapParams:
    """``opinion_bars``: how long a touch goes on leaning the probability, fading to nothing."""

    min_gap_atr: float = 0.5
    max_age_bars: int = 60
    opinion_bars: int = 12
    stop_atr: float = 0.5
    reward_to_risk: float = 1.5

    def __post_init__(self) -> None:
        check_at_least("min_gap_atr", self.min_gap_atr, 0.0)
        check_within("max_age_bars", self.max_age_bars, 1, MAX_WINDOW)
        check_within("opinion_bars", self.opinion_bars, 1, MAX_WINDOW)
        check_at_least("stop_atr", self.stop_atr, 0.0)
        check_at_least("reward_to_risk", self.reward_to_risk, 0.1)


@dataclass(frozen=True, slots=True)
class FairValueGap:
    """A bullish gap lies between the high two bars ago and the low of now, a bearish one between
    the low two bars ago and the high of now.

    Price comes back into a bullish gap from above, so its filling is measured from the upper
    edge: the first touch reads 0, a close below the lower edge ends the gap. Only the newest gap
    of each direction counts.
    """

    params: FairValueGapParams = field(default_factory=FairValueGapParams)

    @property
    def code(self) -> str:
        return "fair-value-gap"

    @property
    def favourable_regimes(self) -> frozenset[Regime]:
        return frozenset({Regime.TRENDING, Regime.VOLATILE})

    @property
    def warm_up_bars(self) -> int:
        return ATR_SPAN + 3

    def columns(self, store: ColumnStore) -> RuleColumns:
        """Return the rule's columns; see RuleColumns."""
        p, bars = self.params, store.bars
        reach = shared_columns.floored_atr(store, ATR_SPAN)
        up, down = self._touches(store)
        long, long_edge, long_fill, long_lean, long_over, _ = up
        short, short_edge, short_fill, short_lean, short_over, _ = down
        # Touching both at once says nothing.
        side = np.where(long & short, 0, long.astype(np.int64) - short.astype(np.int64))
        edge = np.where(side > 0, long_edge, -short_edge)
        stop = edge - side * p.stop_atr * reach
        fill = np.where(side > 0, long_fill, short_fill)
        return assemble(
            store,
            side=side,
            lean=0.05 * (long_lean - short_lean),
            confidence=0.75 - 0.25 * fill,
            stop_price=stop,
            target_price=bars.close + p.reward_to_risk * (bars.close - stop),
            exit_long=long_over | (short & ~long),
            exit_short=short_over | (long & ~short),
            ready=~np.isnan(reach),
        )

    def setups(self, store: ColumnStore, row: int) -> tuple[Setup, ...]:
        """Return the touch of a waiting gap of either direction at ``row`` (>= warm_up_bars)."""
        reach = float(shared_columns.floored_atr(store, ATR_SPAN)[row])
        up, down = self._touches(store)
        nearest = {
            Side.BUY: (float(up[5][row]), float(store.bars.low[row])),
            Side.SELL: (float(down[5][row]), -float(store.bars.high[row])),
        }
        return tuple(
            Setup(
                "first return into a gap",
                side,
                (
                    Condition("gaps waiting", float(edge == edge), Wants.AT_LEAST, 1.0),
                    Condition(
                        "distance to the gap",
                        (price - edge) / reach if edge == edge and reach > 0.0 else None,
                        Wants.AT_MOST,
                        0.0,
                        "ATR",
                    ),
                ),
            )
            for side, (edge, price) in nearest.items()
        )

    def _touches(self, store: ColumnStore) -> tuple[_Touches, _Touches]:
        """Return what happened to bullish and to bearish gaps, once a store."""
        p, bars = self.params, store.bars
        limits = (p.min_gap_atr, p.max_age_bars, p.opinion_bars)

        def compute(_: ColumnStore) -> tuple[_Touches, _Touches]:
            reach = shared_columns.floored_atr(store, ATR_SPAN)
            # A bearish gap is a bullish one in the mirror, so one loop serves both.
            return (
                _first_touches(bars.high, bars.low, bars.close, reach, *limits),
                _first_touches(-bars.low, -bars.high, -bars.close, reach, *limits),
            )

        return store.get(("fair_value_gap", *limits), compute)


_Touches = tuple[BoolColumn, FloatColumn, FloatColumn, FloatColumn, BoolColumn, FloatColumn]


@kernel
def _first_touches(
    high: FloatColumn,
    low: FloatColumn,
    close: FloatColumn,
    reach: FloatColumn,
    min_gap_atr: float,
    max_age: int,
    opinion_bars: int,
) -> _Touches:
    """Return touched, lower edge, filled fraction, lean in [0, 1], closed-through flags, and the
    upper edge of the gap that waited for its first touch when the bar came (NaN: none did)."""
    n = close.shape[0]
    touched = np.zeros(n, dtype=np.bool_)
    edge = np.full(n, np.nan)
    filled = np.zeros(n)
    lean = np.zeros(n)
    over = np.zeros(n, dtype=np.bool_)
    waiting = np.full(n, np.nan)
    top, bottom, born, touched_at = 0.0, 0.0, -1, -1
    for row in range(2, n):
        if born >= 0:
            if close[row] < bottom:
                over[row] = True
                born, touched_at = -1, -1
            elif touched_at < 0 and row - born > max_age:
                born = -1
            elif touched_at < 0:
                waiting[row] = top
            if born >= 0 and touched_at < 0 and low[row] <= top:
                touched[row] = True
                edge[row] = bottom
                filled[row] = min(1.0, (top - low[row]) / (top - bottom))
                touched_at = row
            if touched_at >= 0 and row - touched_at >= opinion_bars:
                born, touched_at = -1, -1
            elif touched_at >= 0:
                lean[row] = 1.0 - (row - touched_at) / opinion_bars
        size = low[row] - high[row - 2]
        if size > 0.0 and reach[row] > 0.0 and size >= min_gap_atr * reach[row]:
            top, bottom, born, touched_at = low[row], high[row - 2], row, -1
    return touched, edge, filled, lean, over, waiting
