"""Is a symbol known well enough to enter? NOT_READY, FORMING or READY (D-14, OPT-73)."""

from __future__ import annotations

import numpy as np

from engine.phases.config import PipelineConfig, Readiness
from engine.types.bars import ColumnStore, IntColumn, Snapshot
from engine.types.decisions import Analysis
from engine.types.opinions import FeatureView, Missing

FORMING_FROM = 1.0 / 3.0
READY_FROM = 2.0 / 3.0


def readiness(
    snapshot: Snapshot, analysis: Analysis, config: PipelineConfig
) -> tuple[float, Readiness, str]:
    """Return the score in [0, 1], its level, and both with their parts in words.

    The score is the least of three parts, each in [0, 1]: bars in a row since the last gap and
    bars since the regime changed, each over what is wanted, and whether market and features are
    warm. One part that is not there cannot be made up for by the others.
    """
    market, features = analysis.market, analysis.features
    if isinstance(market, Missing):
        return 0.0, Readiness.NOT_READY, f"readiness was 0, market {market.reason}"
    if not isinstance(features, FeatureView) or not features.ready:
        why = "not warm" if isinstance(features, FeatureView) else features.reason
        return 0.0, Readiness.NOT_READY, f"readiness was 0, features {why}"
    in_a_row = int(bars_in_a_row(snapshot.store)[snapshot.row])
    continuity = min(1.0, in_a_row / config.readiness_bars_after_gap)
    dwell = min(1.0, market.dwell_bars / config.readiness_dwell_bars)
    score = min(continuity, dwell)
    level = Readiness.NOT_READY
    if score >= READY_FROM:
        level = Readiness.READY
    elif score >= FORMING_FROM:
        level = Readiness.FORMING
    text = (
        f"readiness was {score:.2f} ({level.value}): {in_a_row} bars without a gap of "
        f"{config.readiness_bars_after_gap}, {market.dwell_bars} bars in {market.regime.value} of "
        f"{config.readiness_dwell_bars}"
    )
    return score, level, text


def least_score(level: Readiness) -> float:
    """Return the score from which a symbol counts as ``level``."""
    if level is Readiness.READY:
        return READY_FROM
    return FORMING_FROM if level is Readiness.FORMING else 0.0


def bars_in_a_row(store: ColumnStore) -> IntColumn:
    """Return for each bar how many came in a row without a gap, itself included; at least 1."""
    return store.get(("bars_in_a_row",), _bars_in_a_row)


def _bars_in_a_row(store: ColumnStore) -> IntColumn:
    ts_ms = store.bars.ts_ms
    rows = np.arange(ts_ms.shape[0], dtype=np.int64)
    starts = np.ones(ts_ms.shape[0], dtype=np.bool_)
    starts[1:] = np.diff(ts_ms) != store.bars.timeframe_ms
    last_start = np.maximum.accumulate(np.where(starts, rows, 0))
    in_a_row: IntColumn = rows - last_start + 1
    return in_a_row
