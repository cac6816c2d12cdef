"""Allocation over time and the histogram of qualities, by hand."""

from __future__ import annotations

import pytest

from engine.ports import StrategyStatus
from optimization.core.charts import (
    Change,
    allocation_timeline,
    effective_weight,
    quality_histogram,
)

ACTIVE, DEGRADED = StrategyStatus.ACTIVE, StrategyStatus.DEGRADED


@pytest.mark.parametrize(
    ("status", "effective"),
    [
        (ACTIVE, 1.2),
        (DEGRADED, 0.6),
        (StrategyStatus.SUSPENDED, 0.0),
        (StrategyStatus.RETIRED, 0.0),
    ],
)
def test_a_weight_sizes_whole_halved_or_not_at_all(
    status: StrategyStatus, effective: float
) -> None:
    """OPT-64, D-15, D-02"""
    assert effective_weight(1.2, status) == effective


def test_every_change_gives_the_point_where_everybody_then_stood() -> None:
    """OPT-64, OPT-82: in order of time, with weights as stored, as they size, and as shares."""
    changes = [
        Change(30, "b", "suspended", status=StrategyStatus.SUSPENDED),
        Change(10, "a", "moved", weight=1.5),
        Change(20, "a", "degraded", status=DEGRADED),
        Change(15, "unknown", "moved", weight=1.9),
        Change(40, "b", "moved while suspended", weight=0.5),
    ]
    points = allocation_timeline({"a": 1.0, "b": 0.75}, {}, changes)
    assert [(p.ts_ms, p.strategy, p.reason) for p in points] == [
        (10, "a", "moved"),
        (20, "a", "degraded"),
        (30, "b", "suspended"),
        (40, "b", "moved while suspended"),
    ]
    assert [p.raw for p in points] == [{"a": 1.5, "b": 0.75}] * 3 + [{"a": 1.5, "b": 0.5}]
    assert [p.effective for p in points] == [
        {"a": 1.5, "b": 0.75},
        {"a": 0.75, "b": 0.75},
        {"a": 0.75, "b": 0.0},
        {"a": 0.75, "b": 0.0},
    ]
    assert points[0].share == {"a": pytest.approx(2 / 3), "b": pytest.approx(1 / 3)}
    assert [p.share for p in points[1:]] == [{"a": 0.5, "b": 0.5}] + [{"a": 1.0, "b": 0.0}] * 2


def test_a_status_known_at_the_start_counts_from_the_first_point_on() -> None:
    """OPT-64"""
    (point,) = allocation_timeline(
        {"a": 1.0, "b": 1.0}, {"b": StrategyStatus.RETIRED}, [Change(1, "a", "moved", weight=0.9)]
    )
    assert point.effective == {"a": 0.9, "b": 0.0} and point.share == {"a": 1.0, "b": 0.0}


def test_qualities_are_counted_in_twenty_bins_and_one_is_in_the_last() -> None:
    """OPT-82: every quality is in exactly one bin."""
    found = quality_histogram([0.0, 0.049, 0.05, 1.0, 0.96, 0.96], [0.5])
    assert found["edges"][:3] == [0.0, 0.05, 0.1] and found["edges"][-1] == 1.0
    assert len(found["edges"]) == 21
    assert found["executed"] == [2.0, 1.0, *[0.0] * 17, 3.0]
    assert found["filtered"] == [*[0.0] * 10, 1.0, *[0.0] * 9]
