"""Is a symbol known well enough to enter?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.phases.config import Readiness
from engine.phases.readiness import bars_in_a_row, readiness
from engine.types.bars import ColumnStore
from engine.types.opinions import Missing
from tests.engine.phases.scene import BARS, CONFIG, ROW, analysis, features, market, snapshot


@pytest.mark.parametrize(
    ("dwell", "level"),
    [(0, "NOT_READY"), (1, "FORMING"), (2, "READY"), (3, "READY")],
)
def test_bars_in_the_regime_make_it_form_and_then_ready(dwell: int, level: str) -> None:
    """D-14, OPT-73: of three wanted, a third forms and two thirds are ready."""
    score, found, text = readiness(snapshot(), analysis(market=market(dwell_bars=dwell)), CONFIG)
    assert found is Readiness(level)
    assert score == pytest.approx(dwell / 3)
    assert f"{dwell} bars in TRENDING of 3" in text


@pytest.mark.parametrize(
    ("since_gap", "level"), [(5, "NOT_READY"), (10, "FORMING"), (20, "READY"), (30, "READY")]
)
def test_a_gap_starts_the_count_of_bars_anew(since_gap: int, level: str) -> None:
    """D-14, F-067: other parts cannot make up for it."""
    ts_ms = BARS.ts_ms.copy()
    ts_ms[ROW - since_gap + 1 :] += 60_000
    gapped = replace(BARS, ts_ms=ts_ms)
    _, found, text = readiness(snapshot(bars=gapped), analysis(), CONFIG)
    assert found is Readiness(level)
    assert f"{since_gap} bars without a gap" in text


def test_bars_in_a_row_by_hand() -> None:
    ts_ms = np.array([0, 1, 2, 5, 6, 9], dtype=np.int64) * 60_000
    columns = {name: np.ones(6) for name in ("open", "high", "low", "close", "volume")}
    store = ColumnStore(replace(BARS, ts_ms=ts_ms, **columns))
    assert bars_in_a_row(store).tolist() == [1, 2, 3, 1, 2, 1]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"market": Missing("not warm: 5 bars")}, "market not warm: 5 bars"),
        ({"features": Missing("failed")}, "features failed"),
        ({"features": features(ready=False)}, "features not warm"),
    ],
)
def test_what_is_not_known_is_not_ready(changes: dict[str, object], word: str) -> None:
    """D-14, ORC-58"""
    score, level, text = readiness(snapshot(), analysis(**changes), CONFIG)
    assert (score, level) == (0.0, Readiness.NOT_READY)
    assert word in text
