"""``make soak``: the whole platform for hours of wall time, or days of virtual time.

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
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.figures import ROOT
from benchmarks.platform_run import SYMBOLS, Platform, platform

DAY_BARS = 24 * 60
# What the loop keeps up with on two cores with room to spare; DAYS= runs at this speed.
VIRTUAL_SPEED = 2.0
# Memory and files settle while caches fill; slopes are taken after this part of the run.
SETTLING_FRACTION = 0.25


@dataclass(frozen=True)
class Sample:
    """One look at the running platform."""

    elapsed_s: float
    rss_mib: float
    open_files: int
    database_mib: float
    analyses: int
    decisions: int
    orders: int


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


def slope_per_hour(samples: Sequence[Sample], what: str) -> float | None:
    """Return the least-squares slope of one measure; None for fewer than three samples."""
    kept = [s for s in samples if s.elapsed_s >= samples[-1].elapsed_s * SETTLING_FRACTION]
    if len(kept) < 3:
        return None
    times = [s.elapsed_s / 3600 for s in kept]
    values = [float(getattr(s, what)) for s in kept]
    middle_t, middle_v = sum(times) / len(kept), sum(values) / len(kept)
    spread = sum((t - middle_t) ** 2 for t in times)
    if spread == 0:
        return None
    covariance = sum((t - middle_t) * (v - middle_v) for t, v in zip(times, values, strict=True))
    return covariance / spread


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


def run(*, hours: float | None, days: float | None, seed: int, every_s: float) -> dict[str, object]:
    """Run until the wall hours or the virtual days are over; return the report."""
    speed = 1.0 if days is None else VIRTUAL_SPEED
    target = None if days is None else round(days * DAY_BARS) * len(SYMBOLS)
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="tp-soak-") as folder:
        var_dir = Path(folder) / "var"
        began = time.monotonic()
        with platform(var_dir, speed=f"{speed:g}", seed=seed) as running:
            while True:
                time.sleep(every_s)
                samples.append(look(running, began))
                sys.stderr.write(f"{samples[-1]}\n")
                if hours is not None and samples[-1].elapsed_s >= hours * 3600:
                    break
                if target is not None and samples[-1].analyses >= target:
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
    parser.add_argument("--every", type=float, default=30.0, help="seconds between samples")
    options = parser.parse_args(argv)
    if (options.hours is None) == (options.days is None):
        sys.stderr.write("make soak needs HOURS= (wall) or DAYS= (virtual), one of them\n")
        return 2
    report = run(hours=options.hours, days=options.days, seed=options.seed, every_s=options.every)
    print(json.dumps(report))
    return 1 if report["breaches"] or report["restarts"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
