"""What the feature kernels read besides the bars themselves: one value a bar, computed once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine import indicators, shared_columns, windows
from engine.compiled import kernel
from engine.types.bars import BarColumns, ColumnStore, FloatColumn

Matrix = npt.NDArray[np.float64]

# Rows that every kernel may look back on, its own row included.
LOOK_BACK_BARS = 67
ATR_SPAN = 14
VOLATILITY_WINDOW = 32

_PARTS = (
    "log_range",
    "log_middle",
    "high_low_spread",
    "illiquidity",
    "signed_root_value",
    "signed_volume",
    "bulk_volume",
)


def locked(store: ColumnStore) -> BarColumns:
    """Return the bars as read-only views, so that a kernel is compiled for one kind of array."""
    return store.get(("locked_bars",), _locked)


def _locked(store: ColumnStore) -> BarColumns:
    bars = store.bars.rows(0, len(store.bars))
    for column in (bars.ts_ms, bars.open, bars.high, bars.low, bars.close, bars.volume):
        column.setflags(write=False)
    return bars


def part(store: ColumnStore, name: str) -> FloatColumn:
    """Return one column of what a bar says about trading; NaN where it needs an earlier bar.

    ``log_range`` ln(high / low); ``log_middle`` mean of ln(high) and ln(low); ``high_low_spread``
    of this bar and the last (Corwin, Schultz 2012, eq. 14 and 18, negative set to 0);
    ``illiquidity`` absolute log return over value traded (Amihud 2002), 0 without trade;
    ``signed_root_value`` root of value traded with the sign of the body; ``signed_volume`` volume
    with the sign of the return; ``bulk_volume`` volume times 2 F(return / deviation) - 1, F normal
    (Easley, Lopez de Prado, O'Hara 2012).
    """
    column: FloatColumn = store.column(("bar_parts",), _fill_parts, parts=len(_PARTS))[
        _PARTS.index(name)
    ]
    return column


def _fill_parts(store: ColumnStore, out: Matrix, start: int) -> None:
    bars = locked(store)
    returns = shared_columns.log_returns(store)
    usual = shared_columns.return_std(store, VOLATILITY_WINDOW)
    _write_spreads(bars.high, bars.low, out, start)
    _write_flows(bars.open, bars.close, bars.volume, returns, usual, out, start)


@kernel
def _write_spreads(high: FloatColumn, low: FloatColumn, out: Matrix, start: int) -> None:
    root = 3.0 - 2.0 * np.sqrt(2.0)
    for row in range(start, high.shape[0]):
        width = np.log(high[row] / low[row])
        out[0, row] = width
        out[1, row] = 0.5 * (np.log(high[row]) + np.log(low[row]))
        out[2, row] = np.nan
        if row == 0:
            continue
        before = np.log(high[row - 1] / low[row - 1])
        both = np.log(max(high[row], high[row - 1]) / min(low[row], low[row - 1]))
        beta = width * width + before * before
        alpha = (np.sqrt(2.0 * beta) - np.sqrt(beta)) / root - np.sqrt(both * both / root)
        out[2, row] = max(0.0, 2.0 * (np.exp(alpha) - 1.0) / (1.0 + np.exp(alpha)))


@kernel
def _write_flows(
    opened: FloatColumn,
    close: FloatColumn,
    volume: FloatColumn,
    returns: FloatColumn,
    usual: FloatColumn,
    out: Matrix,
    start: int,
) -> None:
    for row in range(start, close.shape[0]):
        value = close[row] * volume[row]
        out[3, row] = abs(returns[row]) / value if value > 0.0 else 0.0
        out[4, row] = np.sign(close[row] - opened[row]) * np.sqrt(value)
        out[5, row] = np.sign(returns[row]) * volume[row]
        if usual[row] > shared_columns.STILL_FRACTION:
            share = 2.0 * windows.normal_share(returns[row] / usual[row]) - 1.0
            out[6, row] = share * volume[row]
        else:
            out[6, row] = usual[row] if np.isnan(usual[row]) else 0.0


def atr(store: ColumnStore) -> FloatColumn:
    """Average true range, 0 where the market stands still."""
    return shared_columns.floored_atr(store, ATR_SPAN)


# -- the reference symbol --------------------------------------------------------------------------


def reference_log_close(store: ColumnStore) -> FloatColumn:
    """Return ln of the reference's last close that was known when each bar OPENED, NaN where none.

    That is strictly before the bar's own trading: whether the reference's bar of the same minute
    arrives before or after this one changes nothing.
    """

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        bars, other = s.bars, s.reference
        out[start:] = np.nan
        if other is None or len(other) == 0:
            return
        known = np.searchsorted(other.ts_ms, bars.ts_ms[start:] - other.timeframe_ms, "right") - 1
        rows = np.flatnonzero(known >= 0)
        out[start + rows] = np.log(other.close[known[rows]])

    return shared_columns.shared(store, ("reference_log_close",), fill)


def reference_returns(store: ColumnStore) -> FloatColumn:
    """Return the change of ``reference_log_close`` from bar to bar."""

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        indicators.fill_change(reference_log_close(s), out, start)

    return shared_columns.shared(store, ("reference_returns",), fill)
