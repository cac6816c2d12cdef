"""Which tests carry which fault and invariant: ``python -m tests.reliability`` writes them into
``docs/reliability.md``. What a row's status says is a person's word; that it has tests is not.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tradeplatform.acceptance import ids_in

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reliability.md"
STATUSES = ("proven", "partly", "not")
COUNTS = re.compile(r"\*\*(\d+) of 105 proven, (\d+) partly, (\d+) not\*\*")
_ROW = re.compile(r"^\| ((?:F|I)-\d+) \|")
# Names that a row shows; the others are counted.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: its id, fault, outcome, status and the tests it names."""

    id: str
    fault: str
    outcome: str
    status: str
    tests: tuple[str, ...]


def rows() -> list[Row]:
    """Return the rows of both tables, in their order."""
    return [_row(line) for line in PAGE.read_text().splitlines() if _ROW.match(line)]


def tests_by_id() -> Mapping[str, list[str]]:
    """Return ``file.py::test`` of every test whose name or docstring carries an id."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, row_id in _carried(ast.parse(path.read_text())):
            found[row_id].append(f"{path.name}::{name}")
    return found


def _carried(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("test_"):
            for row_id in ids_in(node.name, ast.get_docstring(node)):
                yield node.name, row_id


def _row(line: str) -> Row:
    row_id, fault, outcome, status, tests = (cell.strip() for cell in line.split("|")[1:6])
    return Row(row_id, fault, outcome, status, tuple(re.findall(r"`([^`]+::[^`]+)`", tests)))


def _named(tests: list[str]) -> str:
    names = ", ".join(f"`{test}`" for test in tests[:_NAMED])
    more = len(tests) - _NAMED
    return f"{names} and {more} more" if more > 0 else names


def main() -> None:
    """Write the tests of each row and the counts; nothing else is touched."""
    carried, lines = tests_by_id(), []
    for line in PAGE.read_text().splitlines():
        if _ROW.match(line):
            row = _row(line)
            # what the row names stays first: the test that shows it best is a person's choice
            known = [test for test in row.tests if test in carried[row.id]]
            rest = [test for test in carried[row.id] if test not in known]
            cells = (row.id, row.fault, row.outcome, row.status, _named([*known, *rest]))
            line = f"| {' | '.join(cells)} |"
        lines.append(line)
    text = "\n".join(lines) + "\n"
    of = [row.status for row in map(_row, filter(_ROW.match, lines)) if row.id.startswith("F-")]
    counts = [of.count(status) for status in STATUSES]
    said = "**{} of 105 proven, {} partly, {} not**".format(*counts)
    PAGE.write_text(COUNTS.sub(said, text))


if __name__ == "__main__":
    main()
