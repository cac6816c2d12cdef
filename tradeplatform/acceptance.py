"""Which rows of the contract have a test that passed: ids, the last run's outcomes, the matrix.

A test carries a row's id in its docstring (``F-045``, ``I-3``) or in its name
(``test_f_045_…``). A row passes when at least one of its tests ran and passed and none failed;
a skipped test proves nothing.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_DIGITS = {"OPT": 2, "ORC": 2, "F": 3, "I": 1, "SEC": 1, "CTL": 1}
_IN_TEXT = re.compile(r"\b(OPT|ORC|F|I|SEC|CTL)-(\d{1,3})\b")
_IN_NAME = re.compile(r"(?:^|_)(opt|orc|f|i|sec|ctl)_(\d{1,3})(?=_|$|\[)")


class AcceptanceInputError(Exception):
    """There is nothing to report on; the message is one line with what to do."""


@dataclass(frozen=True)
class Row:
    """One row of the contract and the tests that carry its id."""

    id: str
    tests: tuple[str, ...]
    passed: bool


def results_path(root: Path) -> Path:
    """Return where a run of the whole suite leaves its outcomes, for the writer and the reader.

    Beside the code they are about, not in ``TRADEPLATFORM_VAR``: one installation's files may
    serve several checkouts. ``TRADEPLATFORM_RESULTS`` names another file.
    """
    named = os.environ.get("TRADEPLATFORM_RESULTS")
    return Path(named) if named else root / "var" / "test-results.json"


def postgres_results_path(root: Path) -> Path:
    """Return where the run of the database tests on PostgreSQL leaves its outcomes."""
    return root / "var" / "test-results-postgres.json"


def both_runs(run: Mapping[str, Any], on_postgres: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the tests of both; those on PostgreSQL only where they are of the same code."""
    tests: list[Mapping[str, Any]] = list(run["tests"])
    if on_postgres.get("commit") == run["commit"]:
        named = on_postgres["tests"]
        tests += [{**test, "test": f"postgres:{test['test']}"} for test in named]
    return tests


def row_id(kind: str, number: int | str) -> str:
    """Return the id as the contract prints it: ``OPT-07``, ``F-045``, ``I-3``."""
    return f"{kind}-{int(number):0{_DIGITS[kind]}d}"


def ids_in(name: str, *docstrings: str | None) -> list[str]:
    """Return the row ids that a test's name and docstrings carry, sorted, each once."""
    found = {row_id(kind.upper(), number) for kind, number in _IN_NAME.findall(name)}
    for text in docstrings:
        found |= {row_id(kind, number) for kind, number in _IN_TEXT.findall(text or "")}
    return sorted(found)


def contract_ids(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def read_results(path: Path) -> dict[str, Any]:
    """Return what the last run or benchmark wrote.

    Raises:
        AcceptanceInputError: no such file, or not what we write.
    """
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise AcceptanceInputError(f"{path} was not there; run `make test` first") from error
    except ValueError as error:
        raise AcceptanceInputError(f"{path} was not JSON ({error}); run `make test`") from error
    if not isinstance(document, dict):
        raise AcceptanceInputError(f"{path} was {type(document).__name__}, allowed: an object")
    return document


def matrix(
    ids: Iterable[str], tests: Iterable[Mapping[str, Any]], benches: Iterable[Mapping[str, Any]]
) -> list[Row]:
    """Return one row an id, in the contract's order.

    Args:
        tests: each with ``test``, ``ids`` and ``outcome`` (passed, failed, skipped).
        benches: each with ``name``, ``ids`` and ``met`` (true, false, or null without a target).
    """
    outcomes: dict[str, list[tuple[str, str]]] = {}
    for test in tests:
        for found in test["ids"]:
            outcomes.setdefault(found, []).append((test["test"], test["outcome"]))
    for bench in benches:
        # a quick run is for trying the benchmark, not for showing it
        if bench.get("met") is not None and not bench.get("quick"):
            outcome = "passed" if bench["met"] else "failed"
            for found in bench.get("ids", ()):
                outcomes.setdefault(found, []).append((f"bench:{bench['name']}", outcome))
    rows = []
    for contract_id in ids:
        having = sorted(outcomes.get(contract_id, []))
        results = {outcome for _, outcome in having}
        names = tuple(name for name, _ in having)
        rows.append(Row(contract_id, names, "passed" in results and "failed" not in results))
    return rows
