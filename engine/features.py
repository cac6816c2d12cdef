"""Phase 2 as columns: one versioned, finite, causal feature row a bar.

Every feature is a ratio or a z-score against the symbol's own recent past, clipped to +-5, so no
scaler has to be fitted, stored or kept from peeking.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine import indicators, market_columns, shared_columns
from engine.compiled import kernel
from engine.types.bars import BoolColumn, ColumnStore, FloatColumn

FEATURES_VERSION = "2026.1"
CLIP = 5.0
_DAY_MS = 86_400_000
# 1970-01-01 was a Thursday; weeks are counted from Monday.
_EPOCH_WEEKDAY = 3

Feature = Callable[[ColumnStore], FloatColumn]


@dataclass(frozen=True, slots=True)
class FeatureFrame:
    """Features of every bar. ``matrix`` is (n_bars, n_features), finite, within +-5.

    ``categories`` names each column's family. Where ``ready`` is False at least one feature is
    not warm; its value is then 0.
    """

    names: tuple[str, ...]
    categories: tuple[str, ...]
    matrix: npt.NDArray[np.float64]
    ready: BoolColumn


def feature_frame(store: ColumnStore) -> FeatureFrame:
    """Return the features of a store, computed once."""
    return store.get(("feature_frame", FEATURES_VERSION), _compute)


def category_counts() -> dict[str, int]:
    """Return how many features each category has (ORC-08)."""
    counts: dict[str, int] = {}
    for _, category, _ in FEATURES:
        counts[category] = counts.get(category, 0) + 1
    return counts


def _compute(store: ColumnStore) -> FeatureFrame:
    n = len(store.bars)
    matrix = np.empty((n, len(FEATURES)))
    ready = np.ones(n, dtype=np.bool_)
    for column, (_, _, feature) in enumerate(FEATURES):
        _fill(matrix, column, feature(store), ready, CLIP)
    matrix.setflags(write=False)
    return FeatureFrame(
        names=tuple(name for name, _, _ in FEATURES),
        categories=tuple(category for _, category, _ in FEATURES),
        matrix=matrix,
        ready=ready,
    )


@kernel
def _fill(
    matrix: npt.NDArray[np.float64],
    column: int,
    values: FloatColumn,
    ready: BoolColumn,
    clip: float,
) -> None:
    # One pass over rows 256 bytes apart; numpy's several passes were most of the frame's cost.
    for row in range(values.shape[0]):
        value = values[row]
        if np.isnan(value):
            ready[row] = False
            value = 0.0
        matrix[row, column] = min(clip, max(-clip, value))


def _ema_gap(store: ColumnStore) -> FloatColumn:
    gap = shared_columns.ema(store, 12) - shared_columns.ema(store, 48)
    return shared_columns.per_atr(store, gap, 14)


def _close_to_ema(store: ColumnStore) -> FloatColumn:
    return shared_columns.per_atr(store, store.bars.close - shared_columns.ema(store, 24), 14)


def _slope(store: ColumnStore) -> FloatColumn:
    slope = indicators.linear_slope(store.bars.close, 32)
    return shared_columns.per_atr(store, 8.0 * slope, 14)


def _efficiency(window: int) -> Feature:
    def feature(store: ColumnStore) -> FloatColumn:
        # 1 = the size of a random walk's efficiency, whatever the window.
        scaled: FloatColumn = shared_columns.signed_efficiency(store, window) * np.sqrt(window)
        return scaled

    return feature


def _return_z(lag: int) -> Feature:
    def feature(store: ColumnStore) -> FloatColumn:
        move = indicators.log_returns(store.bars.close, lag)
        usual = shared_columns.return_std(store, 64) * np.sqrt(lag)
        return indicators.ratio(move, usual, floor=shared_columns.STILL_FRACTION)

    return feature


def _rsi(store: ColumnStore) -> FloatColumn:
    return (shared_columns.rsi(store, 14) - 50.0) / 20.0


def _range_position(store: ColumnStore) -> FloatColumn:
    high, low = shared_columns.highest(store, 48), shared_columns.lowest(store, 48)
    floor = shared_columns.STILL_FRACTION * store.bars.close
    return 2.0 * indicators.ratio(store.bars.close - (high + low) / 2.0, high - low, floor=floor)


def _volatility_change(store: ColumnStore) -> FloatColumn:
    short, long = shared_columns.return_std(store, 8), shared_columns.return_std(store, 64)
    return indicators.ratio(short, long, floor=shared_columns.STILL_FRACTION) - 1.0


def _true_range(store: ColumnStore) -> FloatColumn:
    bars = store.bars
    spread = indicators.true_range(bars.high, bars.low, bars.close)
    return shared_columns.per_atr(store, spread, 14) - 1.0


def _range_over_atr(store: ColumnStore) -> FloatColumn:
    width = shared_columns.highest(store, 24) - shared_columns.lowest(store, 24)
    return shared_columns.per_atr(store, width, 14) / 2.0 - 2.0


def _volume_z(store: ColumnStore) -> FloatColumn:
    return indicators.zscore(np.log1p(_relative_volume(store)), 48)


def _relative_volume(store: ColumnStore) -> FloatColumn:
    return indicators.ratio(store.bars.volume, shared_columns.mean_volume(store, 48))


def _volume_surge(store: ColumnStore) -> FloatColumn:
    mean = shared_columns.mean_volume(store, 48)
    return indicators.ratio(shared_columns.mean_volume(store, 6), mean) - 1.0


def _signed_volume(store: ColumnStore) -> FloatColumn:
    bars = store.bars
    return 2.0 * indicators.on_balance_volume_share(bars.close, bars.volume, 16)


def _volume_weighted_distance(store: ColumnStore) -> FloatColumn:
    bars = store.bars
    traded = indicators.ratio(
        indicators.sma(bars.close * bars.volume, 32), shared_columns.mean_volume(store, 32)
    )
    known = np.where(traded > 0.0, traded, bars.close)
    known[np.isnan(traded)] = np.nan
    return shared_columns.per_atr(store, bars.close - known, 14) / 2.0


def _close_z(store: ColumnStore) -> FloatColumn:
    # Windows flatter than this fraction of price hold rounding, not movement.
    close = store.bars.close
    deviation = indicators.rolling_std(close, 48)
    distance = close - indicators.sma(close, 48)
    return indicators.ratio(distance, deviation, floor=shared_columns.STILL_FRACTION * close)


def _autocorrelation(store: ColumnStore) -> FloatColumn:
    return 4.0 * indicators.rolling_autocorrelation(shared_columns.log_returns(store), 32)


def _skewness(store: ColumnStore) -> FloatColumn:
    return indicators.rolling_skewness(shared_columns.log_returns(store), 48)


def _tail_weight(store: ColumnStore) -> FloatColumn:
    kurtosis = indicators.rolling_kurtosis(shared_columns.log_returns(store), 48)
    # log1p(3) = log(4): a Gaussian window reads 0.
    weight: FloatColumn = np.log1p(kurtosis) - np.log(4.0)
    return weight


def _rising_share(store: ColumnStore) -> FloatColumn:
    return 4.0 * indicators.sma(np.sign(shared_columns.log_returns(store)), 16)


def _body(store: ColumnStore) -> FloatColumn:
    return shared_columns.per_atr(store, store.bars.close - store.bars.open, 14)


def _upper_wick(store: ColumnStore) -> FloatColumn:
    bars = store.bars
    return shared_columns.per_atr(store, bars.high - np.maximum(bars.open, bars.close), 14)


def _lower_wick(store: ColumnStore) -> FloatColumn:
    bars = store.bars
    return shared_columns.per_atr(store, np.minimum(bars.open, bars.close) - bars.low, 14)


def _close_location(store: ColumnStore) -> FloatColumn:
    bars = store.bars
    middle = (bars.high + bars.low) / 2.0
    return 2.0 * indicators.ratio(bars.close - middle, bars.high - bars.low)


def _circle(period_ms: int, wave: Callable[[FloatColumn], FloatColumn], shift_ms: int) -> Feature:
    def feature(store: ColumnStore) -> FloatColumn:
        # The bar's close is when it is known; its phase is that of the period it ends in.
        closed_ms = store.bars.ts_ms + store.bars.timeframe_ms + shift_ms
        return wave(2.0 * np.pi * (closed_ms % period_ms) / period_ms)

    return feature


FEATURES: tuple[tuple[str, str, Feature], ...] = (
    ("ema_gap_12_48_atr", "trend", _ema_gap),
    ("close_to_ema_24_atr", "trend", _close_to_ema),
    ("slope_32_atr", "trend", _slope),
    ("signed_efficiency_16", "trend", _efficiency(16)),
    ("signed_efficiency_64", "trend", _efficiency(64)),
    ("return_1_z", "momentum", _return_z(1)),
    ("return_4_z", "momentum", _return_z(4)),
    ("return_16_z", "momentum", _return_z(16)),
    ("return_48_z", "momentum", _return_z(48)),
    ("rsi_14", "momentum", _rsi),
    ("range_position_48", "momentum", _range_position),
    ("volatility_log_ratio", "volatility", market_columns.volatility_log_ratio),
    ("volatility_change_8_64", "volatility", _volatility_change),
    ("true_range_atr", "volatility", _true_range),
    ("range_24_atr", "volatility", _range_over_atr),
    ("volume_z_48", "volume", _volume_z),
    ("volume_surge_6_48", "volume", _volume_surge),
    ("signed_volume_share_16", "volume", _signed_volume),
    ("close_to_vwap_32_atr", "volume", _volume_weighted_distance),
    ("close_z_48", "statistical", _close_z),
    ("autocorrelation_32", "statistical", _autocorrelation),
    ("skewness_48", "statistical", _skewness),
    ("tail_weight_48", "statistical", _tail_weight),
    ("rising_share_16", "statistical", _rising_share),
    ("body_atr", "candle", _body),
    ("upper_wick_atr", "candle", _upper_wick),
    ("lower_wick_atr", "candle", _lower_wick),
    ("close_location", "candle", _close_location),
    ("hour_sine", "time", _circle(_DAY_MS, np.sin, 0)),
    ("hour_cosine", "time", _circle(_DAY_MS, np.cos, 0)),
    ("weekday_sine", "time", _circle(7 * _DAY_MS, np.sin, _EPOCH_WEEKDAY * _DAY_MS)),
    ("weekday_cosine", "time", _circle(7 * _DAY_MS, np.cos, _EPOCH_WEEKDAY * _DAY_MS)),
)
