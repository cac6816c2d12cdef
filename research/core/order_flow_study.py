"""How much of a price move does the flow of orders explain, and does it foretell any? (ORC-09)

Regressions of the middle's change on order-flow imbalance over intervals of event time (D-53):
with intercept, nothing trimmed, intervals on the clock's own grid. Samples longer than half an
hour are fitted half hour by half hour and averaged, as in the paper.
Source: Cont, Kukanov, Stoikov (2014); several levels and their first principal component:
Cont, Cucuringu, Zhang (2023), "Cross-impact of order flow imbalance in equity markets".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.types.bars import FloatColumn, IntColumn
from research.core.order_books import BookTape, Matrix, net_flow

HORIZONS_S = (1, 5, 10, 30)
HEADLINE_S = 10
SECTION_S = 1_800
# R2 of one useless regressor stays below this over n in 95 of 100 samples (chi-squared, 1 df)
_CHANCE = 3.84


@dataclass(frozen=True, slots=True)
class Trades:
    """Public trades in time order, each (n_trades,); ``sign`` is +1 where the taker bought."""

    ts_ms: IntColumn
    price: FloatColumn
    qty: FloatColumn
    sign: FloatColumn


@dataclass(frozen=True, slots=True)
class HorizonStudy:
    """One interval length. R2 in sample unless its name says otherwise; None = cannot be told.

    ``ofi_r2`` is of the best level, every change an event; ``netted`` of the flow between the
    books of consecutive messages; ``multi_level`` of all levels at once, ``integrated`` of their
    first principal component. ``predictive_r2`` is out of sample: fitted on the first half,
    judged on the second, one interval ahead, against the first half's mean.
    """

    horizon_s: int
    n: int
    ofi_r2: float | None
    ofi_netted_r2: float | None
    trade_imbalance_r2: float | None
    both_r2: float | None
    multi_level_r2: float | None
    multi_level_adjusted_r2: float | None
    multi_level_netted_adjusted_r2: float | None
    integrated_r2: float | None
    slope_bps_per_unit: float | None
    predictive_r2: float | None
    predictive_chance_r2: float | None
    predictive_n: int


@dataclass(frozen=True, slots=True)
class OrderFlowStudy:
    """The whole study; the first three are those of the 10 s interval (D-53)."""

    ofi_r2: float | None
    trade_imbalance_r2: float | None
    n: int
    fit: str
    books: int
    events: int
    levels: int
    seconds: float
    mean_spread_bps: float
    integrated_weights: tuple[float, ...]
    predictive: tuple[str, ...]
    horizons: tuple[HorizonStudy, ...]


def quote_test(tape: BookTape, ts_ms: IntColumn, price: FloatColumn) -> FloatColumn:
    """Return who took, by the middle that stood before each trade: +1, -1, and 0 at the middle."""
    at = np.searchsorted(tape.ts_ms, ts_ms, side="left") - 1
    sign: FloatColumn = np.sign(price - tape.middle[np.maximum(at, 0)])
    return np.where(at >= 0, sign, 0.0)


def study(tape: BookTape, trades: Trades) -> OrderFlowStudy:
    """Return every regression over every horizon, and what is known of the future, in words."""
    horizons = tuple(_horizon(tape, trades, seconds) for seconds in HORIZONS_S)
    headline = next(h for h in horizons if h.horizon_s == HEADLINE_S)
    span_s = float(tape.ts_ms[-1] - tape.ts_ms[0]) / 1000.0
    sections = len(_sections(headline.n, HEADLINE_S))
    flow, _ = _intervals(tape, tape.flow, HEADLINE_S)
    spread = (tape.ask_price[:, 0] - tape.bid_price[:, 0]) / tape.middle * 1e4
    return OrderFlowStudy(
        ofi_r2=headline.ofi_r2,
        trade_imbalance_r2=headline.trade_imbalance_r2,
        n=headline.n,
        fit="one fit" if sections == 1 else f"mean of {sections} half-hour fits",
        books=int(tape.ts_ms.shape[0]),
        events=tape.n_events,
        levels=tape.n_levels,
        seconds=span_s,
        mean_spread_bps=float(np.mean(spread)),
        integrated_weights=tuple(first_component(_scaled(tape, flow)).tolist()),
        predictive=tuple(verdict(found) for found in horizons),
        horizons=horizons,
    )


def verdict(found: HorizonStudy) -> str:
    """Return in words whether order flow foretells the next interval's move."""
    r2, chance = found.predictive_r2, found.predictive_chance_r2
    if r2 is None or chance is None:
        return f"not told: {found.predictive_n} intervals to judge on"
    numbers = (
        f"out-of-sample R2 of the next {found.horizon_s} s was {r2:.4f} on {found.predictive_n} "
        f"intervals, chance alone reaches {chance:.4f}"
    )
    if r2 <= 0.0:
        return f"nothing: {numbers}"
    return f"not more than chance: {numbers}" if r2 <= chance else f"something: {numbers}"


