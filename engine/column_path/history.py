"""Bars with what every rule over them shares: phase 1 as a session's blocks give it, and warmth."""

from __future__ import annotations

from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.column_path.grid import NotCovered
from engine.column_path.state import Market
from engine.features import feature_rows
from engine.features.inputs import LOOK_BACK_BARS
from engine.market_columns import market_columns
from engine.quality import validate_columns
from engine.types.bars import BarColumns, ColumnStore
from engine.types.opinions import LEVELS, REGIMES, MarketView, Missing
from engine.window import HistoryWindow

# From here on every feature of a market that is ready has all the bars it reads: a window of
# LOOK_BACK_BARS of columns that need fewer bars than that themselves.
WARM_ROW = 2 * LOOK_BACK_BARS
# Volumes between this and its inverse are summed, multiplied and cut as decimals without loss.
_MOST_VOLUME = 1e15
_NO_FLOW = Missing("no trade flow")


class History:
    """Bars with what every rule over them shares. Rows before ``first_row`` are only looked back
    on; phase 1 is computed once, whatever the number of rules, in the blocks of a session.

    ``is_sound`` is False where a bar before ``first_row``, of which a session asks nothing, or an
    absurd volume makes sums over the past doubtful.

    Raises:
        NotCovered: the session would refuse some of the bars.
    """

    def __init__(self, bars: BarColumns, first_row: int) -> None:
        refused = validate_columns(bars.rows(max(0, first_row - 1), len(bars)))
        if refused:
            row = refused[0][0] + max(0, first_row - 1)
            at_ms = int(bars.ts_ms[row]) + bars.timeframe_ms
            raise NotCovered(f"a bar is refused: {refused[0][1].text}", at_ms)
        self.bars, self.first_row = bars, first_row
        self.is_sound = not validate_columns(bars.rows(0, first_row)) and _plausible(bars)
        codes, ready = np.zeros((5, len(bars)), dtype=np.int16), np.zeros(len(bars), dtype=np.bool_)
        for store, first in HistoryWindow(bars, first_row).stores():
            found, rows = market_columns(store), slice(first, first + len(store.bars))
            parts = (found.regime, found.risk, found.dwell_bars, found.volatility, found.liquidity)
            for part, column in zip(codes, parts, strict=True):
                part[rows] = column
            ready[rows] = found.ready
        self._volatility, self._liquidity = codes[3], codes[4]
        self.market = Market(
            plain(bars.ts_ms),
            plain(bars.open),
            plain(bars.high),
            plain(bars.low),
            plain(bars.close),
            plain(bars.volume),
            plain(codes[0]),
            plain(codes[1]),
            plain(codes[2]),
            plain(ready),
        )
        self._prefix = ColumnStore(bars.rows(0, WARM_ROW))

    def close_ms(self, row: int) -> int:
        return int(self.bars.ts_ms[row]) + self.bars.timeframe_ms

    def view(self, row: int) -> MarketView:
        """Return phase 1 of a row that is ready. Probabilities and deviation are not kept (NaN): no
        gate and no size reads them."""
        return MarketView(
            REGIMES[self.market.regime[row]],
            (nan, nan, nan, nan),
            nan,
            LEVELS[self._volatility[row]],
            LEVELS[self._liquidity[row]],
            _NO_FLOW,
            LEVELS[self.market.risk[row]],
            int(self.market.dwell_bars[row]),
        )

    def is_warm(self, row: int) -> bool:
        """True where all features of a row are warm; asked where the market is ready."""
        if self.is_sound and row >= WARM_ROW:
            return True
        if row >= len(self._prefix.bars):
            # a column looks back only, so the first rows tell of themselves
            self._prefix = ColumnStore(self.bars.rows(0, 2 * row))
        return bool(feature_rows(self._prefix, row, row + 1).ready[0])


def _plausible(bars: BarColumns) -> bool:
    volume: Any = bars.volume
    usual = (volume <= _MOST_VOLUME) & ((volume == 0.0) | (volume >= 1.0 / _MOST_VOLUME))
    return bool(usual.all() and (bars.low >= 1.0 / _MOST_VOLUME).all())


def plain(column: npt.NDArray[Any]) -> Any:
    """Return a column as a read-only block, so that one compiled walk serves them all."""
    block = np.ascontiguousarray(column).view()
    block.setflags(write=False)
    return block
