"""The optimizer's actions on a running platform: what made each happen, before, after, verdict.

``python -m benchmarks.resource_actions`` starts the platform once, brings about one trouble after
the other (venue errors by the practice exchange's fault verbs, a locked database, a flooded queue,
a full cache) and prints the rows of the table in ``docs/resources.md``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.figures import ROOT, BenchmarkFailed
from benchmarks.platform_run import Platform, platform

MIB = 1 << 20
WINDOW_S = 15
# Rules are let in one scenario at a time: a verdict then belongs to one trouble.
EVERY_RULE = (
    *("cpu", "load", "memory", "available", "disk", "disk-logs", "rss-trading", "rss-general"),
    *("queue-io", "queue-optimization", "queue-research", "slow-decision", "slow-http"),
    *("slow-query", "fewer-decisions", "errors-decision", "errors-http", "errors-task"),
    *("errors-venue", "repeats"),
)
CONFIG = f"""
monitoring:
  optimizer:
    window_s: {WINDOW_S}
    cool_down_s: 20
    tries_without_effect: 1
    queue_age_limit_s: 3
    disk_cache_bytes: {100 * MIB}
    slow_query_ms: 20
    disabled_rules: [{", ".join(EVERY_RULE)}]
"""
_FINAL = ("judged", "failed")
_SET = """
import django, json, sys; django.setup()
from resources.switches import config_change
config_change(values=json.loads(sys.argv[1]), actor="benchmark", reason=sys.argv[2])
"""
_FLOOD = """
import django, sys; django.setup()
from celery import current_app
for _ in range(int(sys.argv[1])):
    current_app.send_task("tradeplatform.tasks.check_invariants", queue="io")
