"""How fast the real session walks through history, and what memory it takes as it grows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.figures import ROOT, BenchmarkFailed, Figure, Options
from market.sources.synthetic_path import synthetic_bars

START_MS, MINUTE_MS = 1_704_067_200_000, 60_000
SIZES = (10_000, 100_000, 1_000_000)
QUICK_SIZES = (10_000, 50_000)
SYMBOL = "BTC/USDT"
ONE_RULE = "one EMA rule"
# One EMA rule through the whole session is the ground on which other engines publish figures.
SUBJECTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (ONE_RULE, ("--predictors", "none", "--strategies", "ema-trend")),
    ("five rules and the ensemble", ("--predictors", "none")),
    ("all sources", ()),
)


def candle_file(folder: Path, n_bars: int, seed: int = 1) -> Path:
    """Write a seeded synthetic market as the candle file an operator would have."""
    path = folder / f"synthetic_spot_BTCUSDT_1m_{n_bars}.parquet"
    if not path.exists():
        bars = synthetic_bars(seed, SYMBOL, START_MS, MINUTE_MS, n_bars)
        names = ("open", "high", "low", "close", "volume")
        columns = {"timestamp": bars.ts_ms} | {name: getattr(bars, name) for name in names}
        pl.DataFrame(columns).write_parquet(path)
    return path


def replay(path: Path, *arguments: str) -> dict[str, Any]:
    """Run ``manage.py replay`` in a process of its own and return its JSON object."""
    command = [sys.executable, "manage.py", "replay", "--data", str(path), "--json", *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tradeplatform.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchmarkFailed(f"replay ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return document


def speed(options: Options) -> Sequence[Figure]:
    """Bars a second, rules only and with every source, at growing sizes; growth of memory."""
    sizes = QUICK_SIZES if options.quick else SIZES
    figures: list[Figure] = []
    for label, arguments in SUBJECTS:
        results = []
        for n_bars in sizes:
            result = replay(candle_file(options.folder, n_bars), *arguments)
            results.append(result)
            figures.append(
                Figure(
                    name=f"replay, {label}, {n_bars:,} bars",
                    value=round(result["bars_per_s"]),
                    unit="bars/s",
                    target=25_000 if label == ONE_RULE else None,
                    better="higher",
                    detail=f"{result['decisions']:,} decisions, {result['trades']:,} trades,"
                    f" peak {result['peak_rss_mb']:.0f} MB",
                )
            )
        figures.append(
            Figure(
                name=f"replay, {label}, memory grown from {sizes[0]:,} to {sizes[-1]:,} bars",
                value=round(results[-1]["peak_rss_mb"] - results[0]["peak_rss_mb"]),
                unit="MB",
            )
        )
    return figures
