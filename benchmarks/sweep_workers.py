"""A sweep over research workers: units a second with one and with two, and what a unit costs.

A Redis and a PostgreSQL of its own, workers as the deployment starts them. ``python -m
benchmarks.sweep_workers estimate`` works out from the measured inputs what many hosts would give;
that is an estimate and says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.figures import ROOT, BenchmarkFailed, Figure, Options

FOLDS = 2
BATCH = 12
WAIT_S = 900.0
# what one round of the estimate assumes beside the measured inputs
HOSTS = (1, 10, 100)
PROCESSES_A_HOST = 8
_MEASURED = "UNIT_S OVERHEAD_S STORES_PER_S READY_AT_ONCE"


def sweep_workers(options: Options) -> Sequence[Figure]:
    """Run the same sweep alone, over one worker and over two; the digests must be equal."""
    # units in columns take some 50 ms: with few of them the start of the processes is measured
    trials, bars = (12, 2_500) if options.quick else (96, 20_000)
    with _stores(options.folder) as environment:
        _drive(environment, "prepare", bars)
        found = {name: _drive(environment, name, trials) for name in ("alone", "1", "2")}
        stores = _drive(environment, "stores", 300)
    digests = {one["digest"] for one in found.values()}
    if len(digests) != 1:
        raise BenchmarkFailed(f"digests were {sorted(digests)}, one was expected")
    units = found["alone"]["units"]
    figures = [
        _figure(f"sweep units a second, {words}", one["units"] / one["wall_s"], "units/s", one)
        for words, one in (
            ("one process, no broker", found["alone"]),
            ("1 worker", found["1"]),
            ("2 workers", found["2"]),
        )
    ]
    alone, one = found["alone"], found["1"]
    overhead_ms = 1000 * (one["cpu_s"] - alone["cpu_s"]) / units
    return [
        *figures,
        _figure("sweep processor time a unit, 1 worker", 1000 * one["cpu_s"] / units, "ms", one),
        _figure("sweep processor time a unit that sharing adds", overhead_ms, "ms", one),
        _figure("sweep transactions a unit, PostgreSQL", one["commits"] / units, "", one),
        _figure("sweep commands a unit, Redis", one["redis"] / units, "", one),
        Figure(
            name="sweep results stored a second, one sweep",
            value=stores["per_s"],
            unit="units/s",
            detail="claim and store, one connection; PostgreSQL with fsync off",
        ),
    ]


def estimate(unit_s: float, overhead_s: float, stores_per_s: float, in_flight: int) -> list[str]:
    """Return lines of an estimate: units a second of so many hosts, and what bounds them.

    Three bounds, the lowest of them holds: the processors, the units that are ready at once
    (``in_flight``: windows times batch) and the one row of the sweep through which every result
    is stored.
    """
    lines = []
    for hosts in HOSTS:
        processes = hosts * PROCESSES_A_HOST
        bounds = {
            "processors": processes / (unit_s + overhead_s),
            "units ready at once": in_flight / (unit_s + overhead_s),
            "the sweep's row": stores_per_s,
        }
        first = min(bounds, key=lambda name: bounds[name])
        told = ", ".join(f"{name} {value:,.0f}" for name, value in bounds.items())
        lines.append(
            f"{hosts} hosts, {processes} processes: {bounds[first]:,.0f} units/s,"
            f" bounded by {first} ({told})"
        )
    return lines


def _figure(name: str, value: float, unit: str, one: Mapping[str, Any]) -> Figure:
    detail = f"{one['units']} units, load {one['load']:.1f}, PostgreSQL and Redis on the machine"
    return Figure(name=name, value=value, unit=unit, detail=detail)


@contextlib.contextmanager
def _stores(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the variables of processes with a PostgreSQL and a Redis of their own."""
    # the tools of tests and of `up`, once Django is set up
    from tests.postgres import cluster, programme
    from tradeplatform.preparation import find_redis_server

    initdb, pg_ctl = programme("initdb"), programme("pg_ctl")
    if initdb is None or pg_ctl is None:
        raise BenchmarkFailed("initdb and pg_ctl were not found")
    socket_path = folder / "redis.sock"
    argv = [find_redis_server(), "--port", "0", "--unixsocket", str(socket_path), "--save", ""]
    redis = subprocess.Popen([*argv, "--dir", str(folder)], stdout=subprocess.DEVNULL)
    try:
        with cluster(initdb, pg_ctl) as url:
            yield os.environ | {
                "DATABASE_URL": url,
                "REDIS_URL": f"unix://{socket_path}",
                "TRADEPLATFORM_VAR": str(folder / "var"),
                "TRADEPLATFORM_MARKET_DATA": str(folder),
                "LOG_LEVEL": "WARNING",
            }
    finally:
        redis.terminate()
        redis.wait(timeout=30)


