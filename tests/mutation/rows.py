"""``python -m tests.mutation.rows``: breaks the promise of each contract row, one at a time, in a
copy of the tree, and says which test turned red. ``--write`` renders ``docs/acceptance.md``.

Exit status 1 where a broken promise went unnoticed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.trees import ROOT, TestTree

TABLES = tuple(Path(__file__).parent / name for name in ("breaks.toml", "breaks_layer.toml"))
PAGE = ROOT / "docs/acceptance.md"
HEAD = """# Rows whose promise was broken on purpose

Each row of the contract below was broken once in the code, in a copy of the tree, and the tests
named beside it were run: a row counts as proven where one of them turned red. Made by

```
python -m tests.mutation.rows --write
```

from `breaks.toml` (the decisions) and `breaks_layer.toml` (the optimization layer) beside it, which
say what was changed to the letter. That a test names a row is shown by `manage.py acceptance`;
that it would notice is shown here.

| row | what was broken | where | what turned red |
|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Break:
    """One promise broken: ``old`` stands exactly once in ``file``, one of ``tests`` must fail."""

    row: str
    broken: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def breaks() -> tuple[Break, ...]:
    """Return the tables, one after the other, each in its order."""
    rows = [row for table in TABLES for row in tomllib.loads(table.read_text())["break"]]
    return tuple(Break(**{**row, "tests": tuple(row["tests"])}) for row in rows)


def planted(text: str, one: Break) -> str:
    """Return the file's text with the promise broken.

    Raises:
        ValueError: the old text does not stand in it exactly once.
    """
    count = text.count(one.old)
    if count != 1:
        raise ValueError(f"{one.row}: old text stands {count} times in {one.file}, needed is 1")
    return text.replace(one.old, one.new)


def met(tree: TestTree, one: Break, failing: Collection[str]) -> tuple[tuple[str, ...], str]:
    """Return the tests that failed with one promise broken, and what is said of it.

    ``failing`` are the tests that fail on the right code too: one of them notices nothing.

    Raises:
        RuntimeError: its tests could not be run.
    """
    already = [test for test in one.tests if test.partition("[")[0] in failing]
    if already:
        return (), f"MISSED: fails on the right code too, {', '.join(already)}"
    red = tree.failed(one.file, planted((ROOT / one.file).read_text(), one), one.tests)
    return red, f"caught by {', '.join(red)}" if red else "MISSED"


Told = dict[tuple[str, str], tuple[str, ...]]
"""What turned red, by row and by what was broken."""


def page(table: Sequence[Break], told: Told) -> str:
    """Return the page of what was broken and what turned red; what was never run stands open."""
    lines = []
    for one in table:
        red = told.get((one.row, one.broken))
        names = "not run yet" if red is None else "<br>".join(f"`{name}`" for name in red)
        lines.append(f"| {one.row} | {one.broken} | `{one.file}` | {names or '**nothing**'} |\n")
    caught = [one for one in table if told.get((one.row, one.broken))]
    rows = len({one.row for one in table} - {one.row for one in table if one not in caught})
    sums = f"{len(caught)} of {len(table)} broken promises turned a test red"
    return f"{HEAD}{''.join(lines)}\n{sums}; {rows} rows are proven by all of theirs.\n"


def read(text: str) -> Told:
    """Return what a page says, so that a run of some rows keeps the others'."""
    told: Told = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 4 and cells[0][-1:].isdigit() and cells[3] != "not run yet":
            names = tuple(cells[3].replace("`", "").split("<br>"))
            told[cells[0], cells[1]] = () if names == ("**nothing**",) else names
    return told


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.mutation.rows", description=__doc__)
    parser.add_argument("--rows", default="", help="ORC-01,ORC-03; left out: all of them")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    options = parser.parse_args(argv)
    every = breaks()
    wanted = {row for row in options.rows.split(",") if row}
    unknown = sorted(wanted - {one.row for one in every})
    if unknown:
        parser.error(f"rows of the table were wanted, unknown are {', '.join(unknown)}")
    chosen = [one for one in every if not wanted or one.row in wanted]
    found = []
    with tempfile.TemporaryDirectory(prefix="tp-rows-") as scratch:
        tree = TestTree(Path(scratch) / "tree", database=True)
        # all of them on the right code once, by file: what is the same for many is done once
        failing = tree.failing(sorted({test for one in chosen for test in one.tests}))
        for one in chosen:
            started = time.perf_counter()
            try:
                red, told = met(tree, one, failing)
            except RuntimeError as error:
                red, told = (), f"MISSED: {error}"
            took_s = time.perf_counter() - started
            print(f"{one.row}  {took_s:5.1f} s  {one.broken}: {told}", flush=True)
            found.append((one, red))
        tree.close()
    missed = sum(not red for _, red in found)
    print(f"{len(found) - missed} of {len(found)} caught, {missed} missed")
    if options.write:
        before = read(PAGE.read_text()) if PAGE.exists() else {}
        PAGE.write_text(page(every, before | {(one.row, one.broken): red for one, red in found}))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
