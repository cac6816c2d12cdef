"""Phase 2 as columns: one versioned, finite, causal feature row a bar, by category."""

from engine.features.cross_asset import has_reference
from engine.features.frame import (
    BLOCK_ROWS,
    CLIP,
    FEATURE_NAMES,
    FEATURES,
    FEATURES_VERSION,
    FeatureFrame,
    category_counts,
    feature_frame,
    feature_row,
    feature_rows,
)

__all__ = [
    "BLOCK_ROWS",
    "CLIP",
    "FEATURES",
    "FEATURES_VERSION",
    "FEATURE_NAMES",
    "FeatureFrame",
    "category_counts",
    "feature_frame",
    "feature_row",
    "feature_rows",
    "has_reference",
]
