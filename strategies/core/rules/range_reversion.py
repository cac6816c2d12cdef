"""Fade the edges of a range: buy its oversold floor, sell its overbought ceiling."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine import indicators, shared_columns
from engine.types.bars import ColumnStore
from engine.types.conditions import Condition, Setup, Wants
from engine.types.opinions import Regime, RuleColumns, Side
from strategies.core.rules.assembly import (
    ATR_SPAN,
    MAX_EMA_SPAN,
    MAX_WINDOW,
    assemble,
    check_at_least,
    check_within,
    delayed,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeReversionParams:
    """``edge_fraction`` of the range counts as its edge; above ``max_efficiency`` (Kaufman's
    ratio times the root of its window, 1 = a random walk) it is a trend and left alone."""

    range_bars: int = 48
    rsi_span: int = 14
    oversold_rsi: float = 35.0
    edge_fraction: float = 0.2
    max_efficiency: float = 1.6
    stop_atr: float = 1.5
    min_reward: float = 0.8

    def __post_init__(self) -> None:
        check_within("range_bars", self.range_bars, 4, MAX_WINDOW)
        check_within("rsi_span", self.rsi_span, 2, MAX_EMA_SPAN)
        check_within("oversold_rsi", self.oversold_rsi, 1.0, 49.0)
        check_within("edge_fraction", self.edge_fraction, 0.01, 0.45)
        check_at_least("max_efficiency", self.max_efficiency, 0.1)
        check_at_least("stop_atr", self.stop_atr, 0.1)
        check_at_least("min_reward", self.min_reward, 0.0)


@dataclass(frozen=True, slots=True)
class RangeReversion:
    """Target is the middle of the range; the stop lies beyond its edge."""

    params: RangeReversionParams = field(default_factory=RangeReversionParams)

    @property
    def code(self) -> str:
        return "range-reversion"

    @property
    def favourable_regimes(self) -> frozenset[Regime]:
        return frozenset({Regime.RANGING, Regime.QUIET})

    @property
    def warm_up_bars(self) -> int:
        return max(self.params.range_bars, self.params.rsi_span + 1, ATR_SPAN) + 1

    def columns(self, store: ColumnStore) -> RuleColumns:
        """Return the rule's columns; see RuleColumns."""
        p, close = self.params, store.bars.close
        high = shared_columns.highest(store, p.range_bars)
        low = shared_columns.lowest(store, p.range_bars)
        middle = (high + low) / 2.0
        floor = shared_columns.STILL_FRACTION * close
        # -1 on the floor of the range, +1 on its ceiling.
        place = 2.0 * indicators.ratio(close - middle, high - low, floor=floor)
        strength = shared_columns.rsi(store, p.rsi_span)
        trend = np.abs(shared_columns.signed_efficiency(store, p.range_bars))
        ranging = trend * np.sqrt(p.range_bars) <= p.max_efficiency
        edge = 1.0 - 2.0 * p.edge_fraction
        # The turn counts, not the fall: the last bar stood at the edge, this one closes inwards.
        was_low = (delayed(place) < -edge) & (delayed(strength) < p.oversold_rsi)
        was_high = (delayed(place) > edge) & (delayed(strength) > 100.0 - p.oversold_rsi)
        reach = shared_columns.floored_atr(store, ATR_SPAN)
        long = was_low & (close > delayed(close)) & ranging
        short = was_high & (close < delayed(close)) & ranging
        side = long.astype(np.int64) - short.astype(np.int64)
        stop = np.where(side > 0, np.minimum(low, close - reach), np.maximum(high, close + reach))
        stop = stop - side * (p.stop_atr - 1.0) * reach
        reward, risk = np.abs(middle - close), np.abs(close - stop)
        side = np.where(reward >= p.min_reward * risk, side, 0)
        push = 0.5 * -place + 0.5 * (50.0 - strength) / 25.0
        # Bars lean back from an extreme in a trend as well; only entries are left to ranges.
        lean = 0.06 * np.tanh(push)
        return assemble(
            store,
            side=side,
            lean=lean,
            confidence=0.5 + 0.3 * np.abs(np.tanh(push)),
            stop_price=stop,
            target_price=middle,
            exit_long=place >= 0.5,
            exit_short=place <= -0.5,
            ready=~np.isnan(delayed(place) + delayed(strength) + trend),
        )

    def setups(self, store: ColumnStore, row: int) -> tuple[Setup, ...]:
        """Return the turn at either edge, with its numbers at ``row`` (>= warm_up_bars)."""
        p, close = self.params, store.bars.close
        high = float(shared_columns.highest(store, p.range_bars)[row])
        low = float(shared_columns.lowest(store, p.range_bars)[row])
        middle, price = (high + low) / 2.0, float(close[row])
        reach = float(shared_columns.floored_atr(store, ATR_SPAN)[row])
        strength = float(shared_columns.rsi(store, p.rsi_span)[row - 1])
        trend = abs(float(shared_columns.signed_efficiency(store, p.range_bars)[row]))
        efficiency = trend * float(np.sqrt(p.range_bars))
        place = self._place_before(store, row)
        edge = 1.0 - 2.0 * p.edge_fraction
        found: list[Setup] = []
        for side in (Side.BUY, Side.SELL):
            sign = side.sign
            beyond = min(low, price - reach) if sign > 0 else max(high, price + reach)
            risk = abs(price - (beyond - sign * (p.stop_atr - 1.0) * reach))
            rsi = strength if sign > 0 else 100.0 - strength
            moved = sign * float(price - close[row - 1]) / max(reach, 1e-12)
            found.append(
                Setup(
                    "turn at the edge",
                    side,
                    (
                        Condition(
                            "place in the range one bar ago", -sign * place, Wants.ABOVE, edge
                        ),
                        Condition("RSI one bar ago", rsi, Wants.BELOW, p.oversold_rsi, "", 10.0),
                        Condition("close turned inwards", moved, Wants.ABOVE, 0.0, "ATR"),
                        Condition(
                            "efficiency of the move", efficiency, Wants.AT_MOST, p.max_efficiency
                        ),
                        Condition(
                            "reward over risk",
                            abs(middle - price) / max(risk, 1e-12),
                            Wants.AT_LEAST,
                            p.min_reward,
                        ),
                    ),
                )
            )
        return tuple(found)

    def _place_before(self, store: ColumnStore, row: int) -> float:
        """Return where the last bar closed in its range: -1 on the floor, +1 on the ceiling."""
        bars = self.params.range_bars
        high = float(shared_columns.highest(store, bars)[row - 1])
        low = float(shared_columns.lowest(store, bars)[row - 1])
        close = float(store.bars.close[row - 1])
        width = high - low
        if not width > shared_columns.STILL_FRACTION * close:
            return 0.0
        return 2.0 * (close - (high + low) / 2.0) / width
