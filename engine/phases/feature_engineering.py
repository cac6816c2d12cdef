"""Phase 2: the versioned feature row of this bar (ORC-08)."""

from __future__ import annotations

from engine.features import FEATURES_VERSION, category_counts, feature_frame
from engine.types.bars import Snapshot
from engine.types.decisions import JsonValue
from engine.types.opinions import FeatureView


def build_features(snapshot: Snapshot) -> FeatureView:
    """Return the features (n_features,) of the snapshot's row: finite, from past bars only."""
    frame = feature_frame(snapshot.store)
    row = snapshot.row
    return FeatureView(FEATURES_VERSION, frame.names, frame.matrix[row], frame.ready.item(row))


def describe(view: FeatureView) -> dict[str, JsonValue]:
    """Return version, readiness, category counts and values as JSON."""
    return {
        "version": view.version,
        "ready": view.ready,
        "categories": dict(category_counts()),
        "values": dict(zip(view.names, view.values.tolist(), strict=True)),
    }
