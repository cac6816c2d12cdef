"""Phase 1 as columns: regime, volatility, liquidity and risk of one symbol, from its own history.

Everything is measured against the symbol's own recent past (a rolling median of its volatility,
quantiles of its volume), so the same rules hold for a minute of BTC and a day of an altcoin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine import shared_columns
from engine.baseline import BASELINE_MIN_SAMPLES, BASELINE_STRIDE, fill_baseline
from engine.compiled import kernel
from engine.types.bars import BoolColumn, ColumnStore, FloatColumn
from engine.types.opinions import REGIMES, Regime

# The mean range says after 20 bars what a standard deviation says after 32, and one wild bar moves
# it less.
RANGE_WINDOW = 20
VOLATILITY_WINDOW = 32
TREND_WINDOW = 48
# A new label must win this many bars in a row, so no label lasts less: the hysteresis. The label
# depends on the last such run only, which makes a bounded window agree with the whole history.
MIN_DWELL_BARS = 8
# Counted no further: a live window cannot know of a change before it began.
MAX_DWELL_BARS = 250

# The usual range times or divided by this separates VOLATILE and QUIET from the rest.
VOLATILITY_RATIO = 1.6
VOLATILITY_SHARPNESS = 6.0
# Efficiency ratio times sqrt(window): 1 for a random walk whatever the window.
TREND_STRENGTH = 2.0
TREND_SHARPNESS = 2.0
_MAX_LOG_RATIO = 3.0
_STILL_STD = 1e-9

VOLATILITY_EDGES = (0.6, 1.5, 2.5)
LIQUIDITY_SPAN = 20
LIQUIDITY_QUANTILES = (0.25, 0.75, 0.95)
RISK_EDGES = (0.3, 0.5, 0.75)
RISK_WINDOW = 64
# The worst of this many bars is the level: danger shows at once, calm must last. So no level moves
# the careless way sooner than this after it moved the careful way.
LEVEL_HOLD_BARS = 8

WARM_UP_BARS = TREND_WINDOW + BASELINE_STRIDE * BASELINE_MIN_SAMPLES
Matrix = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int16]

_TRENDING, _RANGING, _VOLATILE, _QUIET = (
    REGIMES.index(regime)
    for regime in (Regime.TRENDING, Regime.RANGING, Regime.VOLATILE, Regime.QUIET)
)
# columns of the two matrices that the kernels write
_SCORE, _BAR = len(REGIMES), len(REGIMES) + 1
_N_ESTIMATES = len(REGIMES) + 2
_WINNER, _READY, _REGIME, _DWELL = 0, 1, 2, 3
_RAW, _LEVEL, _N_CODES = 4, 7, 10
_VOLATILITY, _LIQUIDITY, _RISK = 0, 1, 2


@dataclass(frozen=True, slots=True)
class MarketColumns:
    """The market's condition at every bar; each array has n_bars rows, all finite.

    ``regime`` indexes REGIMES; ``volatility``, ``liquidity`` and ``risk`` index LEVELS: the
    highest volatility and risk, the lowest liquidity of the last LEVEL_HOLD_BARS bars.
    ``regime_probabilities`` has shape (n_bars, 4) and rows that sum to 1; the label follows their
    maximum once it has lasted MIN_DWELL_BARS. ``volatility_bar`` is the standard deviation of
    one bar's log return; ``dwell_bars`` counts bars since the label changed, up to MAX_DWELL_BARS.
    Where ``ready`` is False nothing is known yet: RANGING with probabilities of 1/4, levels medium.
    """

    regime: Codes
    regime_probabilities: Matrix
    volatility_bar: FloatColumn
    volatility: Codes
    liquidity: Codes
    risk: Codes
    risk_score: FloatColumn
    dwell_bars: Codes
    ready: BoolColumn


def market_columns(store: ColumnStore) -> MarketColumns:
    """Return the market columns of a store, computed once."""
    return store.get(("market_columns",), _compute)


def _compute(store: ColumnStore) -> MarketColumns:
    estimates, codes = _estimates(store), _codes(store)
    return MarketColumns(
        regime=codes[_REGIME],
        regime_probabilities=estimates[: len(REGIMES)].T,
        volatility_bar=estimates[_BAR],
        volatility=codes[_LEVEL + _VOLATILITY],
        liquidity=codes[_LEVEL + _LIQUIDITY],
        risk=codes[_LEVEL + _RISK],
        risk_score=estimates[_SCORE],
        dwell_bars=codes[_DWELL],
        ready=codes[_READY].astype(np.bool_),
    )


# -- volatility and liquidity against the symbol's own past ----------------------------------------


def volatility_log_ratio(store: ColumnStore) -> FloatColumn:
    """ln of the mean range over its rolling median, within +-3; NaN until warm."""

    def fill(s: ColumnStore, out: FloatColumn, start: int) -> None:
        spread = shared_columns.mean_range(s, RANGE_WINDOW)
        _fill_log_ratio(spread, _usual_range(s)[0], out, start)

    return shared_columns.shared(store, ("volatility_log_ratio",), fill)


@kernel
def _fill_log_ratio(spread: FloatColumn, usual: FloatColumn, out: FloatColumn, start: int) -> None:
    for row in range(start, spread.shape[0]):
        if np.isnan(spread[row]) or np.isnan(usual[row]):
            out[row] = np.nan
        # A market that stands still is quiet; one that begins to move after it is not.
        elif spread[row] <= _STILL_STD:
            out[row] = -_MAX_LOG_RATIO
        elif usual[row] <= _STILL_STD:
            out[row] = _MAX_LOG_RATIO
        else:
            ratio = np.log(spread[row] / usual[row])
            out[row] = min(_MAX_LOG_RATIO, max(-_MAX_LOG_RATIO, ratio))


def _usual_range(store: ColumnStore) -> Matrix:
    def fill(s: ColumnStore, out: Matrix, start: int) -> None:
        spread = shared_columns.mean_range(s, RANGE_WINDOW)
        fill_baseline(s, spread, (0.5,), out, start)

    return store.column(("usual_range",), fill, parts=1)


def _usual_volatility(store: ColumnStore) -> Matrix:
    def fill(s: ColumnStore, out: Matrix, start: int) -> None:
        volatility = shared_columns.return_std(s, VOLATILITY_WINDOW)
        fill_baseline(s, volatility, (0.5,), out, start)

    return store.column(("usual_volatility",), fill, parts=1)


def _volume_edges(store: ColumnStore) -> Matrix:
    def fill(s: ColumnStore, out: Matrix, start: int) -> None:
        volume = shared_columns.volume_ema(s, LIQUIDITY_SPAN)
        fill_baseline(s, volume, LIQUIDITY_QUANTILES, out, start)

    return store.column(("volume_edges",), fill, parts=len(LIQUIDITY_QUANTILES))


# -- regime probabilities and risk -----------------------------------------------------------------


def _estimates(store: ColumnStore) -> Matrix:
    def fill(s: ColumnStore, out: Matrix, start: int) -> None:
        _fill_estimates(
            volatility_log_ratio(s),
            shared_columns.signed_efficiency(s, TREND_WINDOW),
            _usual_volatility(s)[0],
            shared_columns.return_std(s, VOLATILITY_WINDOW),
            shared_columns.log_close(s),
            shared_columns.log_returns(s),
            out,
            start,
        )

    return store.column(("market_estimates",), fill, parts=_N_ESTIMATES)


@kernel
def _fill_estimates(
    log_ratio: FloatColumn,
    efficiency: FloatColumn,
    usual: FloatColumn,
    volatility: FloatColumn,
    log_close: FloatColumn,
    returns: FloatColumn,
    out: Matrix,
    start: int,
) -> None:
    top, bottom = -1, -1
    for row in range(start, log_ratio.shape[0]):
        out[_BAR, row] = 0.0 if np.isnan(volatility[row]) else volatility[row]
        if np.isnan(log_ratio[row]) or np.isnan(efficiency[row]):
            for i in range(_SCORE):
                out[i, row] = 0.25
            out[_SCORE, row] = 0.0
            top, bottom = -1, -1
            continue
        strength = abs(efficiency[row]) * np.sqrt(TREND_WINDOW)
        _write_probabilities(log_ratio[row], strength, out, row)
        # the first row has no return, so no window reaches back to it
        first = max(1, row - RISK_WINDOW + 1)
        top = _extreme(log_close, 1.0, top, first, row)
        bottom = _extreme(returns, -1.0, bottom, first, row)
        fallen, worst = log_close[top] - log_close[row], max(0.0, -returns[bottom])
        out[_SCORE, row] = _risk_score(log_ratio[row], usual[row], fallen, worst)


@kernel
def _write_probabilities(log_ratio: float, strength: float, out: Matrix, row: int) -> None:
    edge = np.log(VOLATILITY_RATIO)
    out[_TRENDING, row] = TREND_SHARPNESS * (strength - TREND_STRENGTH)
    out[_RANGING, row] = 0.0
    out[_VOLATILE, row] = VOLATILITY_SHARPNESS * (log_ratio - edge)
    out[_QUIET, row] = VOLATILITY_SHARPNESS * (-log_ratio - edge)
    highest = out[0, row]
    for i in range(1, _SCORE):
        highest = max(highest, out[i, row])
    total = 0.0
    for i in range(_SCORE):
        out[i, row] = np.exp(out[i, row] - highest)
        total += out[i, row]
    for i in range(_SCORE):
        out[i, row] /= total


@kernel
def _extreme(values: FloatColumn, sign: float, held: int, first: int, row: int) -> int:
    """Return the row of the highest (``sign`` 1) or lowest (-1) value from ``first`` to ``row``.

    ``held`` is that of the window a row before, or -1: it is looked for only where it fell out.
    """
    start = row
    if held < first:
        held, start = first, first + 1
    for i in range(start, row + 1):
        if sign * values[i] >= sign * values[held]:
            held = i
    return held


@kernel
def _risk_score(log_ratio: float, usual: float, fallen: float, worst: float) -> float:
    # Volatility, fall from the window's high and worst bar, each in [0, 1]; high = dangerous.
    # Half the worst of the three and half their mean: never lowered by any of them rising.
    unit = max(usual, _STILL_STD)
    # Usual volatility scores 1/4; four times as much scores 1.
    turbulence = (log_ratio / np.log(4.0) + 1.0 / 3.0) * 0.75
    # A random walk falls about 0.8 sigma sqrt(window) below its high on average.
    fall = fallen / (unit * np.sqrt(RISK_WINDOW)) / 4.0
    # The worst of 64 Gaussian bars is about 2.4 sigma.
    shock = (worst / unit - 1.0) / 8.0
    first = min(1.0, max(0.0, turbulence))
    second = min(1.0, max(0.0, fall))
    third = min(1.0, max(0.0, shock))
    return float(0.5 * max(first, second, third) + 0.5 * (first + second + third) / 3.0)


# -- labels and levels, with their hysteresis ------------------------------------------------------


def _codes(store: ColumnStore) -> Codes:
    def fill(s: ColumnStore, out: Codes, start: int) -> None:
        log_ratio = volatility_log_ratio(s)
        estimates = _estimates(s)
        volume = shared_columns.volume_ema(s, LIQUIDITY_SPAN)
        efficiency = shared_columns.signed_efficiency(s, TREND_WINDOW)
        _fill_raw(log_ratio, efficiency, estimates, volume, _volume_edges(s), out, start)
        _fill_regime(out, start)
        _fill_levels(out, start)

    return store.column(("market_codes",), fill, parts=_N_CODES, dtype=np.int16)


@kernel
def _fill_raw(
    log_ratio: FloatColumn,
    efficiency: FloatColumn,
    estimates: Matrix,
    volume: FloatColumn,
    edges: Matrix,
    out: Codes,
    start: int,
) -> None:
    for row in range(start, log_ratio.shape[0]):
        winner = 0
        for i in range(1, _SCORE):
            if estimates[i, row] > estimates[winner, row]:
                winner = i
        out[_WINNER, row] = winner
        out[_READY, row] = not (np.isnan(log_ratio[row]) or np.isnan(efficiency[row]))
        for part in range(3):
            out[_RAW + part, row] = 1
        if not out[_READY, row]:
            continue
        ratio, score = np.exp(log_ratio[row]), estimates[_SCORE, row]
        risen, danger = 0, 0
        for i in range(3):
            risen += ratio >= VOLATILITY_EDGES[i]
            danger += score >= RISK_EDGES[i]
        out[_RAW + _VOLATILITY, row] = risen
        out[_RAW + _RISK, row] = danger
        if not (np.isnan(volume[row]) or np.isnan(edges[0, row])):
            out[_RAW + _LIQUIDITY, row] = _liquidity(volume[row], edges, row)


@kernel
def _liquidity(volume: float, edges: Matrix, row: int) -> int:
    # An average that has decayed to nothing is nothing.
    if volume <= 1e-12 * edges[-1, row]:
        return 0
    level = 0
    for i in range(edges.shape[0]):
        # Equal to a quantile is not beyond it, but for rounding: constant volume is medium.
        slack = 1e-9 if i else -1e-9
        level += volume > edges[i, row] * (1.0 + slack)
    return level


@kernel
def _fill_regime(codes: Codes, start: int) -> None:
    run = 0
    while run < min(start, MIN_DWELL_BARS):
        row = start - 1 - run
        if not codes[_READY, row] or codes[_WINNER, row] != codes[_WINNER, start - 1]:
            break
        run += 1
    for row in range(start, codes.shape[1]):
        if not codes[_READY, row]:
            run = 0
            codes[_REGIME, row], codes[_DWELL, row] = _RANGING, 0
            continue
        winner = codes[_WINNER, row]
        started = row > 0 and codes[_READY, row - 1]
        run = run + 1 if run > 0 and winner == codes[_WINNER, row - 1] else 1
        if not started or (winner != codes[_REGIME, row - 1] and run >= MIN_DWELL_BARS):
            codes[_REGIME, row], codes[_DWELL, row] = winner, 0
        else:
            codes[_REGIME, row] = codes[_REGIME, row - 1]
            codes[_DWELL, row] = min(codes[_DWELL, row - 1] + 1, MAX_DWELL_BARS)


@kernel
def _fill_levels(codes: Codes, start: int) -> None:
    for row in range(start, codes.shape[1]):
        for part in range(3):
            held = codes[_RAW + part, row]
            for i in range(row - 1, max(-1, row - LEVEL_HOLD_BARS), -1):
                if not (codes[_READY, row] and codes[_READY, i]):
                    break
                before = codes[_RAW + part, i]
                held = min(held, before) if part == _LIQUIDITY else max(held, before)
            codes[_LEVEL + part, row] = held
