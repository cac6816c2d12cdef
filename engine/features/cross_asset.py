"""Cross-asset: this symbol against the run's reference symbol, all 0 where there is none.

The reference is read as it was known when the bar opened, so pairs of returns are those of the
same spell: ours of the last bar, theirs of the bar that closed with it.
"""

from __future__ import annotations

import numpy as np

from engine import shared_columns, windows
from engine.compiled import window_kernel
from engine.features.inputs import Matrix, reference_log_close, reference_returns
from engine.types.bars import ColumnStore, FloatColumn

NAMES = (
    "reference_return_1_z",
    "reference_return_8_z",
    "reference_beta_64",
    "reference_correlation_64",
    "relative_strength_16_z",
    "reference_spread_z_48",
    "reference_volatility_ratio_32",
)
STILL = shared_columns.STILL_FRACTION
WINDOW = 64


def write(store: ColumnStore, first: int, last: int, out: Matrix, column: int) -> None:
    """Write rows ``first`` to ``last`` (excluded) of this category from ``column`` on.

    Rows whose 65 reference closes are not all known are 0, never NaN: a second symbol that is
    young or silent is no reason to wait with the first.
    """
    if store.reference is None:
        out[:, column : column + len(NAMES)] = 0.0
        return
    _rows(
        shared_columns.log_close(store),
        shared_columns.log_returns(store),
        reference_log_close(store),
        reference_returns(store),
        first,
        last,
        out,
        column,
    )


def has_reference(store: ColumnStore, row: int) -> bool:
    """True where the cross-asset features of a row come from a reference."""
    if store.reference is None or row < WINDOW:
        return False
    return bool(np.isfinite(reference_log_close(store)[row - WINDOW]))


@window_kernel
def _rows(
    log_close: FloatColumn,
    returns: FloatColumn,
    their_close: FloatColumn,
    their_returns: FloatColumn,
    first: int,
    last: int,
    out: Matrix,
    column: int,
) -> None:
    for row in range(first, last):
        at = row - first
        # known once, known ever after: the oldest close tells for all
        if np.isnan(their_close[row - 64]):
            for i in range(7):
                out[at, column + i] = 0.0
            continue
        theirs = windows.root_mean_square(their_returns, row, 64)
        ours = windows.root_mean_square(returns, row - 1, 64)
        out[at, column] = windows.ratio(their_returns[row], theirs, STILL)
        eight = their_close[row] - their_close[row - 8]
        out[at, column + 1] = windows.ratio(eight, 2.8284271247461903 * theirs, STILL)
        related = windows.correlation(returns, row - 1, their_returns, row, 64)
        beta = windows.ratio(related * ours, theirs, STILL)
        out[at, column + 2] = beta
        out[at, column + 3] = 2.0 * related
        moved = log_close[row - 1] - log_close[row - 17]
        excess = moved - beta * (their_close[row] - their_close[row - 16])
        out[at, column + 4] = windows.ratio(excess, 4.0 * ours, STILL)
        out[at, column + 5] = _spread_score(log_close, their_close, row, 48)
        our_32 = windows.root_mean_square(returns, row - 1, 32)
        their_32 = windows.root_mean_square(their_returns, row, 32)
        if our_32 > STILL and their_32 > STILL:
            out[at, column + 6] = windows.log_ratio(our_32, their_32)
        else:
            out[at, column + 6] = 0.0


@window_kernel
def _spread_score(log_close: FloatColumn, their_close: FloatColumn, row: int, window: int) -> float:
    # z-score of ln(ours / theirs) within the window
    origin = log_close[row - 1] - their_close[row]
    first, second = 0.0, 0.0
    for i in range(row - window + 1, row + 1):
        spread = log_close[i - 1] - their_close[i] - origin
        first += spread
        second += spread * spread
    mean = first / window
    variance = second / window - mean * mean
    if variance <= STILL * STILL:
        return 0.0
    return float(-mean / np.sqrt(variance))
