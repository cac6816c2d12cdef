"""Phase 2 as columns: ORC-08."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from engine.features import (
    CLIP,
    FEATURE_NAMES,
    FEATURES,
    FEATURES_VERSION,
    category_counts,
    feature_frame,
    feature_row,
    feature_rows,
)
from engine.features import frame as frame_module
from engine.features.inputs import LOOK_BACK_BARS
from engine.quality import bar_at
from engine.types.bars import BarColumns, ColumnStore
from engine.window import RollingWindow, with_references
from tests.bar_factory import cut, flat, from_close, random_walk, real_bars

Matrix = npt.NDArray[np.float64]
WARM_UP_AT_MOST = 200
WINDOW = 2_500


def market(seed: int, n: int) -> ColumnStore:
    """A walk with wicks of their own on either side, next to a symbol that half follows it."""
    bars, rng = random_walk(seed, n), np.random.default_rng(seed)
    top, bottom = np.maximum(bars.open, bars.close), np.minimum(bars.open, bars.close)
    spread = 0.0008 * bars.close
    own = replace(
        bars,
        high=top + rng.exponential(1.0, n) * spread,
        low=bottom - rng.exponential(1.0, n) * spread,
    )
    moves = np.diff(np.log(bars.close), prepend=np.log(bars.close[0]))
    their = 50.0 * np.exp(np.cumsum(0.5 * moves + rng.normal(0.0, 0.0007, n)))
    return ColumnStore(own, from_close(their, wick=0.01, volume=3.0))


def part_of(store: ColumnStore, first: int, last: int) -> ColumnStore:
    return ColumnStore(cut(store.bars, first, last), store.reference)


STORE = market(43, 9_000)
FULL = feature_frame(STORE).matrix
WINDOWS = {
    end: feature_frame(part_of(STORE, end - WINDOW, end)).matrix[-1]
    for end in range(WINDOW, 9_000, 463)
}


def test_frame_names_its_columns_once_and_counts_categories() -> None:
    """ORC-08: at least sixty features in the named categories."""
    frame = feature_frame(part_of(STORE, 0, 300))
    assert frame.matrix.shape == (300, len(FEATURES))
    assert len(set(frame.names)) == len(frame.names) == len(frame.categories) >= 60
    counts = category_counts()
    assert sum(counts.values()) == len(FEATURES)
    assert counts == {c: frame.categories.count(c) for c in counts}
    assert set(counts) == {
        "trend",
        "momentum",
        "volatility",
        "volume",
        "statistical",
        "candle",
        "microstructure",
        "cross_asset",
        "time",
    }
    assert all(count >= 4 for count in counts.values())
    assert FEATURES_VERSION == "2026.2"


def test_every_value_is_finite_and_within_the_clip() -> None:
    assert np.isfinite(FULL).all()
    assert np.abs(FULL).max() <= CLIP
    ready = feature_frame(STORE).ready
    assert ready[WARM_UP_AT_MOST:].all() and not ready[:LOOK_BACK_BARS].any()


@pytest.mark.parametrize("name", FEATURE_NAMES)
def test_live_window_agrees_with_the_whole_history(name: str) -> None:
    """ORC-08: the value over a 2,500-bar window is that over the whole history within 1e-9."""
    column = FEATURE_NAMES.index(name)
    for end, row in WINDOWS.items():
        assert row[column] == pytest.approx(FULL[end - 1, column], rel=1e-9, abs=1e-9), end


@pytest.mark.parametrize("name", FEATURE_NAMES)
def test_feature_is_alive_and_seldom_at_its_clip(name: str) -> None:
    values = FULL[WARM_UP_AT_MOST:, FEATURE_NAMES.index(name)]
    assert values.std() > 0.15
    assert (np.abs(values) >= CLIP).mean() < 0.05


def test_features_of_real_bars_agree_are_alive_and_seldom_clipped() -> None:
    """ORC-08, on a real file with a real reference."""
    bars = real_bars("binance_spot_SOLUSDT_1m_2021-09.parquet", 60_000, 20_000)
    store = ColumnStore(bars, real_bars("binance_spot_BTCUSDT_1m_2021-09.parquet", 60_000, 20_000))
    full = feature_frame(store)
    for end in range(2_501, 20_000, 1_693):
        row = feature_frame(part_of(store, end - WINDOW, end)).matrix[-1]
        np.testing.assert_allclose(row, full.matrix[end - 1], rtol=1e-9, atol=1e-9)
    warm = full.matrix[full.ready]
    assert full.ready[WARM_UP_AT_MOST:].all()
    for column, name in enumerate(full.names):
        assert warm[:, column].std() > 0.1, name
        assert (np.abs(warm[:, column]) >= CLIP).mean() < 0.1, name


def test_no_row_sees_the_future() -> None:
    part = feature_frame(part_of(STORE, 0, 1_234)).matrix
    np.testing.assert_array_equal(part, FULL[:1_234])


def test_changing_the_future_changes_no_past_row_and_changing_the_present_does() -> None:
    """ORC-08: perturbed from row 800 on; its reference too, one bar later."""
    before, after = market(45, 1_000), market(45, 1_000)
    bars = after.bars
    for column in (bars.open, bars.high, bars.low, bars.close, bars.volume):
        column[800:] *= 1.05
    one, other = feature_frame(before).matrix, feature_frame(after).matrix
    np.testing.assert_array_equal(one[:800], other[:800])
    assert (one[800] != other[800]).sum() > 40


def test_features_do_not_depend_on_price_level_or_volume_unit() -> None:
    """Standardised by construction: BTC in dollars and an altcoin in satoshi read alike."""
    bars = part_of(STORE, 0, 800).bars
    scaled = BarColumns(
        bars.ts_ms,
        *(column * 1e-6 for column in (bars.open, bars.high, bars.low, bars.close)),
        bars.volume * 1e7,
        bars.timeframe_ms,
    )
    theirs = feature_frame(ColumnStore(scaled, STORE.reference)).matrix
    np.testing.assert_allclose(FULL[:800], theirs, rtol=1e-6, atol=1e-6)


# -- markets that are hardly markets ---------------------------------------------------------------


def gappy(seed: int) -> BarColumns:
    """Nine bars in ten missing here and there, zero volume in between."""
    bars = random_walk(seed, 3_000)
    rng = np.random.default_rng(seed)
    kept = np.flatnonzero(rng.random(3_000) < np.repeat(rng.choice([0.1, 1.0], 30), 100))
    columns = {
        name: getattr(bars, name)[kept].copy() for name in ("ts_ms", "open", "high", "low", "close")
    }
    volume = np.where(rng.random(len(kept)) < 0.5, 0.0, bars.volume[kept])
    return BarColumns(**columns, volume=volume, timeframe_ms=bars.timeframe_ms)


@pytest.mark.parametrize(
    "make",
    [
        lambda: flat(400, volume=0.0),
        lambda: flat(400, volume=3.0),
        lambda: from_close(random_walk(7, 900).close, volume=0.0),
        lambda: from_close(np.concatenate((random_walk(7, 300).close, np.full(600, 90.0)))),
        lambda: gappy(8),
        lambda: from_close(np.exp(np.cumsum(np.random.default_rng(9).normal(0, 0.5, 900)) * 0.2)),
    ],
    ids=["flat", "flat-traded", "no-volume", "stopped", "gaps", "wild"],
)
def test_odd_markets_have_finite_features(make: Callable[[], BarColumns]) -> None:
    """ORC-08: no NaN, no infinity, whatever does not move, trade or come."""
    bars = make()
    for reference in (None, flat(len(bars)), STORE.reference):
        frame = feature_frame(ColumnStore(bars, reference))
        assert frame.ready[-1]
        assert np.isfinite(frame.matrix).all()
        assert np.abs(frame.matrix).max() <= CLIP


def test_market_that_stands_still_has_no_trend_and_no_momentum() -> None:
    frame = feature_frame(ColumnStore(flat(400)))
    still = [i for i, c in enumerate(frame.categories) if c in ("trend", "momentum")]
    np.testing.assert_allclose(frame.matrix[-1, still], 0.0, atol=1e-9)


@pytest.mark.parametrize("n", [0, 1, 5, LOOK_BACK_BARS, LOOK_BACK_BARS + 1])
def test_short_histories_are_answered_as_not_ready(n: int) -> None:
    frame = feature_frame(part_of(STORE, 0, n))
    assert frame.matrix.shape == (n, len(FEATURES))
    assert not frame.ready.any()


# -- one definition, three ways to ask -------------------------------------------------------------


def test_rows_asked_one_by_one_are_those_of_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Architecture section 8: live's last row, replay's block, training's frame."""
    monkeypatch.setattr(frame_module, "BLOCK_ROWS", 256)
    store = part_of(STORE, 0, 1_000)
    for row in (66, 67, 255, 256, 700, 300, 998, 999):
        values, ready = feature_row(store, row)
        np.testing.assert_array_equal(values, FULL[row])
        assert ready == feature_frame(STORE).ready[row]
    np.testing.assert_array_equal(feature_rows(store, 100, 90 + 100).matrix, FULL[100:190])


