"""Phase 2: ORC-08."""

from __future__ import annotations

import numpy as np

from engine.features import FEATURES_VERSION, category_counts
from engine.phases.feature_engineering import build_features, describe
from engine.types.bars import ColumnStore
from tests.engine.phases import scene


def test_features_are_versioned_finite_and_counted_by_category() -> None:
    """ORC-08"""
    found = build_features(scene.snapshot())
    assert found.ready
    assert found.version == FEATURES_VERSION
    assert np.isfinite(found.values).all()
    told = describe(found)
    assert told["categories"] == category_counts()
    assert sum(category_counts().values()) == len(found.names) == found.values.shape[0]


def test_features_of_a_row_do_not_know_later_bars() -> None:
    """ORC-08: the same row of a history that ends there."""
    whole = scene.bars()
    of_whole = build_features(scene.snapshot(499, store=ColumnStore(whole)))
    of_cut = build_features(scene.snapshot(-1, store=ColumnStore(scene.cut(whole, 0, 500))))
    np.testing.assert_allclose(of_cut.values, of_whole.values, rtol=1e-9, atol=1e-12)


def test_features_are_not_ready_before_they_are_warm() -> None:
    assert not build_features(scene.snapshot(5)).ready
