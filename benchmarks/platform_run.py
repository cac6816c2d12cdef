"""The whole platform as `make run` starts it: how long, how much, and how fast to an order."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.figures import (
    ROOT,
    BenchmarkFailed,
    Figure,
    Options,
    free_port,
    percentile,
)

UP = (sys.executable, "manage.py", "up")
# on a machine that others load as well a start takes minutes; its own figure says how long it took
START_TIMEOUT_S = 420.0
LOOP_HAS_LOOKED = "select 1 from monitoring_heartbeat where component = 'loop'"
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "ADA/USDT", "XRP/USDT", "LTC/USDT")


class Platform:
    """One running ``up`` whose market stands still until ``step`` is called."""

    def __init__(self, process: subprocess.Popen[bytes], var_dir: Path) -> None:
        self.process, self.var_dir = process, var_dir
        self.start_s = 0.0

    def tree(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def pids(self) -> dict[str, int]:
        known: dict[str, int] = json.loads((self.var_dir / "run" / "children.json").read_text())
        return known

    def step(self, bars: int = 1) -> None:
        """Close bars on the practice exchange."""
        self.venue("/clock/step", {"bars": bars})

    def venue(
        self, path: str, body: dict[str, Any] | None = None, *, method: str | None = None
    ) -> dict[str, Any]:
        """Ask the admin port of the practice exchange: with a body it is a POST."""
        environment = psutil.Process(self.pids()["web"]).environ()
        request = urllib.request.Request(
            f"{environment['TRADEPLATFORM_PRACTICE_ADMIN_URL']}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            told: dict[str, Any] = json.loads(answer.read())
        return told

    def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        path = self.var_dir / "tradeplatform.sqlite3"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute(query, arguments).fetchall()


@contextlib.contextmanager
def platform(
    var_dir: Path,
    *,
    speed: str,
    seed: int = 1,
    symbols: Sequence[str] = SYMBOLS,
    workers: int = 1,
    more: str = "",
) -> Iterator[Platform]:
    """Start ``up`` on the files of one folder and stop it afterwards; ``more`` is added to its
    configuration file."""
    port = free_port()
    var_dir.mkdir(mode=0o700, exist_ok=True)
    config = var_dir / "bench.yaml"
    config.write_text(f"trading: {{symbols: [{', '.join(symbols)}]}}\n{more}")
    environment = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL")}
    environment |= {"TRADEPLATFORM_VAR": str(var_dir), "TRADEPLATFORM_CONFIG": str(config)}
    environment["DJANGO_SETTINGS_MODULE"] = "tradeplatform.settings"
    out = var_dir / "out.txt"
    given = ["--port", str(port), "--speed", speed, "--seed", str(seed), "--workers", str(workers)]
    with out.open("wb") as sink:
        began = time.monotonic()
        process = subprocess.Popen(
            [*UP, *given],
            cwd=ROOT,
            env=environment,
            stdout=sink,
            stderr=sink,
        )
    running = Platform(process, var_dir)
    try:
        while "READY" not in out.read_text():
            if process.poll() is not None or time.monotonic() - began > START_TIMEOUT_S:
                raise BenchmarkFailed(f"up did not get READY: {out.read_text()[-400:]}")
            time.sleep(0.05)
        running.start_s = time.monotonic() - began
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


def start_and_memory(options: Options) -> Sequence[Figure]:
    """Start twice on the same files: the second is the warm start; then everybody's memory."""
    with platform(options.folder / "start", speed="1") as first:
        cold_s = first.start_s
    with platform(options.folder / "start", speed="1") as second:
        time.sleep(5 if options.quick else 30)
        shares = {process.pid: process.memory_full_info().pss for process in second.tree()}
        names = {pid: name for name, pid in second.pids().items()}
    total_mb = sum(shares.values()) / 1e6
    detail = ", ".join(f"{names.get(pid, 'other')} {pss / 1e6:.0f}" for pid, pss in shares.items())
    return [
        Figure(name="start, empty folder to READY", value=round(cold_s, 1), unit="s", target=60.0),
        Figure(name="start, warm, to READY", value=round(second.start_s, 1), unit="s", target=5.0),
        Figure(
            name="memory of all processes (PSS)",
            value=round(total_mb),
            unit="MB",
            target=700.0,
            detail=detail,
        ),
    ]


def bar_to_order(options: Options) -> Sequence[Figure]:
    """Close bars one by one; time until the analysis is committed and each order accepted."""
    steps = 15 if options.quick else 120
    analysed_ms: list[float] = []
    closes: list[datetime] = []
    with platform(options.folder / "orders", speed="0.001") as running:
        # the session's first look decides where it begins; a bar closed before is history
        _until(lambda: bool(running.rows(LOOP_HAS_LOOKED)), "the trading loop did not start")
        seen = _analyses(running)
        for _ in range(steps):
            closes.append(datetime.now(UTC))
            began = time.monotonic()
            running.step()
            seen += len(SYMBOLS)
            _until(lambda: _analyses(running) >= seen, "a closed bar was not analysed")  # noqa: B023
            analysed_ms.append((time.monotonic() - began) * 1_000)
        time.sleep(2)
        orders = running.rows(
            "select a.created_at, e.at from trades_orderevent e"
            " join trades_order o on o.id = e.order_id"
            " join trades_decision d on d.id = o.decision_id"
            " join trades_analysis a on a.id = d.analysis_id"
            " where e.to_status in ('OPEN', 'PARTIAL', 'FILLED')"
            " and e.seq = (select min(f.seq) from trades_orderevent f where f.order_id = o.id"
            " and f.to_status in ('OPEN', 'PARTIAL', 'FILLED'))"
        )
    figures = [
        Figure(
            name=f"bar close to decisions committed, knock included, {name}",
            value=round(percentile(analysed_ms, fraction)),
            unit="ms",
            detail=f"{steps} closes of {len(SYMBOLS)} symbols, the last one counted",
        )
        for name, fraction in (("p50", 0.5), ("p99", 0.99))
    ]
    return figures + _order_figures(orders, closes)


def _order_figures(orders: list[tuple[str, str]], closes: list[datetime]) -> list[Figure]:
    if not orders:
        raise BenchmarkFailed("no order was accepted during the benchmark; take more steps")
    ours, whole = [], []
    for decided, accepted in orders:
        accepted_at = _utc(accepted)
        ours.append((accepted_at - _utc(decided)).total_seconds() * 1_000)
        close = max((at for at in closes if at <= accepted_at), default=None)
        if close is not None:
            whole.append((accepted_at - close).total_seconds() * 1_000)
    detail = f"{len(orders)} orders"
    figures = [
        Figure(
            name=f"decision to order accepted, ours and the exchange's part, {name}",
            value=round(percentile(ours, fraction)),
            unit="ms",
            target=target,
            detail=detail,
        )
        for name, fraction, target in (("p50", 0.5, 50.0), ("p99", 0.99, 250.0))
    ]
    return figures + [
        Figure(
            name=f"bar close to order accepted, knock included, {name}",
            value=round(percentile(whole, fraction)),
            unit="ms",
            detail=detail,
        )
        for name, fraction in (("p50", 0.5), ("p99", 0.99))
        if whole
    ]


def _until(check: Callable[[], bool], otherwise: str, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"{otherwise} in {timeout_s:g} s")
        time.sleep(0.005)


def _analyses(running: Platform) -> int:
    return int(running.rows("select count(*) from trades_analysis")[0][0])


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
