"""D-14, OPT-73: every level is reached, and each part alone holds it down."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.phases.config import PipelineConfig, Readiness
from engine.phases.readiness import bars_in_a_row, readiness
from engine.types.bars import BarColumns, ColumnStore
from engine.types.opinions import FeatureView, Missing
from tests.engine.phases import scene

CONFIG = PipelineConfig(readiness_dwell_bars=3, readiness_bars_after_gap=30)


def gapped(n: int, gap_at: int) -> ColumnStore:
    """Bars of which one is missing before row ``gap_at``."""
    whole = scene.bars(n)
    ts_ms = whole.ts_ms.copy()
    ts_ms[gap_at:] += scene.MINUTE_MS
    return ColumnStore(
        BarColumns(
            ts_ms, whole.open, whole.high, whole.low, whole.close, whole.volume, scene.MINUTE_MS
        )
    )


def level(store: ColumnStore | None = None, **changes: Any) -> Readiness:
    of = scene.snapshot(store=store)
    return readiness(of, scene.analysis(of, **changes), CONFIG)[1]


def test_a_warm_unbroken_settled_market_is_ready() -> None:
    assert level() is Readiness.READY


@pytest.mark.parametrize(
    ("dwell", "expected"),
    [(0, Readiness.NOT_READY), (1, Readiness.FORMING), (2, Readiness.READY)],
)
def test_a_regime_that_just_changed_is_not_ready(dwell: int, expected: Readiness) -> None:
    """OPT-73"""
    assert level(market=scene.market_view(dwell_bars=dwell)) is expected


@pytest.mark.parametrize(
    ("since_gap", "expected"),
    [(5, Readiness.NOT_READY), (12, Readiness.FORMING), (25, Readiness.READY)],
)
def test_a_gap_in_the_bars_is_not_ready(since_gap: int, expected: Readiness) -> None:
    """OPT-73"""
    assert level(gapped(700, 700 - since_gap)) is expected


def test_an_unknown_market_or_features_that_are_not_warm_are_not_ready() -> None:
    assert level(market=Missing("not warm")) is Readiness.NOT_READY
    assert level(features=Missing("failed")) is Readiness.NOT_READY
    cold = FeatureView("test", ("f",), np.zeros(1), False)
    assert level(features=cold) is Readiness.NOT_READY


def test_bars_in_a_row_count_from_the_last_gap() -> None:
    assert bars_in_a_row(gapped(10, 6)).tolist() == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4]
