"""``make soak DAYS=``: virtual days through the real loop in one process, nothing waited for.

The practice exchange is a process of its own and closes a bar when it is asked to; session,
journal, order path, reconciliation and the layer's updates are those of a trading worker, on a
database of their own. Venue faults come at a low rate, and the session is thrown away and rebuilt
from rows now and then. Left out, because it would wait: Celery, beat and the web process.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.figures import ROOT, percentile
from benchmarks.slopes import Sample, slope_per_hour
from market.sources.instruments import timeframe_to_ms

BASES = ("BTC", "ETH", "SOL", "ADA", "XRP", "LTC", "DOT", "BCH", "ETC", "LINK")
SYMBOLS = tuple(f"{base}/USDT" for base in BASES)
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
SAMPLE_EVERY_BARS = 60
FAULT_EVERY_BARS = 120
REBUILD_EVERY_BARS = 1_000
FAULTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("order.create", "accept_then_timeout", {"hold_s": 0.2}),
    ("order.create", "5xx", {"accept": True}),
    ("order.create", "html", {}),
    ("order.query", "5xx", {}),
    ("myTrades", "truncate", {}),
    ("order.fill", "partial", {"fraction": "0.5"}),
    ("klines", "drop_bars", {"n": 1}),
)


@dataclass
class Soak:
    """What a run has seen so far."""

    bars: int = 0
    faults: int = 0
    rebuilds: int = 0
    updates: int = 0


def run(*, days: float, seed: int, minutes: float, timeframe: str) -> dict[str, object]:
    """Trade ``days`` of venue time in bars of ``timeframe``, at most ``minutes`` of wall time;
    return the report.

    Django is set up here, on files that are gone afterwards.
    """
    import django

    django.setup()
    from tests.practice_process import practice_process

    folder = Path(os.environ["TRADEPLATFORM_VAR"])
    arguments = ("--symbols", ",".join(SYMBOLS), "--seed", str(seed), "--warmup-bars", "3000")
    with practice_process(folder / "practice", *arguments, "--timeframe", timeframe) as venue:
        report = _trade(venue, days, seed, minutes, folder, timeframe_to_ms(timeframe))
        return {"timeframe": timeframe, **report}


def _trade(
    venue: Any, days: float, seed: int, minutes: float, folder: Path, bar_ms: int
) -> dict[str, object]:
    from django.conf import settings
    from django.core.management import call_command
    from django.utils import timezone

    from optimization.services import optimization_update
    from tests.practice_process import KEY, SECRET
    from tradeplatform import configuration
    from tradeplatform.run_setup import run_ensure
    from tradeplatform.running import running_session
    from trades import loop
    from trades.invariants import check_all
    from trades.lease import lease_acquire

    admin = f"http://127.0.0.1:{venue.admin_port}"
    os.environ.update(
        TRADEPLATFORM_EXCHANGE_KEY=KEY,
        TRADEPLATFORM_EXCHANGE_SECRET=SECRET,
        TRADEPLATFORM_PRACTICE_ADMIN_URL=admin,
    )
    settings.PRACTICE_URL, settings.LEASE_SECONDS = venue.url, 3600
    loop.KEEP_UP_S = 0.0
    call_command("migrate", verbosity=0)
    config = configuration.load(Path(os.environ["TRADEPLATFORM_CONFIG"]))
    trading = run_ensure(config, actor="soak")
    holder, version = f"soak:{os.getpid()}", settings.CODE_VERSION
    fence = lease_acquire(run=trading, holder=holder, code_version=version)
    if fence is None:
        raise RuntimeError("the lease of a new run was held by another")
    day_bars, update_every_bars = DAY_MS // bar_ms, max(1, HOUR_MS // bar_ms)
    rng, soak, samples, ticks_s = random.Random(seed), Soak(), [], []
    began = time.monotonic()
    session = running_session(trading, fence)
    while soak.bars < days * day_bars and time.monotonic() - began < 60 * minutes:
        soak.bars += 1
        if soak.bars % FAULT_EVERY_BARS == 0:
            op, verb, given = rng.choice(FAULTS)
            venue.fault(op, verb, nth=1, **given)
            soak.faults += 1
        venue.step()
        before = time.monotonic()
        session.advance()
        ticks_s.append(time.monotonic() - before)
        if soak.bars % update_every_bars == 0:
            soak.updates += optimization_update(now=timezone.now()).outcome == "done"
        if soak.bars % REBUILD_EVERY_BARS == 0:
            session.close()
            session = running_session(trading, fence)
            soak.rebuilds += 1
        if soak.bars % SAMPLE_EVERY_BARS == 0:
            samples.append(_look(folder, time.monotonic() - began))
            sys.stderr.write(f"bar {soak.bars} {asdict(samples[-1])}\n")
    session.close()
    venue.clear_faults()
    elapsed_s = time.monotonic() - began
    session = running_session(trading, fence)
    for _ in range(3):
        session.advance()
    session.close()
    found = check_all()
    return {
        "seed": seed,
        "what": "one process, the real loop, practice exchange on loopback, nothing waited for",
        "virtual_days": round(soak.bars / day_bars, 3),
        "symbols": len(SYMBOLS),
        **asdict(soak),
        "wall_minutes": round(elapsed_s / 60, 1),
        "bars_per_s": round(soak.bars * len(SYMBOLS) / elapsed_s, 1),
        **_counts(),
        "rss_mib": round(samples[-1].rss_mib) if samples else None,
        "rss_slope_mib_per_hour": slope_per_hour(samples, "rss_mib"),
        "open_files_slope_per_hour": slope_per_hour(samples, "open_files"),
        "database_mib_per_virtual_day": _per_day(samples, soak.bars, day_bars),
        "tick_p50_ms": _ms(ticks_s, 0.5),
        "tick_p99_ms": _ms(ticks_s, 0.99),
        "tick_p99_ms_first_half": _ms(ticks_s[: len(ticks_s) // 2], 0.99),
        "tick_p99_ms_second_half": _ms(ticks_s[len(ticks_s) // 2 :], 0.99),
        "checked": found.checked,
        "skipped": found.skipped,
        "breaches": [asdict(breach) for breach in found.breaches],
    }


def _look(folder: Path, elapsed_s: float) -> Sample:
    process = psutil.Process()
    database = sum(path.stat().st_size for path in folder.glob("*.sqlite3*"))
    rss_mib = process.memory_info().rss / 2**20
    return Sample(elapsed_s, rss_mib, process.num_fds(), database / 2**20, 0, 0, 0)


def _counts() -> dict[str, int]:
    from trades import models

    return {
        "analyses": models.Analysis.objects.count(),
        "decisions": models.Decision.objects.count(),
        "orders": models.Order.objects.count(),
        "fills": models.Fill.objects.count(),
        "closed_trades": models.Trade.objects.count(),
    }


def _per_day(samples: Sequence[Sample], bars: int, day_bars: int) -> float | None:
    if len(samples) < 2:
        return None
    grown = samples[-1].database_mib - samples[0].database_mib
    return round(grown / (bars - SAMPLE_EVERY_BARS) * day_bars, 2)


def _ms(ticks_s: Sequence[float], fraction: float) -> float | None:
    return round(percentile(ticks_s, fraction) * 1000, 1) if ticks_s else None


def launch(*, days: float, seed: int, minutes: float, timeframe: str) -> dict[str, object]:
    """Run it in a process of its own, on a temporary folder with a Redis beside it."""
    from tests.crash.platform import redis_server

    with tempfile.TemporaryDirectory(prefix="tp-soak-") as name:
        folder = Path(name)
        config = folder / "config.yaml"
        config.write_text(
            f"trading: {{symbols: [{', '.join(SYMBOLS)}], timeframe: {timeframe}}}\n"
            "optimization: {enabled: true}\n"
        )
        socket = folder / "redis.sock"
        server = [redis_server(), "--port", "0", "--unixsocket", str(socket), "--save", ""]
        environment = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL",)}
        environment |= {
            "DJANGO_SETTINGS_MODULE": "tradeplatform.settings",
            "TRADEPLATFORM_ENV": "test",
            "TRADEPLATFORM_VAR": str(folder),
            "TRADEPLATFORM_CONFIG": str(config),
            "REDIS_URL": f"unix://{socket}",
            "LOG_LEVEL": "ERROR",
        }
        redis = subprocess.Popen([*server, "--dir", name], stdout=subprocess.DEVNULL)
        try:
            command = [sys.executable, "-m", "benchmarks.soak_days", "--days", f"{days:g}"]
            command += ["--timeframe", timeframe]
            done = subprocess.run(
                [*command, "--seed", str(seed), "--minutes", f"{minutes:g}"],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
        finally:
            redis.terminate()
            redis.wait()
    report: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return report


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.soak_days", description=__doc__)
    parser.add_argument("--days", type=float, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--timeframe", default="1m")
    options = parser.parse_args(argv)
    report = run(
        days=options.days,
        seed=options.seed,
        minutes=options.minutes,
        timeframe=options.timeframe,
    )
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
