"""The table of promises to break is about this code: texts stand where it says, tests exist."""

from __future__ import annotations

import ast
from functools import cache

import pytest

from tests.mutation.rows import Break, breaks, page, planted
from tests.mutation.trees import ROOT

# The rows of the contract "decisions".
ROWS = {1, *range(3, 22), 55, 56, 58, 59, 64, 66, 67, 71, 73, 74, *range(81, 87), 89}


@cache
def functions_of(name: str) -> frozenset[str]:
    """Every test of a file as pytest names it, without its cases."""
    found = set()
    for node in ast.parse((ROOT / name).read_text()).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        found |= {f"{prefix}{n.name}" for n in inside if isinstance(n, ast.FunctionDef)}
    return frozenset(found)


@pytest.mark.parametrize("one", breaks(), ids=lambda one: f"{one.row} {one.broken}")
def test_a_break_still_applies(one: Break) -> None:
    """Whoever moves the code moves its line in the table too."""
    broken = planted((ROOT / one.file).read_text(), one)
    assert ast.dump(ast.parse(broken)) != ast.dump(ast.parse((ROOT / one.file).read_text()))
    for test in one.tests:
        name, _, function = test.partition("::")
        assert function in functions_of(name), test


def test_every_row_of_decisions_has_a_break() -> None:
    assert {one.row for one in breaks()} == {f"ORC-{row:02d}" for row in ROWS}


def test_a_text_that_is_not_there_or_there_twice_is_refused() -> None:
    one = Break("ORC-01", "nothing", "engine/none.py", "a", "b", ())
    for text in ("", "a a"):
        with pytest.raises(ValueError, match="times in engine/none"):
            planted(text, one)


def test_the_page_counts_a_row_only_where_something_turned_red() -> None:
    one = Break("ORC-01", "this", "engine/none.py", "a", "b", ())
    other = Break("ORC-02", "that", "engine/none.py", "a", "b", ())
    told = page([(one, ("tests/a.py::test_b",)), (other, ())])
    assert "| ORC-01 | this | `engine/none.py` | `tests/a.py::test_b` |" in told
    assert "| ORC-02 | that | `engine/none.py` | **nothing** |" in told
    assert told.endswith("2 promises broken, 1 rows proven.\n")
