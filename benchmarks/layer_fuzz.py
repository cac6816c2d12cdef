"""The long fuzz: random states, signals and accounts through the real phase 7, layer on.

``python -m benchmarks.layer_fuzz --steps N --seed S`` prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.figures import Figure, Options
from tests.optimization.core.fuzz import fuzz


def layer_fuzz(options: Options) -> list[Figure]:
    """The benchmark: breaches of any bound must be 0."""
    steps = 2_000 if options.quick else 100_000
    started = time.perf_counter()
    found = fuzz(steps, seed=2)
    took_s = time.perf_counter() - started
    detail = f"{found.steps:,} steps, {found.sized:,} sized, {found.incidents} incidents"
    return [
        Figure(
            name="layer fuzz, bounds and caps broken",
            value=found.breaches,
            unit="breaches",
            target=0.0,
            detail=detail,
        ),
        Figure(
            name="layer fuzz, one judged and sized entry",
            value=took_s / steps * 1e6,
            unit="us",
            detail="scoring, multiplier, gates and caps, with the making of the question",
        ),
    ]


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.layer_fuzz", description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=2)
    options = parser.parse_args(argv)
    started = time.perf_counter()
    found = asdict(fuzz(options.steps, options.seed))
    print(json.dumps({**found, "elapsed_s": round(time.perf_counter() - started, 1)}))
    return 1 if found["breaches"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
