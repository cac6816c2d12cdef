"""Running sums of closed trades, compiled: one row of numbers a cut, one ring of recent trades.

The same additions in the same order serve a single new trade and a rebuild of a million, so both
give the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from engine.compiled import kernel

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Columns of a row of sums. COMPENSATION holds what the additions to TOTAL rounded away.
COUNT, WINS, LOSSES, STREAK, WIN_RUN, LOSS_RUN, HOLDING_MS, FEES = range(8)
TOTAL, COMPENSATION, MEAN, SQUARES, DOWN_SQUARES, GAINED, LOST, PEAK, DRAWDOWN = range(8, 17)
BEST, WORST = 17, 18
COUNT_R, TOTAL_R, MEAN_R, SQUARES_R, DOWN_SQUARES_R = range(19, 24)
GAINED_R, LOST_R, PEAK_R, DRAWDOWN_R = range(24, 28)
ROW_WIDTH = 28

# Columns of one trade in a ring. NUMBER counts all trades from 0; R is NaN without a stop.
NUMBER, PNL, FEE, R, HELD_MS = range(5)
RING_WIDTH = 5

# Spreads below this share of the mean are rounding, not variation: a ratio to them is noise.
_NO_SPREAD = 1e-12


@kernel
def _add_money(row: Floats, pnl: float) -> None:
    total = row[TOTAL] + pnl
    if abs(row[TOTAL]) >= abs(pnl):
        row[COMPENSATION] += (row[TOTAL] - total) + pnl
    else:
        row[COMPENSATION] += (pnl - total) + row[TOTAL]
    row[TOTAL] = total
    delta = pnl - row[MEAN]
    row[MEAN] += delta / row[COUNT]
    row[SQUARES] += delta * (pnl - row[MEAN])
    if row[COUNT] == 1.0 or pnl > row[BEST]:
        row[BEST] = pnl
    if row[COUNT] == 1.0 or pnl < row[WORST]:
        row[WORST] = pnl
    standing = total + row[COMPENSATION]
    row[PEAK] = max(row[PEAK], standing)
    row[DRAWDOWN] = max(row[DRAWDOWN], row[PEAK] - standing)


# Written without branches: whether a trade won is a coin toss, and a mispredicted branch a cut
# costs more than all the arithmetic.
@kernel
def _add_sign(row: Floats, pnl: float) -> None:
    won, lost, streak = pnl > 0.0, pnl < 0.0, row[STREAK]
    after_win = streak + 1.0 if streak > 0.0 else 1.0
    after_loss = streak - 1.0 if streak < 0.0 else -1.0
    after_even = 0.0
    streak = after_win if won else (after_loss if lost else after_even)
    row[STREAK] = streak
    row[WIN_RUN] = max(row[WIN_RUN], streak)
    row[LOSS_RUN] = max(row[LOSS_RUN], -streak)
    gain, loss = max(pnl, 0.0), max(-pnl, 0.0)
    row[WINS] += 1.0 if won else 0.0
    row[LOSSES] += 1.0 if lost else 0.0
    row[GAINED] += gain
    row[LOST] += loss
    row[DOWN_SQUARES] += loss * loss


@kernel
def _add_r(row: Floats, r: float) -> None:
    row[COUNT_R] += 1.0
    row[TOTAL_R] += r
    delta = r - row[MEAN_R]
    row[MEAN_R] += delta / row[COUNT_R]
    row[SQUARES_R] += delta * (r - row[MEAN_R])
    gain, loss = max(r, 0.0), max(-r, 0.0)
    row[GAINED_R] += gain
    row[LOST_R] += loss
    row[DOWN_SQUARES_R] += loss * loss
    row[PEAK_R] = max(row[PEAK_R], row[TOTAL_R])
    row[DRAWDOWN_R] = max(row[DRAWDOWN_R], row[PEAK_R] - row[TOTAL_R])


@kernel
def add_to_row(row: Floats, pnl: float, fee: float, r: float, held_ms: float) -> None:
    """Take one trade into one row (ROW_WIDTH,); ``r`` NaN = no stop was set."""
    row[COUNT] += 1.0
    row[FEES] += fee
    row[HOLDING_MS] += held_ms
    _add_money(row, pnl)
    _add_sign(row, pnl)
    if r == r:
        _add_r(row, r)


@kernel
def take_trade(
    rows: Floats,
    rings: Floats,
    cuts: Ints,
    number: float,
    pnl: float,
    fee: float,
    r: float,
    held_ms: float,
) -> None:
    """Take one trade into the rows and rings of its cuts.

    ``rows`` (n_cuts, ROW_WIDTH), ``rings`` (n_cuts, window, RING_WIDTH), ``cuts`` (8,).
    """
    window = rings.shape[1]
    for cut in cuts:
        place = int(rows[cut, COUNT]) % window
        rings[cut, place, NUMBER] = number
        rings[cut, place, PNL] = pnl
        rings[cut, place, FEE] = fee
        rings[cut, place, R] = r
        rings[cut, place, HELD_MS] = held_ms
        add_to_row(rows[cut], pnl, fee, r, held_ms)


@kernel
def take_trades(
    rows: Floats,
    rings: Floats,
    cuts: Ints,
    cell: Ints,
    pnl: Floats,
    fee: Floats,
    r: Floats,
    held_ms: Floats,
) -> None:
    """Take many trades, oldest first; trade t belongs to the cuts ``cuts[cell[t]]``.

    The rows must be empty. Rings are filled from the newest trade back: what a later trade would
    overwrite is never written, which halves the time.
    """
    for t in range(len(pnl)):
        for cut in cuts[cell[t]]:
            add_to_row(rows[cut], pnl[t], fee[t], r[t], held_ms[t])
    n_cuts, window = rings.shape[0], rings.shape[1]
    waiting, oldest = np.zeros(n_cuts, np.int64), np.zeros(n_cuts, np.int64)
    unfilled = 0
    for cut in range(n_cuts):
        waiting[cut] = int(rows[cut, COUNT])
        oldest[cut] = max(waiting[cut] - window, 0)
        unfilled += waiting[cut] - oldest[cut]
    t = len(pnl)
    while unfilled > 0:
        t -= 1
        for cut in cuts[cell[t]]:
            if waiting[cut] > oldest[cut]:
                waiting[cut] -= 1
                unfilled -= 1
                place = waiting[cut] % window
                rings[cut, place, NUMBER] = float(t)
                rings[cut, place, PNL] = pnl[t]
                rings[cut, place, FEE] = fee[t]
                rings[cut, place, R] = r[t]
                rings[cut, place, HELD_MS] = held_ms[t]


@kernel
def fold_ring(ring: Floats, count: int, row: Floats) -> None:
    """Sum the trades of a ring (window, RING_WIDTH), oldest first, into an empty row."""
    window = len(ring)
    kept = min(count, window)
    for k in range(count - kept, count):
        one = ring[k % window]
        add_to_row(row, one[PNL], one[FEE], one[R], one[HELD_MS])


@kernel
def number_cells(key: Ints, table: Ints, cell: Ints) -> int:
    """Number keys by first appearance: ``cell[t]`` for ``key[t]``; return how many there are.

    ``table`` is filled with -1 and indexed by key.
    """
    found = 0
    for t in range(len(key)):
        if table[key[t]] < 0:
            table[key[t]] = found
            found += 1
        cell[t] = table[key[t]]
    return found


@dataclass(frozen=True, slots=True)
class Figures:
    """Closed trades of one cut. Money is net of fees in quote, R is net PnL over stop risk.

    * ``wins`` / ``losses``: trades with PnL above / below 0; ``win_rate`` in [0, 1].
    * ``expectancy``: mean; ``profit_factor``: gains / |losses|, None without a loss.
    * ``sharpe``: mean / standard deviation (n - 1) of the real trades, not annualised;
      ``sortino``: mean / sqrt(mean(min(x, 0)^2)). None below two trades or without spread (for
      Sortino: without a loss).
    * ``max_drawdown``: largest fall of the cumulated figure from its running peak (>= 0), >= 0.
    * ``streak``: trailing run, > 0 wins, < 0 losses, 0 after a trade with PnL 0.
    * ``..._r``: over the ``count_r`` trades that had a stop.

    A figure that its trades do not define is None, never 0, infinity or NaN.
    """

    count: int
    wins: int
    losses: int
    pnl_quote: float
    fees_quote: float
    win_rate: float | None
    expectancy_quote: float | None
    profit_factor: float | None
    sharpe: float | None
    sortino: float | None
    max_drawdown_quote: float
    best_quote: float | None
    worst_quote: float | None
    average_win_quote: float | None
    average_loss_quote: float | None
    count_r: int
    total_r: float
    expectancy_r: float | None
    deviation_r: float | None
    profit_factor_r: float | None
    sharpe_r: float | None
    sortino_r: float | None
    gained_r: float
    lost_r: float
    max_drawdown_r: float
    streak: int
    longest_win_streak: int
    longest_loss_streak: int
    average_holding_ms: float | None


def figures_of(row: Floats) -> Figures:
    """Read one row of sums (ROW_WIDTH,)."""
    v: list[float] = row.tolist()
    count, count_r = int(v[COUNT]), int(v[COUNT_R])
    return Figures(
        count=count,
        wins=int(v[WINS]),
        losses=int(v[LOSSES]),
        pnl_quote=v[TOTAL] + v[COMPENSATION],
        fees_quote=v[FEES],
        win_rate=_ratio(v[WINS], count),
        expectancy_quote=_ratio(v[TOTAL] + v[COMPENSATION], count),
        profit_factor=_ratio(v[GAINED], v[LOST]),
        sharpe=_sharpe(count, v[MEAN], v[SQUARES]),
        sortino=_sortino(count, v[MEAN], v[DOWN_SQUARES]),
        max_drawdown_quote=v[DRAWDOWN],
        best_quote=v[BEST] if count else None,
        worst_quote=v[WORST] if count else None,
        average_win_quote=_ratio(v[GAINED], v[WINS]),
        average_loss_quote=_ratio(-v[LOST], v[LOSSES]),
        count_r=count_r,
        total_r=v[TOTAL_R],
        expectancy_r=v[MEAN_R] if count_r else None,
        deviation_r=sqrt(v[SQUARES_R] / (count_r - 1)) if count_r > 1 else None,
        profit_factor_r=_ratio(v[GAINED_R], v[LOST_R]),
        sharpe_r=_sharpe(count_r, v[MEAN_R], v[SQUARES_R]),
        sortino_r=_sortino(count_r, v[MEAN_R], v[DOWN_SQUARES_R]),
        gained_r=v[GAINED_R],
        lost_r=v[LOST_R],
        max_drawdown_r=v[DRAWDOWN_R],
        streak=int(v[STREAK]),
        longest_win_streak=int(v[WIN_RUN]),
        longest_loss_streak=int(v[LOSS_RUN]),
        average_holding_ms=_ratio(v[HOLDING_MS], count),
    )


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _sharpe(count: int, mean: float, squares: float) -> float | None:
    if count < 2:
        return None
    deviation = sqrt(squares / (count - 1))
    return mean / deviation if deviation > _NO_SPREAD * abs(mean) else None


def _sortino(count: int, mean: float, down_squares: float) -> float | None:
    # the quotient, not the sum: the smallest losses vanish in it
    downside = sqrt(down_squares / count) if count >= 2 else 0.0
    return mean / downside if downside > 0.0 else None