def r_squared(x: Matrix, y: FloatColumn) -> float | None:
    """Return R2 of y (n,) on the columns of x (n, k) with intercept; None where y or x is still
    or there are not more rows than coefficients."""
    n, k = x.shape
    spread = y - y.mean() if n else y
    total = float(spread @ spread)
    if n <= k + 1 or total <= 0.0 or not np.ptp(x, axis=0).any():
        return None
    left = spread - _design(x) @ _fit(x, spread)
    return 1.0 - float(left @ left) / total


def adjusted(r2: float | None, n: int, k: int) -> float | None:
    """Return R2 with the reward for more columns taken away."""
    return None if r2 is None or n <= k + 1 else 1.0 - (1.0 - r2) * (n - 1) / (n - k - 1)


def predictive_r_squared(x: Matrix, y: FloatColumn) -> tuple[float | None, int]:
    """Return R2 of y[t + 1] on x[t], fitted on the first half and judged on the second, with the
    number of rows judged; below 0 = worse than the first half's mean."""
    now, following = x[:-1], y[1:]
    cut = now.shape[0] // 2
    test = following[cut:]
    if cut <= x.shape[1] + 1 or test.shape[0] < 3:
        return None, int(test.shape[0])
    said = _design(now[cut:]) @ _fit(now[:cut], following[:cut])
    base = test - following[:cut].mean()
    total = float(base @ base)
    if total <= 0.0:
        return None, int(test.shape[0])
    return 1.0 - float((test - said) @ (test - said)) / total, int(test.shape[0])


def first_component(x: Matrix) -> FloatColumn:
    """Return the weights (k,) of the first principal component, absolute values summing to 1."""
    if x.shape[0] < 2:
        return np.full(x.shape[1], 1.0 / x.shape[1])
    _, _, rows = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    first = np.asarray(rows[0], dtype=np.float64)
    sign = 1.0 if first.sum() >= 0.0 else -1.0
    weights: FloatColumn = np.asarray(sign * first / np.abs(first).sum(), dtype=np.float64)
    return weights


def _horizon(tape: BookTape, trades: Trades, seconds: int) -> HorizonStudy:
    flow, moves = _intervals(tape, tape.flow, seconds)
    net = net_flow(tape.bid_price, tape.bid_qty, tape.ask_price, tape.ask_qty)
    netted, _ = _intervals(tape, net, seconds)
    traded = _traded(tape, trades, seconds, moves.shape[0])
    best = flow[:, :1]
    levels = _several_levels(tape, flow, netted, moves, seconds)
    ahead, judged = predictive_r_squared(best, moves)
    return HorizonStudy(
        horizon_s=seconds,
        n=int(moves.shape[0]),
        ofi_r2=_mean_r2(best, moves, seconds),
        ofi_netted_r2=_mean_r2(netted[:, :1], moves, seconds),
        trade_imbalance_r2=_mean_r2(traded, moves, seconds),
        both_r2=_mean_r2(np.hstack((best, traded)), moves, seconds),
        multi_level_r2=levels[0],
        multi_level_adjusted_r2=levels[1],
        multi_level_netted_adjusted_r2=levels[2],
        integrated_r2=levels[3],
        slope_bps_per_unit=_slope(best, moves),
        predictive_r2=ahead,
        predictive_chance_r2=None if ahead is None else _CHANCE / judged,
        predictive_n=judged,
    )


