"""Phase 2: one versioned, finite feature row."""

from __future__ import annotations

import numpy as np

from engine.features import FEATURES, FEATURES_VERSION
from engine.phases.feature_engineering import build_features, describe
from tests.bar_factory import cut
from tests.engine.phases.scene import BARS, ROW, snapshot


def test_equal_bars_give_the_same_finite_vector_and_version() -> None:
    """ORC-08"""
    first, again = build_features(snapshot()), build_features(snapshot())
    np.testing.assert_array_equal(first.values, again.values)
    assert first.version == again.version == FEATURES_VERSION
    assert first.ready and np.isfinite(first.values).all()
    assert first.names == tuple(name for name, _, _ in FEATURES)
    assert first.values.shape == (len(FEATURES),)


def test_another_bar_gives_another_vector() -> None:
    """ORC-08: a constant would pass the test above."""
    assert (build_features(snapshot(ROW - 1)).values != build_features(snapshot()).values).any()


def test_bars_after_the_row_change_nothing() -> None:
    """ORC-08: no look-ahead (truncation)."""
    known_then = build_features(snapshot(bars=cut(BARS, 0, ROW + 1)))
    np.testing.assert_allclose(known_then.values, build_features(snapshot()).values, rtol=1e-9)


def test_a_short_history_is_not_ready_and_still_finite() -> None:
    """ORC-08"""
    view = build_features(snapshot(10))
    assert not view.ready
    assert np.isfinite(view.values).all()


def test_the_record_counts_features_by_category() -> None:
    """ORC-08: counts are those of the vector itself."""
    record = describe(build_features(snapshot()))
    categories, values = record["categories"], record["values"]
    assert isinstance(categories, dict) and isinstance(values, dict)
    expected = {c: sum(1 for _, k, _ in FEATURES if k == c) for _, c, _ in FEATURES}
    assert categories == expected
    assert sum(expected.values()) == len(values)
