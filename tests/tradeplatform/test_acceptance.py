"""ORC-87, OPT-93: the matrix of contract rows and the tests that prove them."""

from __future__ import annotations

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tradeplatform.acceptance import both_runs, contract_ids, ids_in, matrix, results_path

ROOT = Path(__file__).resolve().parents[2]


def test_ids_are_found_in_names_and_docstrings_however_they_are_written() -> None:
    assert ids_in("test_f_045_timeout_is_unknown") == ["F-045"]
    assert ids_in("test_x[opt_7_x]", "Proves OPT-7, I-3 and CTL-02; see also SEC-33.") == [
        "CTL-2",
        "I-3",
        "OPT-07",
        "SEC-33",
    ]
    assert ids_in("test_if_i_may", "D-31, UTF-8 and CTL-1x are no rows of the contract") == []


def test_the_contract_lists_every_row_once() -> None:
    """ORC-87"""
    ids = contract_ids(ROOT / "docs" / "contract-ids.txt")
    assert len(ids) == len(set(ids)) == 96 + 89 + 105 + 28 + 53 + 26
    assert {"OPT-01", "OPT-96", "ORC-89", "F-001", "F-105", "I-28", "SEC-53", "CTL-26"} <= set(ids)


def test_a_row_passes_only_with_a_passed_test_and_no_failed_one() -> None:
    """ORC-87"""
    tests = [
        {"test": "a", "ids": ["F-001", "F-002"], "outcome": "passed"},
        {"test": "b", "ids": ["F-002"], "outcome": "failed"},
        {"test": "c", "ids": ["F-003"], "outcome": "skipped"},
    ]
    benches = [
        {"name": "fast", "ids": ["F-004"], "met": True},
        {"name": "slow", "ids": ["F-005"], "met": False},
        {"name": "figure", "ids": ["F-006"], "met": None},
    ]
    ids = ["F-001", "F-002", "F-003", "F-004", "F-005", "F-006"]
    rows = {row.id: row for row in matrix(ids, tests, benches)}
    assert [row_id for row_id in ids if rows[row_id].passed] == ["F-001", "F-004"]
    assert rows["F-002"].tests == ("a", "b")
    assert rows["F-006"].tests == ()


def test_the_command_prints_one_json_object_and_fails_while_rows_are_open(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    test = {"test": "t", "ids": ["F-001"], "outcome": "passed"}
    results.write_text(json.dumps({"commit": "abc", "date": "2026-01-01", "tests": [test]}))
    ids = tmp_path / "ids.txt"
    ids.write_text("F-001\nF-002\n")
    out = StringIO()
    absent = tmp_path / "none.json"
    options = {"results": results, "ids": ids, "bench": absent, "postgres": absent}
    with pytest.raises(SystemExit) as stop:
        call_command("acceptance", json=True, stdout=out, **options)
    document = json.loads(out.getvalue().splitlines()[-1])
    assert stop.value.code == 1
    assert (document["passed"], document["total"]) == (1, 2)
    assert document["rows"][0] == {"id": "F-001", "tests": ["t"], "passed": True}
    ids.write_text("F-001\n")
    call_command("acceptance", stdout=out, **options)
    assert "1 of 1 rows" in out.getvalue()


def test_a_row_of_one_database_is_proven_by_the_run_on_it_if_it_is_of_the_same_code() -> None:
    """ORC-87: skipped on SQLite, passed on PostgreSQL; yesterday's run of it proves nothing."""
    skipped = {"test": "t", "ids": ["F-041"], "outcome": "skipped"}
    run = {"commit": "abc", "tests": [skipped]}
    there = [{**skipped, "outcome": "passed"}]
    (row,) = matrix(["F-041"], both_runs(run, {"commit": "abc", "tests": there}), ())
    assert row.passed and row.tests == ("postgres:t", "t")
    for other in ({}, {"commit": "abd", "tests": there}):
        (row,) = matrix(["F-041"], both_runs(run, other), ())
        assert not row.passed


def test_without_a_test_run_the_command_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="run `make test` first") as caught:
        call_command("acceptance", results=tmp_path / "none.json")
    assert caught.value.returncode == 2


def test_a_run_writes_its_outcomes_with_the_rows_each_test_carries(tmp_path: Path) -> None:
    """ORC-87: the file is made by a real run with a pass, a failure, an error and a skip."""
    (tmp_path / "test_small.py").write_text(
        "import pytest\n"
        "def test_f_001_good(): pass\n"
        "def test_bad():\n    'I-2'\n    assert False\n"
        "@pytest.mark.skip\ndef test_skipped():\n    'I-3'\n"
        "@pytest.fixture\ndef broken(): yield; raise ValueError\n"
        "def test_torn(broken):\n    'I-4'\n"
    )
    results = tmp_path / "results.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", str(tmp_path)]
    subprocess.run(
        [*command, "--rootdir", str(tmp_path), "-c", "/dev/null", "--ds", "tests.settings_test"],
        cwd=ROOT,
        env={"TRADEPLATFORM_RESULTS": str(results), "PATH": "/usr/bin:/bin", "PYTHONPATH": "."},
        capture_output=True,
        check=False,
    )
    outcomes = {
        test["test"].split("::")[1]: (test["ids"], test["outcome"])
        for test in json.loads(results.read_text())["tests"]
    }
    assert outcomes == {
        "test_f_001_good": (["F-001"], "passed"),
        "test_bad": (["I-2"], "failed"),
        "test_skipped": (["I-3"], "skipped"),
        "test_torn": (["I-4"], "failed"),
    }


def test_writer_and_reader_of_the_results_agree_wherever_an_installation_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADEPLATFORM_VAR", str(tmp_path / "elsewhere"))
    monkeypatch.delenv("TRADEPLATFORM_RESULTS", raising=False)
    assert results_path(tmp_path) == tmp_path / "var" / "test-results.json"
    monkeypatch.setenv("TRADEPLATFORM_RESULTS", str(tmp_path / "named.json"))
    assert results_path(tmp_path) == tmp_path / "named.json"
    (tmp_path / "named.json").write_text('{"commit": "c", "date": "d", "tests": []}')
    with pytest.raises(SystemExit):
        call_command("acceptance", "--json", stdout=StringIO())
