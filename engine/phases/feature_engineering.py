"""Phase 2: the versioned feature row of this bar (ORC-08)."""

from __future__ import annotations

from engine.features import (
    FEATURE_NAMES,
    FEATURES_VERSION,
    category_counts,
    feature_row,
    has_reference,
)
from engine.types.bars import Snapshot
from engine.types.decisions import JsonValue
from engine.types.opinions import FeatureView

_ALONE = ("cross_asset is 0: the run has no other symbol",)
_TOO_YOUNG = ("cross_asset is 0: the reference symbol has too few bars before this one",)


def build_features(snapshot: Snapshot) -> FeatureView:
    """Return the features (n_features,) of the snapshot's row: finite, from past bars only.

    Cross-asset features need the run's reference symbol; without one they are 0 and a note says
    so. That is no reason to be not ready.
    """
    store, row = snapshot.store, snapshot.row
    values, ready = feature_row(store, row)
    notes: tuple[str, ...] = ()
    if store.reference is None:
        notes = _ALONE
    elif ready and not has_reference(store, row):
        notes = _TOO_YOUNG
    return FeatureView(FEATURES_VERSION, FEATURE_NAMES, values, ready, notes)


def describe(view: FeatureView) -> dict[str, JsonValue]:
    """Return version, readiness, notes, category counts and values as JSON."""
    return {
        "version": view.version,
        "ready": view.ready,
        "notes": list(view.notes),
        "categories": dict(category_counts()),
        "values": dict(zip(view.names, view.values.tolist(), strict=True)),
    }
