"""Join a close beyond the channel of the last bars when volume and range expand with it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine import indicators, shared_columns
from engine.types.bars import ColumnStore
from engine.types.conditions import Condition, Setup, Wants
from engine.types.opinions import Regime, RuleColumns, Side
from strategies.core.rules.assembly import (
    ATR_SPAN,
    MAX_WINDOW,
    assemble,
    check_at_least,
    check_within,
    delayed,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakoutParams:
    """``volume_surge`` and ``range_surge`` are multiples of usual; both must be met."""

    channel_bars: int = 32
    exit_bars: int = 12
    volume_bars: int = 48
    volume_surge: float = 1.25
    range_surge: float = 1.25
    stop_atr: float = 2.0
    target_atr: float = 3.0

    def __post_init__(self) -> None:
        check_within("channel_bars", self.channel_bars, 4, MAX_WINDOW)
        check_within("exit_bars", self.exit_bars, 2, MAX_WINDOW)
        check_within("volume_bars", self.volume_bars, 4, MAX_WINDOW)
        check_at_least("volume_surge", self.volume_surge, 0.1)
        check_at_least("range_surge", self.range_surge, 0.1)
        check_at_least("stop_atr", self.stop_atr, 0.1)
        check_at_least("target_atr", self.target_atr, 0.1)


@dataclass(frozen=True, slots=True)
class Breakout:
    """It leaves when the close falls back through the shorter channel on the other side."""

    params: BreakoutParams = field(default_factory=BreakoutParams)

    @property
    def code(self) -> str:
        return "breakout"

    @property
    def favourable_regimes(self) -> frozenset[Regime]:
        return frozenset({Regime.VOLATILE, Regime.TRENDING})

    @property
    def warm_up_bars(self) -> int:
        p = self.params
        return max(p.channel_bars + 1, p.exit_bars + 1, p.volume_bars, ATR_SPAN + 1)

    def columns(self, store: ColumnStore) -> RuleColumns:
        """Return the rule's columns; see RuleColumns."""
        p, bars = self.params, store.bars
        close = bars.close
        # The channel ends one bar ago: a bar cannot break out of its own range.
        top = delayed(shared_columns.highest(store, p.channel_bars))
        bottom = delayed(shared_columns.lowest(store, p.channel_bars))
        reach = shared_columns.floored_atr(store, ATR_SPAN)
        volume = indicators.ratio(bars.volume, shared_columns.mean_volume(store, p.volume_bars))
        spread = indicators.true_range(bars.high, bars.low, close)
        expansion = np.minimum(
            volume / p.volume_surge, indicators.ratio(spread, delayed(reach)) / p.range_surge
        )
        expanded = expansion >= 1.0
        above, below = close > top, close < bottom
        fresh_up = above & ~(delayed(close) > delayed(top))
        fresh_down = below & ~(delayed(close) < delayed(bottom))
        long, short = fresh_up & expanded, fresh_down & expanded
        side = long.astype(np.int64) - short.astype(np.int64)
        beyond = np.where(above, close - top, np.where(below, close - bottom, 0.0))
        thrust = indicators.ratio(beyond, reach) * np.minimum(expansion, 2.0)
        lean = 0.05 * np.tanh(thrust)
        exit_long = close < delayed(shared_columns.lowest(store, p.exit_bars))
        exit_short = close > delayed(shared_columns.highest(store, p.exit_bars))
        return assemble(
            store,
            side=side,
            lean=lean,
            confidence=0.5 + 0.4 * np.tanh(np.abs(thrust)),
            stop_price=close - side * p.stop_atr * reach,
            target_price=close + side * p.target_atr * reach,
            exit_long=exit_long,
            exit_short=exit_short,
            ready=~np.isnan(delayed(top) + volume + delayed(reach)),
        )

    def setups(self, store: ColumnStore, row: int) -> tuple[Setup, ...]:
        """Return the break of either edge, with its numbers at ``row`` (>= warm_up_bars)."""
        p, bars = self.params, store.bars
        edges = {
            Side.BUY: shared_columns.highest(store, p.channel_bars),
            Side.SELL: shared_columns.lowest(store, p.channel_bars),
        }
        ranges = shared_columns.floored_atr(store, ATR_SPAN)
        reach, before = max(float(ranges[row]), 1e-12), max(float(ranges[row - 1]), 1e-12)
        mean = max(float(shared_columns.mean_volume(store, p.volume_bars)[row]), 1e-12)
        last_close = float(bars.close[row - 1])
        spread = max(float(bars.high[row]), last_close) - min(float(bars.low[row]), last_close)
        expansion = (
            Condition(
                "volume over usual", float(bars.volume[row]) / mean, Wants.AT_LEAST, p.volume_surge
            ),
            Condition("range over usual", spread / before, Wants.AT_LEAST, p.range_surge),
        )
        return tuple(
            Setup(
                "break",
                side,
                (
                    Condition(
                        "close beyond the channel",
                        side.sign * float(bars.close[row] - edge[row - 1]) / reach,
                        Wants.ABOVE,
                        0.0,
                        "ATR",
                    ),
                    Condition(
                        "last close beyond its channel",
                        side.sign * float(last_close - edge[row - 2]) / reach,
                        Wants.AT_MOST,
                        0.0,
                        "ATR",
                    ),
                    *expansion,
                ),
            )
            for side, edge in edges.items()
        )
