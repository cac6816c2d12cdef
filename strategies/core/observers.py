"""What rules and the order book notice and others should know (ORC-82).

Each reads columns or the book of the bar and keeps nothing: what it left is on the board until it
expires, in venue time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine import shared_columns
from engine.ports import InsightSource
from engine.types.bars import BoolColumn, ColumnStore, IntColumn, Snapshot
from engine.types.learned import Insight
from engine.types.opinions import Missing, OrderFlowView
from strategies.core.rules.assembly import delayed


@dataclass(frozen=True, slots=True)
class FailedBreakout:
    """Range reversion tells breakout that a close beyond the channel did not hold.

    Within ``back_within_bars`` of a close beyond the ``channel_bars`` channel the close is inside
    again. ``value`` is +1 where the upper edge failed, -1 where the lower did.
    """

    channel_bars: int = 48
    back_within_bars: int = 3
    holds_bars: int = 12
    trust: float = 0.5

    @property
    def code(self) -> str:
        return "range-reversion"

    @property
    def reads_book(self) -> bool:
        return False

    def insights(
        self, snapshot: Snapshot, order_flow: OrderFlowView | Missing
    ) -> Sequence[Insight]:
        failed = snapshot.store.get(("failed breakout", self), self._failed)[snapshot.row]
        if failed == 0:
            return ()
        event, edge = snapshot.event, "above" if failed > 0 else "below"
        return (
            Insight(
                source=self.code,
                kind="BREAKOUT_FAILED",
                value=float(failed),
                text=f"a close {edge} the {self.channel_bars}-bar channel did not hold",
                at_ms=event.ts_ms,
                expires_ms=event.ts_ms + self.holds_bars * snapshot.store.bars.timeframe_ms,
                symbol=event.symbol,
                about="breakout",
                direction=-int(failed),
                trust=self.trust,
            ),
        )

    def may_notice(self, store: ColumnStore) -> BoolColumn:
        failed: BoolColumn = store.get(("failed breakout", self), self._failed) != 0
        return failed

    def _failed(self, store: ColumnStore) -> IntColumn:
        """Return +1 / -1 on bars on which an upper / lower breakout has just failed, (n_bars,)."""
        close = store.bars.close
        top = delayed(shared_columns.highest(store, self.channel_bars))
        bottom = delayed(shared_columns.lowest(store, self.channel_bars))
        upper = _back_inside(close > top, top - close, self.back_within_bars, top)
        lower = _back_inside(close < bottom, close - bottom, self.back_within_bars, -bottom)
        return upper.astype(np.int64) - lower.astype(np.int64)


def _back_inside(
    broke: np.ndarray[tuple[int], np.dtype[np.bool_]],
    inside_by: np.ndarray[tuple[int], np.dtype[np.float64]],
    within: int,
    edge: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    n = broke.shape[0]
    failed = np.zeros(n, dtype=np.bool_)
    for back in range(1, min(within, n - 1) + 1):
        # the edge that was broken, not the one the break has moved
        beyond = inside_by[back:] + (edge[:-back] - edge[back:])
        failed[back:] |= broke[:-back] & (beyond > 0.0)
    # told on its first bar only
    fresh = failed.copy()
    fresh[1:] &= ~failed[:-1]
    return fresh


@dataclass(frozen=True, slots=True)
class OneSidedBook:
    """Microstructure tells everybody that one side of the book is nearly empty."""

    limit: float = 0.7
    holds_bars: int = 3
    trust: float = 0.8

    @property
    def code(self) -> str:
        return "microstructure"

    @property
    def reads_book(self) -> bool:
        return True

    def insights(
        self, snapshot: Snapshot, order_flow: OrderFlowView | Missing
    ) -> Sequence[Insight]:
        if isinstance(order_flow, Missing) or abs(order_flow.imbalance) < self.limit:
            return ()
        event, imbalance = snapshot.event, order_flow.imbalance
        return (
            Insight(
                source=self.code,
                kind="BOOK_ONE_SIDED",
                value=imbalance,
                text=f"the book leans one way, imbalance {imbalance:+.2f}",
                at_ms=event.ts_ms,
                expires_ms=event.ts_ms + self.holds_bars * snapshot.store.bars.timeframe_ms,
                symbol=event.symbol,
                direction=1 if imbalance > 0.0 else -1,
                trust=self.trust,
            ),
        )

    def may_notice(self, store: ColumnStore) -> None:
        return None


def observers() -> tuple[InsightSource, ...]:
    """Return everybody who leaves insights, in declared order."""
    return (FailedBreakout(), OneSidedBook())
