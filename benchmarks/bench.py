"""``make bench``: measures, compares with the targets, writes ``benchmarks/results.json``.

Every figure carries the commit and the day it was measured on; a run of one benchmark
(``--only``) leaves the other figures as they were.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeplatform.settings")
django.setup()

from benchmarks import (  # noqa: E402
    api_fuzz,
    columns,
    decisions,
    features,
    health_detectors,
    layer_fuzz,
    million_bars,
    peers,
    performance,
    platform_run,
    predictors,
    replays,
    resource_watch,
    sockets,
    sweep_workers,
    symbols50,
)
from benchmarks.figures import ROOT, Benchmark, BenchmarkFailed, Options, machine  # noqa: E402
from tradeplatform.version import code_version  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results.json"
BENCHMARKS: dict[str, Benchmark] = {
    "features": features.columns_and_rows,
    "live-decision": decisions.live_decision,
    "replay-speed": replays.speed,
    "columns": columns.columns,
    "peers": peers.peers,
    "predictors": predictors.predictors,
    "trade-performance": performance.decomposition,
    "fuzzed-weights": performance.fuzzed_weights,
    "start-and-memory": platform_run.start_and_memory,
    "bar-to-order": platform_run.bar_to_order,
    "health-detectors": health_detectors.health_detectors,
    "layer-fuzz": layer_fuzz.layer_fuzz,
    "resource-watch": resource_watch.resource_watch,
    "sockets": sockets.sockets,
    "symbols-50": symbols50.symbols50,
    "api-fuzz": api_fuzz.api_fuzz,
    "sweep-workers": sweep_workers.sweep_workers,
    "million-bars": million_bars.million_bars,
}


def measure(
    names: Sequence[str], *, quick: bool, beside: tuple[Path, ...] = ()
) -> tuple[list[dict[str, Any]], list[str]]:
    """Run the named benchmarks one after another; return their figures and what failed."""
    figures: list[dict[str, Any]] = []
    failures: list[str] = []
    commit, date = code_version(ROOT), datetime.now(UTC).isoformat(timespec="seconds")
    for name in names:
        sys.stderr.write(f"{name} ...\n")
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="tp-bench-") as folder:
            try:
                found = BENCHMARKS[name](Options(quick=quick, folder=Path(folder), peers=beside))
            except BenchmarkFailed as error:
                failures.append(f"{name}: {error}")
                continue
        sys.stderr.write(f"{name} took {time.monotonic() - began:.0f} s\n")
        figures += [
            {
                "benchmark": name,
                "name": figure.name,
                "value": figure.value,
                "unit": figure.unit,
                "target": figure.target,
                "better": figure.better,
                "met": figure.met,
                "ids": list(figure.ids),
                "detail": figure.detail,
                "commit": commit,
                "date": date,
                "quick": quick,
            }
            for figure in found
        ]
    return figures, failures


def merged(old: Path, figures: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the document to write: new figures replace those of the same benchmark."""
    kept: list[dict[str, Any]] = []
    if old.exists():
        again = {figure["benchmark"] for figure in figures}
        before = json.loads(old.read_text())["benchmarks"]
        kept = [figure for figure in before if figure["benchmark"] not in again]
    order = list(BENCHMARKS)
    every = sorted([*kept, *figures], key=lambda figure: order.index(figure["benchmark"]))
    return {
        "commit": code_version(ROOT),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "make bench",
        "machine": machine(),
        "benchmarks": every,
    }


def table(figures: Sequence[dict[str, Any]]) -> str:
    """Return the figures as text, the missed targets marked."""
    words = {True: "met", False: "MISSED", None: ""}
    rows = [("figure", "value", "target", "", "")]
    for figure in figures:
        sign = ">=" if figure["better"] == "higher" else "<="
        target = "" if figure["target"] is None else f"{sign} {figure['target']:,.6g}"
        value = f"{figure['value']:,.6g} {figure['unit']}"
        rows.append((figure["name"], value, target, words[figure["met"]], figure["detail"]))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{name:<{widths[0]}}  {value:>{widths[1]}}  {target:>{widths[2]}}  {met:<{widths[3]}}"
        f"  {detail}".rstrip()
        for name, value, target, met, detail in rows
    )


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    usual = [name for name in BENCHMARKS if name != "peers"]
    parser.add_argument("--only", nargs="*", choices=list(BENCHMARKS), default=usual)
    parser.add_argument(
        "--peers",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="environments made of requirements-bench*.txt",
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes; marked in the file")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    figures, failures = measure(options.only, quick=options.quick, beside=tuple(options.peers))
    document = merged(options.out, figures)
    options.out.write_text(json.dumps(document, indent=1) + "\n")
    print(table(document["benchmarks"]))
    for failure in failures:
        sys.stderr.write(f"not measured: {failure}\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
