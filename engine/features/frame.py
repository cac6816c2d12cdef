"""The feature rows of a store: all of them for training, one at a time for trading.

Every feature is a ratio or a z-score against the symbol's own recent past, clipped to +-5, so no
scaler has to be fitted, stored or kept from peeking. A category is a kernel over rows ``first`` to
``last``; live asks it for one row, replay for a block, training for the whole history, and the
value of a row is the same in all three.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.compiled import kernel
from engine.features import (
    calendar,
    candle,
    cross_asset,
    microstructure,
    momentum,
    statistical,
    trend,
    volatility,
    volume,
)
from engine.features.inputs import LOOK_BACK_BARS, Matrix
from engine.types.bars import BoolColumn, ColumnStore

FEATURES_VERSION = "2026.2"
CLIP = 5.0
# Rows a replay computes ahead at once: 5 MB, whatever the length of the history.
BLOCK_ROWS = 8_192

Write = Callable[[ColumnStore, int, int, Matrix, int], None]
_CATEGORIES: tuple[tuple[str, tuple[str, ...], Write], ...] = (
    ("trend", trend.NAMES, trend.write),
    ("momentum", momentum.NAMES, momentum.write),
    ("volatility", volatility.NAMES, volatility.write),
    ("volume", volume.NAMES, volume.write),
    ("statistical", statistical.NAMES, statistical.write),
    ("candle", candle.NAMES, candle.write),
    ("microstructure", microstructure.NAMES, microstructure.write),
    ("cross_asset", cross_asset.NAMES, cross_asset.write),
    ("time", calendar.NAMES, calendar.write),
)
# (name, category) of every feature, in the order of the row
FEATURES: tuple[tuple[str, str], ...] = tuple(
    (name, category) for category, names, _ in _CATEGORIES for name in names
)
FEATURE_NAMES: tuple[str, ...] = tuple(name for name, _ in FEATURES)


@dataclass(frozen=True, slots=True)
class FeatureFrame:
    """Features of a span of bars. ``matrix`` is (n_rows, n_features), finite, within +-5.

    ``categories`` names each column's family. Where ``ready`` is False at least one feature is
    not warm; its value is then 0. Cross-asset features are 0 without a reference, and ready.
    """

    names: tuple[str, ...]
    categories: tuple[str, ...]
    matrix: npt.NDArray[np.float64]
    ready: BoolColumn


def feature_frame(store: ColumnStore) -> FeatureFrame:
    """Return the features of every bar of a store: 0.6 kB a bar, kept with the store."""
    key = ("feature_frame", FEATURES_VERSION)
    return store.get(key, lambda s: feature_rows(s, 0, len(s.bars)))


def feature_rows(store: ColumnStore, first: int, last: int) -> FeatureFrame:
    """Return the features of rows ``first`` to ``last`` (excluded), computed now."""
    matrix = np.zeros((last - first, len(FEATURES)))
    ready = np.zeros(last - first, dtype=np.bool_)
    warm = max(first, LOOK_BACK_BARS)
    if warm < last:
        values = np.empty((last - warm, len(FEATURES)))
        column = 0
        for _, names, write in _CATEGORIES:
            write(store, warm, last, values, column)
            column += len(names)
        known = np.empty(last - warm, dtype=np.bool_)
        _bound(values, known, CLIP)
        matrix[warm - first :], ready[warm - first :] = values, known
    matrix.setflags(write=False)
    return FeatureFrame(FEATURE_NAMES, tuple(c for _, c in FEATURES), matrix, ready)


@kernel
def _bound(values: Matrix, known: BoolColumn, clip: float) -> None:
    for row in range(values.shape[0]):
        known[row] = True
        for column in range(values.shape[1]):
            value = values[row, column]
            if np.isnan(value):
                known[row] = False
                value = 0.0
            values[row, column] = min(clip, max(-clip, value))


class _Block:
    """The features of the rows around the one asked last."""

    __slots__ = ("first", "frame")

    def __init__(self) -> None:
        self.first = 0
        self.frame: FeatureFrame | None = None


def feature_row(store: ColumnStore, row: int) -> tuple[npt.NDArray[np.float64], bool]:
    """Return one row (n_features,) and whether it is warm.

    The last row of a store costs itself; of an earlier one its block is computed and kept until
    another block is asked for, since a replay reads on from there.
    """
    rows = len(store.bars)
    if row == rows - 1:
        frame = store.get(("last_features",), lambda s: feature_rows(s, rows - 1, rows))
        return frame.matrix[0], frame.ready.item(0)
    block = store.get(("feature_block",), lambda s: _Block())
    first = row - row % BLOCK_ROWS
    if block.frame is None or block.first != first:
        block.frame = feature_rows(store, first, min(rows, first + BLOCK_ROWS))
        block.first = first
    return block.frame.matrix[row - first], block.frame.ready.item(row - first)


def category_counts() -> dict[str, int]:
    """Return how many features each category has (ORC-08)."""
    return {category: len(names) for category, names, _ in _CATEGORIES}
