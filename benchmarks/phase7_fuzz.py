"""The longest fuzz: hostile policies, markets and accounts through the whole of phase 7.

``python -m benchmarks.phase7_fuzz --steps N --seed S`` prints one JSON line; its exit status is 1
where a multiplier, a size or a state broke what holds, and ``first_breach`` says what.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from tests.engine.phases.hostile import fuzz_phase_7


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.phase7_fuzz", description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=2)
    options = parser.parse_args(argv)
    started, worked = time.perf_counter(), time.process_time()
    found = asdict(fuzz_phase_7(options.steps, options.seed))
    took = {
        "elapsed_s": round(time.perf_counter() - started, 1),
        "processor_s": round(time.process_time() - worked, 1),
    }
    print(json.dumps({**found, **took}))
    return 1 if found["breaches"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
