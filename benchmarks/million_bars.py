"""A million bars: kept in a file, listed, read for a replay, stored as rows and charted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import ROOT, BenchmarkFailed, Figure, Options

MINUTE_MS = 60_000
START_MS = 1_600_000_020_000


def million_bars(options: Options) -> Sequence[Figure]:
    """Measure in a process with a database of its own."""
    n_bars = 100_000 if options.quick else 1_000_000
    environment = os.environ | {
        "DATABASE_URL": f"sqlite:///{options.folder / 'bars.sqlite3'}",
        "TRADEPLATFORM_VAR": str(options.folder / "var"),
    }
    argv = [sys.executable, "-m", "benchmarks.million_bars", str(options.folder), str(n_bars)]
    done = subprocess.run(
        argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkFailed(f"ended with {done.returncode}: {done.stderr[-800:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    detail = f"{n_bars:,} bars of a minute, SQLite"
    units = {name: unit for name, unit in _UNITS.items() if name in found}
    return [
        Figure(name=f"a million bars: {name}", value=found[name], unit=unit, detail=detail)
        for name, unit in units.items()
    ]


_UNITS = {
    "file": "MB",
    "kept in a file": "s",
    "listed with its gaps": "s",
    "read for a replay": "s",
    "whole stretch charted": "ms",
    "bars sent to the browser": "bars",
    "answer to the browser": "kB",
    "newest bars charted": "ms",
}


def measure(folder: Path, n_bars: int) -> dict[str, float]:
    from django.core.management import call_command

    from market.candle_store import Shelf, gaps_of
    from market.sources.files import read_bars
    from market.sources.history import load_history
    from market.sources.synthetic_path import synthetic_bars

    call_command("migrate", verbosity=0)
    bars = synthetic_bars(5, "BTC/USDT", START_MS, MINUTE_MS, n_bars)
    shelf = Shelf(folder, "binance", "BTC/USDT", MINUTE_MS)
    found = {"kept in a file": _seconds(lambda: shelf.keep(bars))}
    found["file"] = shelf.path.stat().st_size / 1e6
    found["listed with its gaps"] = _seconds(lambda: gaps_of(read_bars(shelf.path).bars))
    found["read for a replay"] = _seconds(lambda: load_history([shelf.path]))
    _store(bars)
    return found | _charted(n_bars)


def _store(bars: Any) -> None:
    from django.utils import timezone

    from market.models import Instrument
    from market.services import candles_backfill

    one = dict.fromkeys(
        (
            "tick_size",
            "lot_size",
            "min_notional_quote",
            "min_quantity_base",
            "maker_fee_fraction",
            "taker_fee_fraction",
        ),
        "0.01",
    )
    Instrument.objects.create(
        venue="binance",
        symbol="BTC/USDT",
        base="BTC",
        quote="USDT",
        updated_at=timezone.now(),
        **one,
    )
    for first in range(0, len(bars), 50_000):
        part = bars.rows(first, min(first + 50_000, len(bars)))
        candles_backfill(venue="binance", symbol="BTC/USDT", bars=part, limit=50_000)


def _charted(n_bars: int) -> dict[str, float]:
    """Ask for what the market page asks for, the whole stretch and its newest bars."""
    from monitoring.market_data import market_view
    from trades.models import TradingRun

    run = TradingRun(
        code="00000000-0000-0000-0000-000000000001",
        mode="paper",
        venue="binance",
        account="main",
        symbols=["BTC/USDT"],
        timeframe_ms=MINUTE_MS,
        quote="USDT",
        starting_cash_quote="10000",
        config={},
        config_digest="",
        code_version="",
        started_at=datetime.fromtimestamp(START_MS / 1000, UTC),
    )
    run.save()
    until_ms = START_MS + n_bars * MINUTE_MS
    began = time.perf_counter()
    view = market_view(run, "BTC/USDT", since_ms=START_MS, until_ms=until_ms)
    whole_ms = 1000 * (time.perf_counter() - began)
    return {
        "whole stretch charted": whole_ms,
        "bars sent to the browser": len(view["bars"]["ts_ms"]),
        "answer to the browser": len(json.dumps(view)) / 1000,
        "newest bars charted": 1000 * _seconds(lambda: market_view(run, "BTC/USDT")),
    }


def _seconds(call: Any) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeplatform.settings")
    django.setup()
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))))