"""


class Bench:
    """One running platform and what is done to it."""

    def __init__(self, running: Platform) -> None:
        self._running = running
        self._environment = os.environ | {
            "TRADEPLATFORM_VAR": str(running.var_dir),
            "TRADEPLATFORM_CONFIG": str(running.var_dir / "bench.yaml"),
            "DJANGO_SETTINGS_MODULE": "tradeplatform.settings",
        }

    @property
    def var_dir(self) -> Path:
        return self._running.var_dir

    def python(self, code: str, *arguments: str) -> None:
        self._call(sys.executable, "-c", code, *arguments)

    def manage(self, *arguments: str) -> None:
        self._call(sys.executable, "manage.py", *arguments)

    def allow(self, reason: str, *rules: str, **values: object) -> None:
        """Let these rules in and no other."""
        given = {"disabled_rules": [rule for rule in EVERY_RULE if rule not in rules], **values}
        self.python(_SET, json.dumps(given), reason)

    def by_hand(self, action: str) -> None:
        self.manage("resources", "run", action, "--reason", "to see it happen")
        self.wait_for(action)

    def fault(self, **spec: object) -> None:
        self._running.venue("/fault", dict(spec))

    def heal(self) -> None:
        self._running.venue("/fault", method="DELETE")

    def wait_for(self, *actions: str, within_s: float = 240.0) -> None:
        """Wait until the newest row of each was judged or failed; what is still missing then is
        told on stderr and stands in no table."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            rows = self._running.rows("select action, state from resources_optimizeraction")
            if set(actions) <= {action for action, state in rows if state in _FINAL}:
                return
            time.sleep(2.0)
        sys.stderr.write(f"not judged in {within_s:g} s: {', '.join(actions)}\n")

    def wait_until(self, query: str, what: str, within_s: float = 240.0) -> None:
        deadline = time.monotonic() + within_s
        while not self._running.rows(query):
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"{what} in {within_s:g} s")
            time.sleep(2.0)

    def disk_used(self) -> float:
        rows = self._running.rows(
            'select json_extract("values", \'$."volume:data.disk_used"\')'
            " from resources_sample where resolution_s = 0 order by at desc limit 1"
        )
        return float(rows[0][0])

    @contextlib.contextmanager
    def slow_writes(self) -> Iterator[None]:
        """Hold the write lock most of the time, so that statements of the platform wait for it."""
        over = threading.Event()

        def lock() -> None:
            path = self.var_dir / "tradeplatform.sqlite3"
            with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as db:
                while not over.is_set():
                    db.execute("begin immediate")
                    time.sleep(0.4)
                    db.execute("rollback")
                    over.wait(0.1)

        thread = threading.Thread(target=lock)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @contextlib.contextmanager
    def refused_writes(self, table: str) -> Iterator[None]:
        """Let the database refuse every new row of a table."""
        self._database(
            f"create trigger benchmark before insert on {table}"
            " begin select raise(abort, 'refused by the benchmark'); end"
        )
        try:
            yield
        finally:
            self._database("drop trigger benchmark")

    def _database(self, statement: str) -> None:
        path = self.var_dir / "tradeplatform.sqlite3"
        with contextlib.closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as db:
            db.execute(statement)

    def _call(self, *argv: str) -> None:
        done = subprocess.run(
            argv, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchmarkFailed(f"{argv[1:3]} failed: {done.stderr[-300:]}")


def venue_errors(bench: Bench) -> None:
    """Every third request to the venue is answered by a 503."""
    bench.allow("the venue fails", "errors-venue")
    bench.fault(op="*", verb="5xx", prob=0.34)
    bench.wait_for("reconnect", "trip-breaker")
    bench.heal()
    bench.manage("resume", "--reason", "the venue answers again")
    bench.allow("the venue answers again")
    bench.by_hand("fail-over-to-hold")
    bench.manage("resume", "--reason", "it was seen")


def flooded_queue(bench: Bench) -> None:
    """More invariant checks than one process can do wait in a queue of the general worker."""
    bench.allow("a queue is flooded", "queue-io")
    bench.python(_FLOOD, "150")
    bench.wait_for("grow-pool")
    bench.allow("the queue is left alone")
    bench.by_hand("shrink-pool")


def full_cache(bench: Bench) -> None:
    """A cache above its budget brings the disk above its limit."""
    cache = bench.var_dir / "cache"
    cache.mkdir(exist_ok=True)
    page = os.urandom(MIB) * 50
    for number in range(30):
        (cache / f"page-{number}").write_bytes(page)
    time.sleep(15.0)
    bench.allow("the disk fills up", "disk", disk_limit=max(bench.disk_used() - 0.002, 0.05))
    bench.wait_for("trim-disk-cache")
    bench.allow("the disk is left alone")


def little_memory(bench: Bench) -> None:
    """A limit below what is in use, so that the whole ladder of memory is climbed."""
    bench.allow("memory runs out", "memory", memory_limit=0.05)
    bench.wait_for("trim-buffers", "restart-worker", within_s=400.0)
    bench.allow("memory is left alone")


def slow_queries(bench: Bench) -> None:
    """After a quiet baseline somebody holds the database's write lock most of the time."""
    bench.allow("statements are slow", "slow-query")
    time.sleep(WINDOW_S * 11.0)
    with bench.slow_writes():
        bench.wait_for("database-statistics", "database-connections", "smaller-batches")
    bench.allow("statements are fast again")


def failing_decisions(bench: Bench) -> None:
    """The database refuses every analysis, so that no bar can be decided on: new connections to the
    venue help nothing, then entries are held until a person looks."""
    bench.allow("no bar can be written", "errors-decision", least_calls=1)
    with bench.refused_writes("trades_analysis"):
        bench.wait_for("reconnect", "fail-over-to-hold", within_s=400.0)
    bench.allow("bars are written again")
    bench.manage("resume", "--reason", "bars are written again")


def database_by_hand(bench: Bench) -> None:
    """What has a rule of its own among slow statements, asked for by a person."""
    bench.allow("nothing is wrong")
    bench.by_hand("database-connections")
    bench.by_hand("smaller-batches")


SCENARIOS: dict[str, Callable[[Bench], None]] = {
    "venue-errors": venue_errors,
    "flooded-queue": flooded_queue,
    "full-cache": full_cache,
    "little-memory": little_memory,
    "slow-queries": slow_queries,
    "failing-decisions": failing_decisions,
    "database-by-hand": database_by_hand,
}


def table(running: Platform) -> str:
    """Return the actions of the run as the rows of a page."""
    rows = running.rows(
        "select a.action, coalesce(i.rule, 'hand'), a.before, a.after, a.own_before, a.own_after,"
        " a.verdict, a.improvement, a.target_key, a.error from resources_optimizeraction a"
        " left join resources_resourceincident i on i.id = a.incident_id order by a.id"
    )
    lines = ["| Action | Asked by | Before | After | Verdict |", "|---|---|---|---|---|"]
    for action, rule, before, after, own_before, own_after, verdict, gain, key, error in rows:
        told = [
            f"{_mean(json.loads(values or '{}').get(key))}{_own(own)}"
            for values, own in ((before, own_before), (after, own_after))
        ]
        gained = "" if gain is None else f", {gain:.1%}"
        lines.append(
            f"| `{action}` | `{rule}` | {told[0]} | {told[1]} | {verdict}{gained} {error}|"
        )
    return "\n".join(lines)


def _mean(values: Sequence[float] | None) -> str:
    return f"{sum(values) / len(values):.4g}; " if values else ""


def _own(document: str | None) -> str:
    values = json.loads(document or "{}")
    return ", ".join(f"{name} {value:.6g}" for name, value in values.items()) or "-"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="resource_actions", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=list(SCENARIOS), default=list(SCENARIOS))
    options = parser.parse_args(argv)
    with (
        tempfile.TemporaryDirectory(prefix="tp-actions-") as folder,
        platform(Path(folder) / "var", speed="1", more=CONFIG) as running,
    ):
        bench = Bench(running)
        bench.wait_until("select 1 from resources_sample limit 3", "no round was stored")
        for name in options.only:
            began = time.monotonic()
            try:
                SCENARIOS[name](bench)
            except BenchmarkFailed as error:
                sys.stderr.write(f"{name}: {error}\n")
            sys.stderr.write(f"{name} took {time.monotonic() - began:.0f} s\n")
            print(table(running), flush=True)
        load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
        print(f"load {load} on {os.cpu_count()} cores, niceness {os.nice(0)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
