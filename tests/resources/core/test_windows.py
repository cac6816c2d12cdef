"""Summaries, roll-ups, time to a limit."""

import random

import pytest

from resources.core.readings import MetricVector, Reading, Unit
from resources.core.windows import (
    percentile,
    percentile_of_buckets,
    roll_up,
    seconds_to,
    summarise,
)


def test_a_reading_of_an_unknown_metric_is_refused():
    assert Reading("host", "cpu", 0.5, 0).unit is Unit.FRACTION
    with pytest.raises(ValueError, match="metric was 'cpuu', allowed: cpu"):
        Reading("host", "cpuu", 0.5, 0)


def test_a_summary_is_what_recomputing_from_the_values_gives():
    """ORC-68"""
    draw = random.Random(7)
    points = [(index * 5_000, draw.gauss(10, 3)) for index in range(200)]
    values = sorted(value for _, value in points)
    told = summarise(points)
    assert (told.n, told.minimum, told.maximum) == (200, values[0], values[-1])
    assert told.mean == pytest.approx(sum(values) / 200)
    assert (told.p50, told.p95, told.p99) == (values[99], values[189], values[197])
    assert summarise([]) is None


def test_a_slope_and_the_time_to_a_limit_are_told_in_seconds():
    """ORC-30"""
    leak = [(index * 10_000, 100.0 + 5.0 * index) for index in range(10)]
    assert summarise(leak).slope_per_s == pytest.approx(0.5)
    assert seconds_to(245.0, leak) == pytest.approx((245.0 - 145.0) / 0.5)
    assert seconds_to(50.0, leak) is None
    assert seconds_to(200.0, leak[:2]) is None


def test_an_interval_keeps_count_mean_extremes_and_percentile_and_skips_what_was_not_told():
    """ORC-68"""
    values = [3.0, None, 1.0, 8.0]
    rounds = [MetricVector(i, [Reading("host", "cpu", v, i)]) for i, v in enumerate(values)]
    assert roll_up(rounds) == {"host.cpu": [3.0, 4.0, 1.0, 8.0, 8.0]}


def test_percentiles_of_a_histogram_are_within_the_bucket_they_fall_in():
    counts, upper = [0, 90, 0, 10, 0], [1.0, 2.0, 5.0, 10.0]
    assert 1.0 < percentile_of_buckets(counts, upper, 0.50) < 2.0
    assert 5.0 < percentile_of_buckets(counts, upper, 0.95) < 10.0
    assert percentile_of_buckets([0] * 5, upper, 0.95) is None
    assert percentile([1.0, 2.0, 3.0], 1.0) == 3.0
