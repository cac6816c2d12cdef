"""Phase 1 as columns: regime, volatility, liquidity and risk of one symbol, from its own history.

Everything is measured against the symbol's own recent past (a rolling median of its volatility,
quantiles of its volume), so the same rules hold for a minute of BTC and a day of an altcoin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine import indicators, shared_columns
from engine.compiled import kernel
from engine.types.bars import BoolColumn, ColumnStore, FloatColumn, IntColumn
from engine.types.opinions import REGIMES, Regime

VOLATILITY_WINDOW = 32
TREND_WINDOW = 64
# The past that "usual" refers to: 480 samples, one every fourth bar, so 1,920 bars. Bars are
# picked by their time and not by their row, so every window picks the same ones.
BASELINE_STRIDE = 4
BASELINE_SAMPLES = 480
BASELINE_MIN_SAMPLES = 32
# A new label must win this many bars in a row, so no label lasts less: the hysteresis. The label
# depends on the last such run only, which makes a bounded window agree with the whole history.
MIN_DWELL_BARS = 8
# Counted no further: a live window cannot know of a change before it began.
MAX_DWELL_BARS = 250

# Usual volatility times or divided by this separates VOLATILE and QUIET from the rest.
VOLATILITY_RATIO = 1.7
VOLATILITY_SHARPNESS = 6.0
# Efficiency ratio times sqrt(window): 1 for a random walk whatever the window.
TREND_STRENGTH = 1.8
TREND_SHARPNESS = 2.0
_MAX_LOG_RATIO = 3.0
_STILL_STD = 1e-9

VOLATILITY_EDGES = (0.6, 1.5, 2.5)
LIQUIDITY_SPAN = 12
LIQUIDITY_QUANTILES = (0.25, 0.75, 0.95)
RISK_EDGES = (0.3, 0.5, 0.75)
RISK_WINDOW = 64

WARM_UP_BARS = TREND_WINDOW + BASELINE_STRIDE * BASELINE_MIN_SAMPLES
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MarketColumns:
    """The market's condition at every bar; each array has n_bars rows, all finite.

    ``regime`` indexes REGIMES; ``volatility``, ``liquidity`` and ``risk`` index LEVELS.
    ``regime_probabilities`` has shape (n_bars, 4) and rows that sum to 1; the label follows their
    maximum once it has lasted MIN_DWELL_BARS. ``volatility_bar`` is the standard deviation of
    one bar's log return; ``dwell_bars`` counts bars since the label changed, up to MAX_DWELL_BARS.
    Where ``ready`` is False nothing is known yet: RANGING with probabilities of 1/4, levels medium.
    """

    regime: IntColumn
    regime_probabilities: Matrix
    volatility_bar: FloatColumn
    volatility: IntColumn
    liquidity: IntColumn
    risk: IntColumn
    risk_score: FloatColumn
    dwell_bars: IntColumn
    ready: BoolColumn


def market_columns(store: ColumnStore) -> MarketColumns:
    """Return the market columns of a store, computed once."""
    return store.get(("market_columns",), _compute)


def volatility_log_ratio(store: ColumnStore) -> FloatColumn:
    """ln of volatility over its rolling median, within +-3; NaN until warm."""
    return shared_columns.shared(store, ("volatility_log_ratio",), _volatility_log_ratio)


def _compute(store: ColumnStore) -> MarketColumns:
    log_ratio = volatility_log_ratio(store)
    strength = np.abs(shared_columns.signed_efficiency(store, TREND_WINDOW))
    strength = strength * np.sqrt(TREND_WINDOW)
    ready = ~(np.isnan(log_ratio) | np.isnan(strength))
    probabilities = _regime_probabilities(log_ratio, strength, ready)
    regime, dwell_bars = _with_dwell(
        probabilities.argmax(axis=1).astype(np.int64), ready, MIN_DWELL_BARS, MAX_DWELL_BARS
    )
    regime[~ready] = REGIMES.index(Regime.RANGING)
    score = _risk_score(store, log_ratio, ready)
    volatility_bar = np.nan_to_num(shared_columns.return_std(store, VOLATILITY_WINDOW), nan=0.0)
    return MarketColumns(
        regime=regime,
        regime_probabilities=probabilities,
        volatility_bar=volatility_bar,
        volatility=_levels(np.exp(log_ratio), VOLATILITY_EDGES, ready),
        liquidity=_liquidity(store, ready),
        risk=_levels(score, RISK_EDGES, ready),
        risk_score=score,
        dwell_bars=dwell_bars,
        ready=ready,
    )


def _volatility_log_ratio(store: ColumnStore) -> FloatColumn:
    volatility = shared_columns.return_std(store, VOLATILITY_WINDOW)
    usual = _usual_volatility(store)
    with np.errstate(divide="ignore", invalid="ignore"):
        out = np.log(volatility / usual)
    unknown = np.isnan(volatility) | np.isnan(usual)
    # A market that stands still is quiet; one that begins to move after standing still is not.
    out = np.where(usual <= _STILL_STD, _MAX_LOG_RATIO, out)
    out = np.where(volatility <= _STILL_STD, -_MAX_LOG_RATIO, out)
    out = np.clip(out, -_MAX_LOG_RATIO, _MAX_LOG_RATIO)
    out[unknown] = np.nan
    return out


def _usual_volatility(store: ColumnStore) -> FloatColumn:
    def compute(s: ColumnStore) -> FloatColumn:
        volatility = shared_columns.return_std(s, VOLATILITY_WINDOW)
        return _baseline(s, volatility, (0.5,))[:, 0].copy()

    return shared_columns.shared(store, ("usual_volatility",), compute)


def _regime_probabilities(
    log_ratio: FloatColumn, strength: FloatColumn, ready: BoolColumn
) -> Matrix:
    edge = np.log(VOLATILITY_RATIO)
    scores = np.zeros((log_ratio.shape[0], len(REGIMES)))
    scores[:, REGIMES.index(Regime.TRENDING)] = TREND_SHARPNESS * (strength - TREND_STRENGTH)
    scores[:, REGIMES.index(Regime.VOLATILE)] = VOLATILITY_SHARPNESS * (log_ratio - edge)
    scores[:, REGIMES.index(Regime.QUIET)] = VOLATILITY_SHARPNESS * (-log_ratio - edge)
    scores[~ready] = 0.0
    weights: Matrix = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


@kernel
def _with_dwell(
    winner: IntColumn, ready: BoolColumn, min_dwell: int, max_dwell: int
) -> tuple[IntColumn, IntColumn]:
    n = winner.shape[0]
    label = np.zeros(n, dtype=np.int64)
    dwell = np.zeros(n, dtype=np.int64)
    current, since, run, started = -1, 0, 0, False
    for row in range(n):
        if not ready[row]:
            run, started = 0, False
            continue
        run = run + 1 if started and winner[row] == winner[row - 1] else 1
        if not started:
            current, since, started = winner[row], row, True
        elif winner[row] != current and run >= min_dwell:
            current, since = winner[row], row
        label[row] = current
        dwell[row] = min(row - since, max_dwell)
    return label, dwell


def _liquidity(store: ColumnStore, ready: BoolColumn) -> IntColumn:
    volume = indicators.ema(store.bars.volume, LIQUIDITY_SPAN)
    edges = _baseline(store, volume, LIQUIDITY_QUANTILES)
    level = np.zeros(volume.shape[0], dtype=np.int64)
    for column in range(edges.shape[1]):
        # Equal to a quantile is not beyond it, but for rounding: constant volume is medium.
        slack = 1e-9 if column else -1e-9
        level += volume > edges[:, column] * (1.0 + slack)
    # An average that has decayed to nothing is nothing.
    level[volume <= 1e-12 * np.nan_to_num(edges[:, -1])] = 0
    level[~ready | np.isnan(volume) | np.isnan(edges[:, 0])] = 1
    return level


def _risk_score(store: ColumnStore, log_ratio: FloatColumn, ready: BoolColumn) -> FloatColumn:
    """Volatility, fall from the window's high and worst bar, each in [0, 1]; high = dangerous.

    Half the worst of the three and half their mean: never lowered by any of them rising.
    """
    usual = np.maximum(np.nan_to_num(_usual_volatility(store)), _STILL_STD)
    log_close = shared_columns.log_close(store)
    fall = indicators.rolling_max(log_close, RISK_WINDOW) - log_close
    worst = -indicators.rolling_min(shared_columns.log_returns(store), RISK_WINDOW)
    parts = np.stack(
        (
            # Usual volatility scores 1/4; four times as much scores 1.
            (log_ratio / np.log(4.0) + 1.0 / 3.0) * 0.75,
            # A random walk falls about 0.8 sigma sqrt(window) below its high on average.
            fall / (usual * np.sqrt(RISK_WINDOW)) / 4.0,
            # The worst of 64 Gaussian bars is about 2.4 sigma.
            (worst / usual - 1.0) / 8.0,
        )
    )
    np.clip(parts, 0.0, 1.0, out=parts)
    score: FloatColumn = 0.5 * parts.max(axis=0) + 0.5 * parts.mean(axis=0)
    score[~ready] = 0.0
    return score


def _levels(values: FloatColumn, edges: tuple[float, ...], ready: BoolColumn) -> IntColumn:
    level = np.zeros(values.shape[0], dtype=np.int64)
    for edge in edges:
        level += values >= edge
    level[~ready] = 1
    return level


def _baseline(store: ColumnStore, values: FloatColumn, quantiles: tuple[float, ...]) -> Matrix:
    """Quantiles (n_bars, n_quantiles) of the sampled past of a column, the current row included."""
    bars = store.bars
    sampled = (bars.ts_ms // bars.timeframe_ms) % BASELINE_STRIDE == 0
    wanted = np.array(quantiles)
    return _sampled_quantiles(values, sampled, wanted, BASELINE_SAMPLES, BASELINE_MIN_SAMPLES)


@kernel
def _sampled_quantiles(
    values: FloatColumn, sampled: BoolColumn, quantiles: FloatColumn, capacity: int, least: int
) -> Matrix:
    n, k = values.shape[0], quantiles.shape[0]
    out = np.full((n, k), np.nan)
    ordered = np.empty(capacity)
    ring = np.empty(capacity)
    size, oldest = 0, 0
    for row in range(n):
        value = values[row]
        if sampled[row] and not np.isnan(value):
            if size == capacity:
                gone = np.searchsorted(ordered, ring[oldest])
                for i in range(gone, size - 1):
                    ordered[i] = ordered[i + 1]
                size -= 1
                ring[oldest] = value
                oldest = (oldest + 1) % capacity
            else:
                ring[size] = value
            place = np.searchsorted(ordered[:size], value)
            for i in range(size, place, -1):
                ordered[i] = ordered[i - 1]
            ordered[place] = value
            size += 1
        if size >= least:
            for j in range(k):
                position = quantiles[j] * (size - 1)
                below = int(position)
                above = min(below + 1, size - 1)
                part = position - below
                out[row, j] = ordered[below] * (1.0 - part) + ordered[above] * part
    return out