def test_a_walking_live_window_gives_the_rows_of_the_whole_history() -> None:
    """I-26: two symbols, bar by bar, blocks moving on, against one column over everything."""
    theirs = STORE.reference
    assert theirs is not None
    windows = {
        "A": RollingWindow(cut(STORE.bars, 0, 3_000), WINDOW),
        "B": RollingWindow(cut(theirs, 0, 3_000), WINDOW),
    }
    with_references(windows)
    for row in range(3_000, 6_200):
        # the reference's bar of the same minute comes first, last or in between: no difference
        if row % 2:
            windows["B"].append(bar_at(theirs, row))
        store, at = windows["A"].append(bar_at(STORE.bars, row))
        if not row % 2:
            windows["B"].append(bar_at(theirs, row))
        if row % 97 == 0 or row > 6_190:
            values, ready = feature_row(store, at)
            assert ready
            np.testing.assert_allclose(values, FULL[row], rtol=1e-9, atol=1e-9, err_msg=str(row))


# -- meanings --------------------------------------------------------------------------------------


def named(store: ColumnStore, row: int = -1) -> dict[str, float]:
    frame = feature_frame(store)
    return dict(zip(frame.names, frame.matrix[row].tolist(), strict=True))


def test_direction_has_the_sign_its_name_promises() -> None:
    up = named(ColumnStore(from_close(100.0 * 1.001 ** np.arange(400.0), wick=0.05)))
    for name in (
        "ema_gap_12_48_atr",
        "ema_slope_48_atr",
        "slope_32_atr",
        "straightness_64",
        "signed_efficiency_64",
        "directional_movement_24",
        "aroon_32",
        "higher_bars_16",
        "rsi_14",
        "range_position_48",
        "run_length",
        "money_flow_14",
        "push_3",
    ):
        assert up[name] > 0.5, name
    assert up["signed_volume_share_16"] == 2.0
    assert up["close_to_vwap_32_atr"] > 0.5


def test_time_features_are_those_of_the_bars_close() -> None:
    day_ms = 86_400_000
    hourly = random_walk(47, 400, timeframe_ms=3_600_000)
    frame = feature_frame(ColumnStore(hourly))
    sine, cosine = (frame.names.index(name) for name in ("hour_sine", "hour_cosine"))
    closes = hourly.ts_ms + 3_600_000
    six = int(np.flatnonzero(closes % day_ms == day_ms // 4)[5])
    assert frame.matrix[six, sine] == pytest.approx(1.0)
    assert frame.matrix[six, cosine] == pytest.approx(0.0, abs=1e-9)
    monday = int(np.flatnonzero(closes == 11 * day_ms)[0])
    assert frame.matrix[monday, frame.names.index("weekday_sine")] == pytest.approx(0.0, abs=1e-9)
