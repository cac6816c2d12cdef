"""``make soak``: the whole platform for HOURS of wall time, or DAYS of virtual time in one process.

Samples what may leak (memory, open files, the database's size) and whether every closed bar was
analysed; ends with the invariants. Prints one JSON line; exit 1 where something was breached.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks import soak_days
from benchmarks.figures import ROOT
from benchmarks.platform_run import SYMBOLS, Platform, platform
from benchmarks.slopes import Sample, slope_per_hour

DAY_BARS = 24 * 60


def look(running: Platform, began: float) -> Sample:
    rss, files = 0, 0
    for process in running.tree():
        try:
            rss += process.memory_info().rss
            files += process.num_fds()
        except psutil.NoSuchProcess:
            # a pool process that was replaced between the list and the look
            continue
    counts = [
        int(running.rows(f"select count(*) from trades_{name}")[0][0])
        for name in ("analysis", "decision", "order")
    ]
    database = sum(path.stat().st_size for path in running.var_dir.glob("*.sqlite3*"))
    elapsed_s = time.monotonic() - began
    return Sample(elapsed_s, rss / 2**20, files, database / 2**20, *counts)


def invariants(var_dir: Path) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "manage.py", "check_invariants", "--json"],
        cwd=ROOT,
        env=os.environ
        | {"TRADEPLATFORM_VAR": str(var_dir), "DJANGO_SETTINGS_MODULE": "tradeplatform.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    document: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return document


def run(*, hours: float, seed: int, every_s: float) -> dict[str, object]:
    """Run the whole platform until the wall hours are over; return the report."""
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="tp-soak-") as folder:
        var_dir = Path(folder) / "var"
        began = time.monotonic()
        with platform(var_dir, speed="1", seed=seed) as running:
            while True:
                time.sleep(every_s)
                samples.append(look(running, began))
                sys.stderr.write(f"{samples[-1]}\n")
                if samples[-1].elapsed_s >= hours * 3600:
                    break
            restarts = (var_dir / "out.txt").read_text().count("starting it again")
        checked = invariants(var_dir)
    last = samples[-1]
    return {
        "seed": seed,
        "hours": round(last.elapsed_s / 3600, 3),
        "virtual_days": round(last.analyses / len(SYMBOLS) / DAY_BARS, 3),
        "symbols": len(SYMBOLS),
        "analyses": last.analyses,
        "decisions": last.decisions,
        "orders": last.orders,
        "restarts": restarts,
        "rss_mib": round(last.rss_mib),
        "rss_slope_mib_per_hour": slope_per_hour(samples, "rss_mib"),
        "open_files_slope_per_hour": slope_per_hour(samples, "open_files"),
        "database_slope_mib_per_hour": slope_per_hour(samples, "database_mib"),
        "breaches": checked["breaches"],
    }


def _above_zero(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"was {text!r}, allowed: a number above 0")
    return value


def main(argv: Sequence[str]) -> int:
    # without usage a refusal is one line
    parser = argparse.ArgumentParser(prog="make soak", usage=argparse.SUPPRESS, description=__doc__)
    parser.add_argument("--hours", type=_above_zero, help="of wall time")
    parser.add_argument("--days", type=_above_zero, help="of virtual time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="end DAYS early after so many of wall"
    )
    parser.add_argument("--timeframe", default="1m", help="of DAYS")
    parser.add_argument("--every", type=float, default=30.0, help="seconds between samples")
    options = parser.parse_args(argv)
    if (options.hours is None) == (options.days is None):
        sys.stderr.write("make soak needs HOURS= (wall) or DAYS= (virtual), one of them\n")
        return 2
    if options.days is not None:
        report = soak_days.launch(
            days=options.days,
            seed=options.seed,
            minutes=options.minutes,
            timeframe=options.timeframe,
        )
    else:
        report = run(hours=options.hours, seed=options.seed, every_s=options.every)
    print(json.dumps(report))
    return 1 if report["breaches"] or report.get("restarts") else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