def _drive(environment: Mapping[str, str], scene: str, size: int) -> dict[str, Any]:
    """Run one scene of this module in a process that has that database."""
    argv = [sys.executable, "-m", "benchmarks.sweep_workers", scene, str(size)]
    done = subprocess.run(
        argv, cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkFailed(f"{scene} ended with {done.returncode}: {done.stderr[-800:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


class _Scene:
    """One run of the sweep, in a process whose Django has the benchmark's database."""

    def __init__(self) -> None:
        import django

        django.setup()
        # how often this process looked whether the sweep has ended: no cost of a unit
        self.looks = 0

    def prepare(self, n_bars: int) -> dict[str, Any]:
        from django.core.management import call_command

        from tests.research.scene import FILE, csv_of

        call_command("migrate", verbosity=0)
        (Path(os.environ["TRADEPLATFORM_MARKET_DATA"]) / FILE).write_text(csv_of(n_bars))
        return {}

    def run(self, trials: int, workers: int) -> dict[str, Any]:
        """Work through one sweep and return what it took; 0 workers: in this process."""
        from research.claims import claim_oldest
        from research.models import Sweep
        from research.selectors import data_folders, sweep_digest
        from research.sweep_services import sweep_start
        from tests.research.scene import FILE
        from tradeplatform.sweep_jobs import sweep_run

        given = {"data": [FILE], "strategy": "breakout", "trials": trials, "folds": FOLDS}
        given |= {"batch": BATCH, "workers": workers > 0, "purge_bars": 20}
        processes = [_worker(number) for number in range(workers)]
        try:
            for process in processes:
                _wait_for_ready(process)
            sweep = sweep_start(given=given, folders=data_folders(), actor="benchmark")
            before, began = self._counted(), time.monotonic()
            cpu = _cpu_s(processes)
            if workers:
                self._knock(sweep)
            else:
                claimed = claim_oldest(Sweep)
                if claimed is None:
                    raise BenchmarkFailed("the sweep could not be claimed")
                sweep_run(claimed)
            wall_s, cpu_s = time.monotonic() - began, _cpu_s(processes) - cpu
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(timeout=60)
        sweep.refresh_from_db()
        if sweep.status != "DONE":
            raise BenchmarkFailed(f"the sweep was {sweep.status}: {sweep.error}")
        after = self._counted()
        return {
            "units": sweep.units_done,
            "wall_s": wall_s,
            "cpu_s": cpu_s,
            "commits": after["commits"] - before["commits"] - self.looks,
            "redis": after["redis"] - before["redis"],
            "digest": sweep_digest(sweep),
            "load": os.getloadavg()[0],
        }

    def _knock(self, sweep: Any) -> None:
        """Do what beat does, at its pace."""
        from research.tasks import sweeps_due

        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            sweeps_due()
            for _ in range(50):
                self.looks += 1
                sweep.refresh_from_db()
                if sweep.status not in ("QUEUED", "RUNNING"):
                    return
                time.sleep(0.1)
        raise BenchmarkFailed(f"after {WAIT_S:.0f} s {sweep.units_done} units were done")

    def stores(self, n_units: int) -> dict[str, Any]:
        """Claim and store units of one sweep, one after another, without running them."""
        from research.claims import claim_oldest
        from research.core.sweep import Outcome, Unit
        from research.models import Sweep
        from research.selectors import data_folders
        from research.sweep_services import sweep_start
        from research.sweep_units import unit_claim, unit_store, units_plan
        from tests.research.scene import FILE

        given = {"data": [FILE], "strategy": "breakout", "trials": 5, "workers": False}
        sweep_start(given=given, folders=data_folders(), actor="stores")
        sweep = claim_oldest(Sweep)
        if sweep is None:
            raise BenchmarkFailed("the sweep could not be claimed")
        units = [Unit(0, "in-sample", number, {"stop_atr": 1.0}) for number in range(n_units)]
        planned = units_plan(sweep=sweep, units=units)
        began = time.monotonic()
        for row, asked in zip(planned, units, strict=True):
            unit = unit_claim(sweep=sweep, worker="benchmark", pk=row.pk)
            if unit is None:
                raise BenchmarkFailed(f"unit {row.pk} could not be claimed")
            unit_store(unit=unit, outcome=Outcome(asked, 0.1, 9, (0.001,) * 70))
        return {"per_s": n_units / (time.monotonic() - began)}

    def _counted(self) -> dict[str, int]:
        import redis
        from django.conf import settings
        from django.db import connection

        with connection.cursor() as cursor:
            # what sessions did in the last half second is not counted yet
            time.sleep(1.0)
            cursor.execute(
                "select xact_commit from pg_stat_database where datname = current_database()"
            )
            (commits,) = cursor.fetchone()
        with contextlib.closing(redis.Redis.from_url(settings.REDIS_URL)) as client:
            commands = int(client.info("stats")["total_commands_processed"])
        return {"commits": int(commits), "redis": commands}


def _worker(number: int) -> subprocess.Popen[bytes]:
    words = (
        f"-m celery --quiet -A tradeplatform worker -Q research-units -n r{number}@%h -P prefork"
    )
    words += " -c 1 -Ofair --without-gossip --without-mingle --loglevel WARNING"
    words += " -I tradeplatform.sweep_tasks"
    ready = Path(os.environ["TRADEPLATFORM_MARKET_DATA"]) / f"ready{os.getpid()}-{number}"
    process = subprocess.Popen(
        [sys.executable, *words.split()],
        cwd=ROOT,
        env=os.environ | {"TRADEPLATFORM_READY_FILE": str(ready), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    process.ready_file = ready  # type: ignore[attr-defined]
    return process


def _wait_for_ready(process: Any) -> None:
    deadline = time.monotonic() + WAIT_S
    while not process.ready_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchmarkFailed(f"a worker ended with {process.poll()} before it was ready")
        time.sleep(0.2)


def _cpu_s(processes: Sequence[subprocess.Popen[bytes]]) -> float:
    """Return the processor seconds of these and their children, or of this process."""
    roots = [psutil.Process(process.pid) for process in processes] or [psutil.Process()]
    every = [one for root in roots for one in (root, *root.children(recursive=True))]
    return sum(sum(one.cpu_times()[:2]) for one in every)


def main(argv: Sequence[str]) -> int:
    scene, *sizes = argv
    if scene == "estimate":
        try:
            unit_s, overhead_s, stores_per_s, in_flight = (float(text) for text in sizes)
        except ValueError:
            given = " ".join(sizes) or "nothing"
            print(f"estimate was given {given}, allowed: {_MEASURED} as numbers", file=sys.stderr)
            return 2
        print("\n".join(estimate(unit_s, overhead_s, stores_per_s, int(in_flight))))
        return 0
    place, size = _Scene(), int(sizes[0])
    answers = {
        "prepare": lambda: place.prepare(size),
        "stores": lambda: place.stores(size),
        "alone": lambda: place.run(size, 0),
        "1": lambda: place.run(size, 1),
        "2": lambda: place.run(size, 2),
    }
    print(json.dumps(answers[scene]()))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeplatform.settings")
    sys.exit(main(sys.argv[1:]))
