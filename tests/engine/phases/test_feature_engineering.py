"""Phase 2: one versioned, finite feature row."""

from __future__ import annotations

import numpy as np

from engine.features import FEATURES, FEATURES_VERSION
from engine.phases.feature_engineering import build_features, describe
from engine.types.bars import ColumnStore
from tests.bar_factory import cut, random_walk
from tests.engine.phases.scene import BARS, ROW, snapshot


def test_equal_bars_give_the_same_finite_vector_and_version() -> None:
    """ORC-08"""
    first, again = build_features(snapshot()), build_features(snapshot())
    np.testing.assert_array_equal(first.values, again.values)
    assert first.version == again.version == FEATURES_VERSION
    assert first.ready and np.isfinite(first.values).all()
    assert first.names == tuple(name for name, _ in FEATURES)
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


def test_a_run_of_one_symbol_is_ready_and_says_what_it_lacks() -> None:
    """ORC-08: cross-asset features without a reference are 0, said, and no reason to wait."""
    view = build_features(snapshot())
    cross = [i for i, (_, category) in enumerate(FEATURES) if category == "cross_asset"]
    assert view.ready and not view.values[cross].any()
    assert view.notes == ("cross_asset is 0: the run has no other symbol",)
    assert describe(view)["notes"] == list(view.notes)


def test_a_reference_that_is_too_young_is_said_and_an_old_one_speaks() -> None:
    """ORC-08"""
    cross = [i for i, (_, category) in enumerate(FEATURES) if category == "cross_asset"]
    young = build_features(snapshot(store=ColumnStore(BARS, cut(BARS, ROW - 30, ROW + 1))))
    assert young.ready and not young.values[cross].any()
    assert "too few bars" in young.notes[0]
    old = build_features(snapshot(store=ColumnStore(BARS, random_walk(12, len(BARS)))))
    assert old.notes == () and old.values[cross].all()


def test_the_record_counts_features_by_category() -> None:
    """ORC-08: counts are those of the vector itself."""
    record = describe(build_features(snapshot()))
    categories, values = record["categories"], record["values"]
    assert isinstance(categories, dict) and isinstance(values, dict)
    expected = {c: sum(1 for _, k in FEATURES if k == c) for _, c in FEATURES}
    assert categories == expected
    assert sum(expected.values()) == len(values)
