"""The table of promises to break is about this code: texts stand where it says, tests exist."""

from __future__ import annotations

import ast
from functools import cache

import pytest

from tests.mutation.rows import Break, breaks, page, planted, read
from tests.mutation.trees import ROOT

# The rows of the contract "decisions"; those of other contracts may have breaks too.
ROWS = {1, *range(3, 22), 55, 56, 58, 59, 64, 66, 67, 71, 73, 74, *range(81, 87), 89}


@cache
def right(name: str) -> str:
    """The program of a file as it is."""
    return ast.dump(ast.parse((ROOT / name).read_text()))


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
    assert ast.dump(ast.parse(broken)) != right(one.file)
    for test in one.tests:
        name, _, function = test.partition("::")
        # one case of a test may be named alone
        assert function.partition("[")[0] in functions_of(name), test


def test_every_row_of_decisions_and_of_the_layer_has_a_break() -> None:
    layer = {f"OPT-{row:02d}" for row in range(1, 97)}
    assert layer | {f"ORC-{row:02d}" for row in ROWS} <= {one.row for one in breaks()}


def test_what_was_broken_is_named_once_a_row() -> None:
    """The page is read back by these two, and so they must tell the breaks apart."""
    names = [(one.row, one.broken) for one in breaks()]
    assert len(set(names)) == len(names) and not any("|" in name for _, name in names)


def test_a_text_that_is_not_there_or_there_twice_is_refused() -> None:
    one = Break("ORC-01", "nothing", "engine/none.py", "a", "b", ())
    for text in ("", "a a"):
        with pytest.raises(ValueError, match="times in engine/none"):
            planted(text, one)


def test_the_page_counts_a_row_only_where_all_of_its_breaks_turned_a_test_red() -> None:
    one, twin, other, later = (
        Break(row, broken, "engine/none.py", "a", "b", ())
        for row, broken in (("C-1", "this"), ("C-1", "too"), ("C-2", "that"), ("C-3", "then"))
    )
    told = {("C-1", "this"): ("tests/a.py::test_b", "tests/a.py::test_c"), ("C-2", "that"): ()}
    text = page([one, other, later], told)
    assert (
        "| C-1 | this | `engine/none.py` | `tests/a.py::test_b`<br>`tests/a.py::test_c` |" in text
    )
    assert "| C-2 | that | `engine/none.py` | **nothing** |" in text
    assert "1 of 3 broken promises turned a test red; 1 rows are proven" in text
    assert "1 of 2 broken promises turned a test red; 0 rows are proven" in page([one, twin], told)


def test_what_a_page_says_is_kept_for_rows_that_are_not_run_again() -> None:
    table = [Break("C-1", "this", "f.py", "a", "b", ()), Break("C-2", "that", "f.py", "a", "b", ())]
    for told in ({}, {("C-1", "this"): ("t.py::test_b", "t.py::test_c"), ("C-2", "that"): ()}):
        assert read(page(table, told)) == told
