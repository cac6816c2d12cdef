"""Rejoin a strong move after it has paused: impulse, pullback, break."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine import shared_columns
from engine.compiled import kernel
from engine.types.bars import BoolColumn, ColumnStore, FloatColumn
from engine.types.conditions import Condition, Setup, Wants
from engine.types.opinions import Regime, RuleColumns, Side
from strategies.core.errors import StrategyError
from strategies.core.rules.assembly import (
    ATR_SPAN,
    MAX_WINDOW,
    assemble,
    check_at_least,
    check_within,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuationParams:
    """Retracements are fractions of the impulse; ``break_bars`` of the pullback must be beaten."""

    impulse_bars: int = 10
    impulse_atr: float = 3.5
    min_retrace: float = 0.2
    max_retrace: float = 0.62
    max_pullback_bars: int = 20
    break_bars: int = 3
    stop_atr: float = 0.5
    reward_to_risk: float = 1.5

    def __post_init__(self) -> None:
        check_within("impulse_bars", self.impulse_bars, 2, MAX_WINDOW)
        check_at_least("impulse_atr", self.impulse_atr, 0.5)
        check_within("min_retrace", self.min_retrace, 0.01, 0.99)
        check_within("max_retrace", self.max_retrace, 0.01, 0.99)
        if self.min_retrace >= self.max_retrace:
            raise StrategyError(
                f"min_retrace must be below max_retrace {self.max_retrace}, was {self.min_retrace}"
            )
        check_within("max_pullback_bars", self.max_pullback_bars, 2, MAX_WINDOW)
        check_within("break_bars", self.break_bars, 1, MAX_WINDOW)
        check_at_least("stop_atr", self.stop_atr, 0.0)
        check_at_least("reward_to_risk", self.reward_to_risk, 0.1)


@dataclass(frozen=True, slots=True)
class Continuation:
    """The stop lies under the pullback, the target is a multiple of that risk.

    No pullback, no entry: where none forms within ``max_pullback_bars`` the impulse is forgotten.
    """

    params: ContinuationParams = field(default_factory=ContinuationParams)

    @property
    def code(self) -> str:
        return "continuation"

    @property
    def favourable_regimes(self) -> frozenset[Regime]:
        return frozenset({Regime.TRENDING, Regime.VOLATILE})

    @property
    def warm_up_bars(self) -> int:
        p = self.params
        return max(p.impulse_bars, p.break_bars, ATR_SPAN) + 2

    def columns(self, store: ColumnStore) -> RuleColumns:
        """Return the rule's columns; see RuleColumns."""
        p, bars = self.params, store.bars
        reach = shared_columns.floored_atr(store, ATR_SPAN)
        up, down = self._both(store)
        long, long_low, long_lean, long_failed, _, _ = up
        short, short_low, short_lean, short_failed, _, _ = down
        side = np.where(long & short, 0, long.astype(np.int64) - short.astype(np.int64))
        stop = np.where(side > 0, long_low, -short_low) - side * p.stop_atr * reach
        strength = np.where(side > 0, long_lean, short_lean)
        return assemble(
            store,
            side=side,
            lean=0.04 * (long_lean - short_lean),
            confidence=0.5 + 0.3 * strength,
            stop_price=stop,
            target_price=bars.close + p.reward_to_risk * (bars.close - stop),
            exit_long=long_failed | (short & ~long),
            exit_short=short_failed | (long & ~short),
            ready=~np.isnan(reach),
        )

    def setups(self, store: ColumnStore, row: int) -> tuple[Setup, ...]:
        """Return impulse, pullback and break of either side at ``row`` (>= warm_up_bars)."""
        p, bars = self.params, store.bars
        reach = max(float(shared_columns.floored_atr(store, ATR_SPAN)[row]), 1e-12)
        first = row - p.impulse_bars + 1
        up, down = self._both(store)
        sides = {
            Side.BUY: (up, float(bars.close[row]), float(bars.low[first : row + 1].min())),
            Side.SELL: (down, -float(bars.close[row]), -float(bars.high[first : row + 1].max())),
        }
        found: list[Setup] = []
        for side, (breaks, close, lowest) in sides.items():
            depth, recent = float(breaks[4][row]), float(breaks[5][row])
            # NaN = no impulse was waiting for its pullback when this bar came
            is_waiting = depth == depth
            moved = Condition(
                "impulse", (close - lowest) / reach, Wants.AT_LEAST, p.impulse_atr, "ATR"
            )
            seen = Condition("impulses waiting", 1.0, Wants.AT_LEAST, 1.0)
            pulled = depth if is_waiting else None
            found.append(
                Setup(
                    "break of a pullback",
                    side,
                    (
                        seen if is_waiting else moved,
                        Condition(
                            "pullback", pulled, Wants.AT_LEAST, p.min_retrace, "of the impulse", 0.2
                        ),
                        Condition(
                            "break of the last highs"
                            if side is Side.BUY
                            else "break of the last lows",
                            (close - recent) / reach if is_waiting else None,
                            Wants.ABOVE,
                            0.0,
                            "ATR",
                        ),
                    ),
                )
            )
        return tuple(found)

    def _both(self, store: ColumnStore) -> tuple[_Breaks, _Breaks]:
        """Return what became of rising and of falling impulses, once a store."""
        p, bars = self.params, store.bars
        limits = (
            p.impulse_bars,
            p.impulse_atr,
            p.min_retrace,
            p.max_retrace,
            p.max_pullback_bars,
            p.break_bars,
        )

        def compute(_: ColumnStore) -> tuple[_Breaks, _Breaks]:
            reach = shared_columns.floored_atr(store, ATR_SPAN)
            # A falling impulse is a rising one in the mirror.
            return (
                _breaks(bars.high, bars.low, bars.close, reach, *limits),
                _breaks(-bars.low, -bars.high, -bars.close, reach, *limits),
            )

        return store.get(("continuation", *limits), compute)