def _several_levels(
    tape: BookTape, flow: Matrix, netted: Matrix, moves: FloatColumn, seconds: int
) -> tuple[float | None, float | None, float | None, float | None]:
    """Return R2 of all levels, adjusted, adjusted of netted flow, and of the first component;
    None all of them where there is one level."""
    k = tape.n_levels
    if k == 1:
        return None, None, None, None
    scaled = _scaled(tape, flow)
    # a fit has the rows of one section
    rows = min(moves.shape[0], SECTION_S // seconds)
    together = _mean_r2(scaled, moves, seconds)
    net = _mean_r2(_scaled(tape, netted), moves, seconds)
    integrated = _mean_r2(scaled @ first_component(scaled)[:, None], moves, seconds)
    return together, adjusted(together, rows, k), adjusted(net, rows, k), integrated


def _grid(tape: BookTape, seconds: int) -> tuple[int, int, int]:
    """Return (first edge, width, number of intervals) on the clock's own grid, in ms."""
    width = seconds * 1000
    first = int(tape.ts_ms[0]) // width * width
    return first, width, (int(tape.ts_ms[-1]) - first) // width + 1


def _intervals(tape: BookTape, flow: Matrix, seconds: int) -> tuple[Matrix, FloatColumn]:
    """Return flow (n, k) summed an interval, and the middle's move (n,) in bps.

    An interval without a change has flow 0 and move 0: it happened too.
    """
    first, width, n = _grid(tape, seconds)
    which = (tape.ts_ms - first) // width
    summed: Matrix = np.column_stack(
        [np.bincount(which, weights=column, minlength=n) for column in flow.T]
    )
    edges = first + width * np.arange(n + 1)
    at = np.maximum(np.searchsorted(tape.ts_ms, edges, side="left") - 1, 0)
    middle = tape.middle
    moves: FloatColumn = np.diff(middle[at]) / middle[0] * 1e4
    return summed, moves


def _traded(tape: BookTape, trades: Trades, seconds: int, n: int) -> Matrix:
    first, width, _ = _grid(tape, seconds)
    which = (trades.ts_ms - first) // width
    inside = (which >= 0) & (which < n)
    signed = trades.qty[inside] * trades.sign[inside]
    summed = np.bincount(which[inside], weights=signed, minlength=n)
    return np.asarray(summed, dtype=np.float64)[:, None]


def _scaled(tape: BookTape, flow: Matrix) -> Matrix:
    """Return each level's flow over the size that stands there on average."""
    scaled: Matrix = flow / np.nanmean((tape.bid_qty + tape.ask_qty) / 2.0, axis=0)
    return scaled


def _sections(n: int, seconds: int) -> list[slice]:
    """Return half hours of intervals; a rest shorter than half of one joins the one before."""
    length = SECTION_S // seconds
    count = max(1, round(n / length))
    return [slice(i * length, n if i == count - 1 else (i + 1) * length) for i in range(count)]


def _mean_r2(x: Matrix, y: npt.NDArray[np.float64], seconds: int) -> float | None:
    found = [r_squared(x[part], y[part]) for part in _sections(y.shape[0], seconds)]
    known = [r2 for r2 in found if r2 is not None]
    return float(np.mean(known)) if known else None


def _slope(x: Matrix, y: FloatColumn) -> float | None:
    return float(_fit(x, y)[1]) if x.shape[0] > 2 and np.ptp(x) > 0.0 else None


def _design(x: Matrix) -> Matrix:
    return np.column_stack((np.ones(x.shape[0]), x))


def _fit(x: Matrix, y: FloatColumn) -> FloatColumn:
    return np.asarray(np.linalg.lstsq(_design(x), y, rcond=None)[0], dtype=np.float64)
