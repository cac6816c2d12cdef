"""Phase 2 as columns: ORC-08."""

from __future__ import annotations

import numpy as np
import pytest

from engine.features import CLIP, FEATURES, FEATURES_VERSION, category_counts, feature_frame
from engine.types.bars import BarColumns, ColumnStore
from tests.bar_factory import cut, flat, from_close, random_walk, real_bars

WARM_UP_AT_MOST = 200


def test_frame_names_its_columns_once_and_counts_categories() -> None:
    frame = feature_frame(ColumnStore(random_walk(41, 300)))
    assert frame.matrix.shape == (300, len(FEATURES))
    assert len(set(frame.names)) == len(frame.names) == len(frame.categories)
    assert sum(category_counts().values()) == len(FEATURES)
    assert set(category_counts()) == {
        "trend",
        "momentum",
        "volatility",
        "volume",
        "statistical",
        "candle",
        "time",
    }
    assert FEATURES_VERSION


def test_every_feature_is_finite_bounded_and_alive() -> None:
    frame = feature_frame(ColumnStore(random_walk(42, 5_000)))
    assert np.isfinite(frame.matrix).all()
    assert np.abs(frame.matrix).max() <= CLIP
    warm = frame.matrix[frame.ready]
    assert frame.ready[WARM_UP_AT_MOST:].all() and not frame.ready[:64].any()
    for column, name in enumerate(frame.names):
        assert warm[:, column].std() > 0.05, name
        assert (np.abs(warm[:, column]) >= CLIP).mean() < 0.1, name


def assert_windows_agree(bars: BarColumns, ends: range) -> None:
    full = feature_frame(ColumnStore(bars))
    for end in ends:
        window = feature_frame(ColumnStore(cut(bars, end - 2_500, end)))
        np.testing.assert_allclose(
            window.matrix[-1], full.matrix[end - 1], rtol=1e-9, atol=1e-12, err_msg=str(end)
        )
        assert window.ready[-1] == full.ready[end - 1]


def test_live_window_agrees_with_the_whole_history() -> None:
    assert_windows_agree(random_walk(43, 9_000), range(2_500, 9_000, 463))


def test_live_window_agrees_with_the_whole_of_a_real_history() -> None:
    bars = real_bars("binance_spot_SOLUSDT_1m_2021-09.parquet", 60_000, 20_000)
    assert_windows_agree(bars, range(2_501, 20_000, 1_693))


def test_no_row_sees_the_future() -> None:
    bars = random_walk(44, 2_000)
    full = feature_frame(ColumnStore(bars)).matrix
    part = feature_frame(ColumnStore(cut(bars, 0, 1_234))).matrix
    np.testing.assert_array_equal(part, full[:1_234])


def test_changing_the_future_changes_no_past_row_and_changing_the_present_does() -> None:
    bars = random_walk(45, 1_000)
    changed = random_walk(45, 1_000)
    for column in (changed.open, changed.high, changed.low, changed.close, changed.volume):
        column[800:] *= 1.05
    before, after = (feature_frame(ColumnStore(b)).matrix for b in (bars, changed))
    np.testing.assert_array_equal(before[:800], after[:800])
    assert (before[800] != after[800]).sum() > 10


def test_features_do_not_depend_on_price_level_or_volume_unit() -> None:
    """Standardised by construction: BTC in dollars and an altcoin in satoshi read alike."""
    bars = random_walk(46, 800)
    scaled = BarColumns(
        bars.ts_ms,
        *(column * 1e-6 for column in (bars.open, bars.high, bars.low, bars.close)),
        bars.volume * 1e7,
        bars.timeframe_ms,
    )
    ours, theirs = (feature_frame(ColumnStore(b)).matrix for b in (bars, scaled))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("volume", [0.0, 3.0])
def test_market_that_stands_still_has_finite_features(volume: float) -> None:
    frame = feature_frame(ColumnStore(flat(400, volume=volume)))
    assert frame.ready[-1]
    assert np.isfinite(frame.matrix).all()
    trend = [i for i, category in enumerate(frame.categories) if category == "trend"]
    np.testing.assert_allclose(frame.matrix[-1, trend], 0.0, atol=1e-9)


def test_direction_has_the_sign_its_name_promises() -> None:
    up = from_close(100.0 * 1.001 ** np.arange(400.0), wick=0.05)
    frame = feature_frame(ColumnStore(up))
    row = dict(zip(frame.names, frame.matrix[-1], strict=True))
    for name in ("ema_gap_12_48_atr", "slope_32_atr", "signed_efficiency_64", "rsi_14"):
        assert row[name] > 0.5, name
    assert row["signed_volume_share_16"] == 2.0


def test_time_features_are_those_of_the_bars_close() -> None:
    day_ms = 86_400_000
    hourly = random_walk(47, 400, timeframe_ms=3_600_000)
    frame = feature_frame(ColumnStore(hourly))
    sine, cosine = (frame.names.index(name) for name in ("hour_sine", "hour_cosine"))
    closes_at_six = int(np.flatnonzero((hourly.ts_ms + 3_600_000) % day_ms == day_ms // 4)[0])
    assert frame.matrix[closes_at_six, sine] == pytest.approx(1.0)
    assert frame.matrix[closes_at_six, cosine] == pytest.approx(0.0, abs=1e-9)
    monday = int(np.flatnonzero(hourly.ts_ms + 3_600_000 == 4 * day_ms)[0])
    assert frame.matrix[monday, frame.names.index("weekday_sine")] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_short_histories_are_answered_as_not_ready(n: int) -> None:
    frame = feature_frame(ColumnStore(random_walk(48, n)))
    assert frame.matrix.shape == (n, len(FEATURES))
    assert not frame.ready.any()
