"""The benchmark driver: what counts as met, and what one run leaves of another's figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import bench, sweep_workers
from benchmarks.figures import BenchmarkFailed, Figure, percentile
from tradeplatform.acceptance import matrix


def test_a_target_is_met_from_its_better_side_and_none_is_no_verdict() -> None:
    assert Figure(name="speed", value=10, unit="x", target=10, better="higher").met is True
    assert Figure(name="speed", value=9, unit="x", target=10, better="higher").met is False
    assert Figure(name="delay", value=11, unit="ms", target=10).met is False
    assert Figure(name="delay", value=11, unit="ms").met is None


def test_percentiles_are_measured_values() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert [percentile(values, f) for f in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 0.99) == 7.0


def test_a_run_of_one_benchmark_keeps_the_figures_of_the_others(tmp_path: Path) -> None:
    old = tmp_path / "results.json"
    before = [
        {"benchmark": "live-decision", "name": "old", "commit": "a"},
        {"benchmark": "replay-speed", "name": "kept", "commit": "a"},
    ]
    old.write_text(json.dumps({"benchmarks": before}))
    new = [{"benchmark": "live-decision", "name": "new", "commit": "b"}]
    document = bench.merged(old, new)
    assert [(f["name"], f["commit"]) for f in document["benchmarks"]] == [
        ("new", "b"),
        ("kept", "a"),
    ]
    assert document["machine"]["cores"] >= 1


def test_a_benchmark_that_cannot_be_measured_is_named_and_leaves_no_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_options: object) -> list[Figure]:
        raise BenchmarkFailed("the exchange did not answer")

    monkeypatch.setitem(bench.BENCHMARKS, "live-decision", broken)
    figures, failures = bench.measure(["live-decision"], quick=True)
    assert figures == []
    assert failures == ["live-decision: the exchange did not answer"]


def test_a_quick_run_proves_no_row_of_the_contract() -> None:
    """D-47"""
    figure = {"name": "p99", "ids": ["ORC-77"], "met": True}
    assert matrix(["ORC-77"], [], [figure])[0].passed
    assert not matrix(["ORC-77"], [], [figure | {"quick": True}])[0].passed


def test_the_table_marks_a_missed_target() -> None:
    base = {"unit": "ms", "target": 2.0, "better": "lower", "detail": ""}
    good = base | {"name": "p50", "value": 1.0, "met": True}
    bad = base | {"name": "p99", "value": 3.0, "met": False}
    lines = bench.table([good, bad]).splitlines()
    assert lines[1].endswith("met")
    assert lines[2].endswith("MISSED")


@pytest.mark.parametrize("sizes", [["x"], [], ["1", "2", "3"]])
def test_an_estimate_of_wrong_numbers_is_one_line(capsys, sizes):
    assert sweep_workers.main(["estimate", *sizes]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "allowed: UNIT_S OVERHEAD_S STORES_PER_S READY_AT_ONCE" in line
