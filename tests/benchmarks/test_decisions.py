"""The promised latency of a decision: stated in one place, and met by what is published."""

from __future__ import annotations

import json

import pytest

from benchmarks.bench import RESULTS
from benchmarks.decisions import _processor_time
from resources.core.config import OptimizerConfig

ROW = "ORC-77"


@pytest.mark.parametrize(("slow", "is_met"), [(5, True), (6, False)])
def test_the_promise_is_broken_by_more_than_five_slow_decisions_of_a_hundred(
    slow: int, is_met: bool
) -> None:
    """ORC-77: slow is what the optimizer calls slow; a decision at the limit is not."""
    limit_us = OptimizerConfig().slow_decision_ms * 1_000
    (promised,) = [
        figure
        for figure in _processor_time([limit_us] * (100 - slow) + [limit_us + 1_000] * slow, "")
        if ROW in figure.ids
    ]
    assert promised.target == OptimizerConfig().slow_decision_ms
    assert promised.met is is_met


def test_the_published_figure_is_of_a_whole_run_against_this_target_and_meets_it() -> None:
    """ORC-77, D-47: seconds are measured by the benchmark; what it published is read here."""
    figures = json.loads(RESULTS.read_text())["benchmarks"]
    (published,) = [figure for figure in figures if ROW in figure["ids"]]
    assert published["name"] == "one live decision, processor time, p95"
    assert published["target"] == OptimizerConfig().slow_decision_ms
    assert published["value"] <= published["target"] and published["met"]
    assert not published["quick"] and published["commit"] and published["date"]
