"""``python -m tests.mutation.run``: plants every mutant of the layer and its seam, one by one, in a
copy of the tree and counts what the tests notice. Survivors go to standard error, a JSON line
with the score of each file to standard output.

Which tests meet a mutant is measured first: those that run its line. A line that is read at import
only, or compiled, meets every test that runs its file.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutation.mutants import Mutant, mutants
from tests.mutation.trees import ROOT, Reached, TestTree

SEAM = (
    "engine/policy.py",
    "engine/failsafe.py",
    "engine/phases/risk_and_sizing.py",
    "optimization/live.py",
)
CORE = tuple(sorted(str(p.relative_to(ROOT)) for p in (ROOT / "optimization/core").rglob("*.py")))
TARGETS = (*CORE, *SEAM)
TESTS = (
    "tests/optimization/core",
    "tests/optimization/test_live.py",
    "tests/engine/test_policy.py",
    "tests/engine/test_failsafe.py",
    "tests/engine/test_executors.py",
    "tests/engine/phases/test_risk_and_sizing.py",
    "tests/engine/phases/test_entry_gates.py",
    "tests/engine/phases/test_policy_seam.py",
)

Planted = tuple[str, Mutant]
NOBODY = " (no test runs it)"


def told(planted: Planted) -> str:
    name, mutant = planted
    return f"survived: {name}:{mutant.line} {mutant.change}"


def notice_all(chosen: Sequence[Planted], reached: Reached, jobs: int) -> Counter[str]:
    """Return how many mutants of each file a test noticed; survivors are told as they are found."""
    noticed: Counter[str] = Counter()
    trees: SimpleQueue[TestTree] = SimpleQueue()

    def meet(planted: Planted) -> None:
        name, mutant = planted
        tree = trees.get()
        tests = reached.tests_of(name, mutant.line)
        if tests and tree.is_noticed(name, mutant.text, tests):
            noticed[name] += 1
        else:
            why = "" if tests else NOBODY
            sys.stderr.write(f"{told(planted)}{why}\n")
            sys.stderr.flush()
        trees.put(tree)

    with tempfile.TemporaryDirectory(prefix="tp-mutation-") as folder:
        for job in range(jobs):
            trees.put(TestTree(Path(folder) / str(job)))
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(meet, chosen))
        for _ in range(jobs):
            trees.get().close()
    return noticed


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.mutation.run", description=__doc__)
    parser.add_argument("files", nargs="*", help=f"of {', '.join(TARGETS)}; none is all of them")
    parser.add_argument(
        "--tests", nargs="+", default=TESTS, help="of whom to learn; fewer can only notice less"
    )
    parser.add_argument("--sample", type=int, default=0, help="mutants in all; 0 is every one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--again", type=Path, help="only mutants that this standard error of a run names survivors"
    )
    parser.add_argument("--jobs", type=int, default=1, help="trees tested side by side")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.files) - set(TARGETS))
    if unknown:
        parser.error(f"files must be of {', '.join(TARGETS)}, were {', '.join(unknown)}")
    every = [
        (name, mutant)
        for name in options.files or TARGETS
        for mutant in mutants((ROOT / name).read_text())
    ]
    chosen = every
    if options.again:
        lines = {line.removesuffix(NOBODY) for line in options.again.read_text().splitlines()}
        chosen = [planted for planted in every if told(planted) in lines]
    if options.sample:
        count = min(options.sample, len(chosen))
        chosen = random.Random(options.seed).sample(chosen, count)
    with tempfile.TemporaryDirectory(prefix="tp-mutation-") as folder:
        right = TestTree(Path(folder) / "tree")
        reached = right.reached(options.tests)
        right.close()
    noticed = notice_all(chosen, reached, options.jobs)
    tried = Counter(name for name, _ in chosen)
    files = {name: {"tried": n, "noticed": noticed[name]} for name, n in sorted(tried.items())}
    score = sum(noticed.values()) / len(chosen) if chosen else None
    counts = {"all": len(every), "tried": len(chosen), "noticed": sum(noticed.values())}
    print(json.dumps({**counts, "score": score, "files": files}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
