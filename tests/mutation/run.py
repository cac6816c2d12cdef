"""``python -m tests.mutation.run``: plants a sample of mutants in a copy of the tree, counts what
the tests of the layer notice. One JSON line at the end; survivors on standard error.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.mutation.mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parent.parent.parent
CORE = "optimization/core"
TARGETS = (
    "quality/inputs.py",
    "quality/formula.py",
    "quality/learned.py",
    "health/machine.py",
    "health/measures.py",
    "health/sequential.py",
    "sizing.py",
    "alerts.py",
    "actions.py",
    "outcome.py",
    "update.py",
    "layer.py",
    "replay_layer.py",
)
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "var", "__pycache__", ".mypy_cache")


def is_noticed(tree: Path, target: Path, mutant: Mutant) -> bool:
    """Plant one mutant and run the layer's tests; True where one of them fails."""
    right = target.read_text()
    target.write_text(mutant.text)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/{CORE}"],
            cwd=tree,
            capture_output=True,
            timeout=120,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    finally:
        target.write_text(right)
    return done.returncode != 0


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.mutation.run", description=__doc__)
    parser.add_argument("--sample", type=int, default=120, help="mutants in all; 0 is every one")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    every = [(name, m) for name in TARGETS for m in mutants((ROOT / CORE / name).read_text())]
    chosen = every
    if options.sample:
        count = min(options.sample, len(every))
        chosen = random.Random(options.seed).sample(every, count)
    noticed = 0
    with tempfile.TemporaryDirectory(prefix="tp-mutation-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT, symlinks=True)
        for name, mutant in chosen:
            if is_noticed(tree, tree / CORE / name, mutant):
                noticed += 1
            else:
                sys.stderr.write(f"survived: {name}:{mutant.line} {mutant.change}\n")
                sys.stderr.flush()
    score = noticed / len(chosen)
    print(json.dumps({"all": len(every), "tried": len(chosen), "noticed": noticed, "score": score}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
