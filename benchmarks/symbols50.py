"""Fifty symbols at one decision a minute each: how late, how busy, how large; 1 and 2 workers.

The practice exchange runs at the pace of a real venue, a minute a minute, so all fifty bars close
at once, which is the hardest moment of every minute. A run is the unit of scale: one lease, one
worker at a time; of two workers on the run's queue the second stands by.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmarks.figures import BenchmarkFailed, Figure, Options, percentile
from benchmarks.platform_run import Platform, platform
from resources.core.windows import percentile_of_buckets
from resources.counters import UPPER_MS, CounterReader

SYMBOLS = tuple(f"{letter}{number}X/USDT" for letter in "ABCDE" for number in range(10))
SPEED = f"{1 / 60:.6f}"
MINUTE_MS = 60_000


@dataclass(frozen=True)
class Measured:
    """One stretch of wall time; lags in milliseconds, processor share in cores."""

    minutes: int
    lags_ms: tuple[float, ...]
    tick_p99_ms: float | None
    cores: float
    pss_mb: float
    load: float

    @property
    def in_time(self) -> float:
        """Return the share of closed bars that were decided on before the next one closed."""
        in_time = sum(lag_ms < MINUTE_MS for lag_ms in self.lags_ms)
        return in_time / (self.minutes * len(SYMBOLS))


def symbols50(options: Options) -> Sequence[Figure]:
    """Trade fifty symbols with one worker, then with two."""
    figures: list[Figure] = []
    for workers in (1, 2):
        with platform(
            options.folder / f"workers{workers}", speed=SPEED, symbols=SYMBOLS, workers=workers
        ) as running:
            figures += _figures(measure(running, minutes=1 if options.quick else 5), workers)
    return figures


def measure(running: Platform, *, minutes: int) -> Measured:
    """Wait for the first decided bar, then watch whole minutes.

    Raises:
        BenchmarkFailed: no bar was decided on in three minutes.
    """
    first_ms = _first_close_ms(running)
    counters = CounterReader(running.var_dir / "run" / "counters")
    counters.since_last()
    before, began = _cpu_s(running), time.monotonic()
    # half a minute in, so that what is decided late in the last minute counts as late, not as lost
    until_ms = first_ms + minutes * MINUTE_MS
    while _venue_ms(running) < until_ms + MINUTE_MS // 2:
        time.sleep(1.0)
    elapsed_s = time.monotonic() - began
    cores = (_cpu_s(running) - before) / elapsed_s
    buckets = counters.since_last()["tick"].buckets
    return Measured(
        minutes=minutes,
        lags_ms=_lags_ms(running, first_ms, until_ms),
        tick_p99_ms=percentile_of_buckets(buckets, UPPER_MS, 0.99),
        cores=cores,
        pss_mb=_pss_mb(running),
        load=os.getloadavg()[0],
    )


def _first_close_ms(running: Platform) -> int:
    """Return the close of the first bar that was decided on: the one before is history."""
    deadline = time.monotonic() + 180.0
    while time.monotonic() < deadline:
        found = running.rows("select max(bar_close_at) from trades_analysis")[0][0]
        if found:
            return _ms(str(found))
        time.sleep(1.0)
    raise BenchmarkFailed("no bar was decided on in 180 s")


def _lags_ms(running: Platform, after_ms: int, until_ms: int) -> tuple[float, ...]:
    """Return by how much each decision's commit came after its bar's close.

    The venue has a clock of its own, which goes at the pace of ours; its distance is read once.
    """
    offset_ms = time.time() * 1000 - _venue_ms(running)
    rows = running.rows("select bar_close_at, created_at from trades_analysis")
    return tuple(
        _ms(str(created)) - offset_ms - close_ms
        for closed, created in rows
        if after_ms < (close_ms := _ms(str(closed))) <= until_ms
    )


def _venue_ms(running: Platform) -> int:
    return int(running.venue("/status")["server_time_ms"])


def _cpu_s(running: Platform) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in running.tree())


def _pss_mb(running: Platform) -> float:
    return sum(float(process.memory_full_info().pss) for process in running.tree()) / 1e6


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def _figures(found: Measured, workers: int) -> list[Figure]:
    if not found.lags_ms:
        raise BenchmarkFailed("no bar was decided on while it was watched")
    what = f"{len(SYMBOLS)} symbols a minute, {workers} worker{'s' if workers > 1 else ''}"
    detail = (
        f"{found.minutes} minutes, {len(found.lags_ms)} decided bars,"
        f" load {found.load:.1f} on {os.cpu_count()} cores at the end, niceness {os.nice(0)}"
    )
    tick = [] if found.tick_p99_ms is None else [("lag of the knock, p99", found.tick_p99_ms, "ms")]
    return [
        Figure(
            name=f"{what}: closed bars decided on before the next one closed",
            value=round(found.in_time, 4),
            unit="fraction",
            target=1.0,
            better="higher",
            ids=("ORC-75",),
            detail=detail,
        ),
        *(
            Figure(name=f"{what}: {name}", value=round(value, 2), unit=unit, detail=detail)
            for name, value, unit in (
                ("bar close to decision committed, p50", percentile(found.lags_ms, 0.5), "ms"),
                ("bar close to decision committed, p99", percentile(found.lags_ms, 0.99), "ms"),
                *tick,
                ("processors in use, all processes", found.cores, "cores"),
                ("memory of all processes (PSS)", found.pss_mb, "MB"),
            )
        ),
    ]
