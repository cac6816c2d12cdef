"""What watching costs: the sampler and the optimizer beside the watchdog they live with (D-49)."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

import psutil

from benchmarks.figures import ROOT, BenchmarkFailed, Figure, Options
from benchmarks.platform_run import platform

# The watchdog's process with everything it imports, and nothing started.
_IDLE = (
    "import django; django.setup(); import tradeplatform.management.commands.watchdog;"
    "import psutil; print(psutil.Process().memory_info().rss)"
)


def resource_watch(options: Options) -> Sequence[Figure]:
    """Run the platform and read its watchdog's processor time and memory."""
    seconds = 20.0 if options.quick else 120.0
    with platform(options.folder / "watch", speed="1") as running:
        pid = running.pids().get("watchdog")
        if pid is None:
            raise BenchmarkFailed("the watchdog was not running")
        process = psutil.Process(pid)
        time.sleep(20.0)
        before, began = sum(process.cpu_times()[:2]), time.monotonic()
        time.sleep(seconds)
        share = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began)
        rss = process.memory_info().rss
    idle = subprocess.run(
        [sys.executable, "-c", _IDLE],
        cwd=ROOT,
        env={**_environment(), "TRADEPLATFORM_VAR": str(options.folder / "idle")},
        capture_output=True,
        text=True,
        check=True,
    )
    return [
        Figure(
            name="watchdog with sampler and optimizer, share of one core",
            value=round(share, 4),
            unit="fraction",
            target=0.02,
            ids=("ORC-61",),
            detail=f"over {seconds:.0f} s at one bar a second",
        ),
        Figure(
            name="sampler and optimizer beyond an idle watchdog",
            value=round((rss - float(idle.stdout)) / 1e6, 1),
            unit="MB",
            target=50.0,
            ids=("ORC-61",),
        ),
    ]


def _environment() -> dict[str, str]:
    return {"DJANGO_SETTINGS_MODULE": "tradeplatform.settings", "PATH": "/usr/bin:/bin"}