_Breaks = tuple[BoolColumn, FloatColumn, FloatColumn, BoolColumn, FloatColumn, FloatColumn]


@kernel
def _breaks(
    high: FloatColumn,
    low: FloatColumn,
    close: FloatColumn,
    reach: FloatColumn,
    impulse_bars: int,
    impulse_atr: float,
    min_retrace: float,
    max_retrace: float,
    max_pullback: int,
    break_bars: int,
) -> _Breaks:
    """Return breaks, the pullback's low, lean in [0, 1], pullbacks that went too deep, and of an
    impulse that waited when the bar came its pullback's depth and the high to beat (else NaN)."""
    n = close.shape[0]
    broke = np.zeros(n, dtype=np.bool_)
    pullback_low = np.full(n, np.nan)
    lean = np.zeros(n)
    failed = np.zeros(n, dtype=np.bool_)
    depths, to_beat = np.full(n, np.nan), np.full(n, np.nan)
    active = False
    start, peak, peak_at, bottom = 0.0, 0.0, 0, 0.0
    broke_at, strength = -1, 0.0
    for row in range(max(impulse_bars, break_bars), n):
        if active and row > peak_at:
            bottom = min(bottom, low[row])
            depth = (peak - bottom) / (peak - start)
            recent = high[row - break_bars]
            for i in range(row - break_bars + 1, row):
                recent = max(recent, high[i])
            if depth > max_retrace:
                active = False
                failed[row] = True
                broke_at = -1
            elif row - peak_at > max_pullback:
                active = False
            else:
                depths[row], to_beat[row] = depth, recent
            if active and depth >= min_retrace and close[row] > recent:
                active = False
                broke[row] = True
                pullback_low[row] = bottom
                broke_at = row
                strength = 1.0 - depth
            elif active and high[row] > peak:
                # It went on without a pause; a fresh impulse is looked for below.
                active = False
        if broke_at >= 0 and row - broke_at < max_pullback:
            lean[row] = strength * (1.0 - (row - broke_at) / max_pullback)
        if reach[row] > 0.0 and not broke[row]:
            lowest, highest = low[row - impulse_bars + 1], high[row - impulse_bars + 1]
            for i in range(row - impulse_bars + 2, row + 1):
                lowest = min(lowest, low[i])
                highest = max(highest, high[i])
            if high[row] >= highest and close[row] - lowest >= impulse_atr * reach[row]:
                active = True
                start, peak, peak_at, bottom = lowest, high[row], row, close[row]
    return broke, pullback_low, lean, failed, depths, to_beat
