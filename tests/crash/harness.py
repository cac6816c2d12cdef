"""``python -m tests.crash.harness --kills 150 --seed 1``: kill a trading platform and compare.

Starts the real processes in a temporary folder, kills them at random while they trade, lets
everything come to rest and compares the exchange's ledger with the platform's database. One JSON
line on standard output; exit code 1 on any difference, and then the folder is kept.

``--mutant`` plants one known bug in the workers: a harness that stays green with it is blind.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import postgres
from tests.crash import mutants
from tests.crash.database import Database, Postgres
from tests.crash.history import judge_history, read_rows
from tests.crash.metronome import metronome
from tests.crash.nemesis import Nemesis, NotRecovered
from tests.crash.oracle import Verdict, judge, read_books
from tests.crash.platform import WORKERS, Platform, platform

SPEED = 4.0
FIRST_TRADES_S = 240.0
QUIET_LIMIT_S = 120.0
_TAIL = 0.99


def run(
    *,
    kills: int,
    seed: int,
    folder: Path,
    speed: float = SPEED,
    mutant: str = "",
    minutes: float = math.inf,
    database: Database | None = None,
) -> dict[str, Any]:
    """Run one campaign and return the document that is printed; on SQLite where no database is
    given.

    It ends after ``kills``, or earlier after ``minutes``; how many there were is in the document.
    """
    began_s = time.monotonic()
    until_s = began_s + 60 * minutes
    with platform(folder, seed=seed, speed=0.0, mutant=mutant, database=database) as running:
        nemesis = Nemesis(running, random.Random(seed))
        breaches: list[Any] = []
        with metronome(running, speed):
            _wait_for_fills(running)
            try:
                while nemesis.kills < kills and time.monotonic() < until_s:
                    nemesis.strike()
                    _say(f"kills {nemesis.kills}/{kills} {dict(nemesis.faults)}")
            except NotRecovered as error:
                breaches.append({"id": "I-23", "detail": str(error)})
        _come_to_rest(running, nemesis)
        verdict = judge(read_books(running.query), running.admin("GET", "/ledger"))
        minutes = (time.monotonic() - began_s) / 60
        breaches += _invariants(running)
        contradictions = judge_history(nemesis.acts, read_rows(running.query))
        breaches += [{"id": "T6", "detail": text} for text in contradictions]
    document = _document(seed, nemesis, verdict, breaches)
    again = command(kills, seed, mutant, is_postgres=database is not None)
    return {**document, "minutes": round(minutes, 1), "again": again}


def command(kills: int, seed: int, mutant: str = "", *, is_postgres: bool = False) -> str:
    """Return the command that makes the same choices again."""
    again = f"python -m tests.crash.harness --kills {kills} --seed {seed}"
    again += " --database postgres" if is_postgres else ""
    return again + (f" --mutant {mutant}" if mutant else "")


def _wait_for_fills(running: Platform) -> None:
    """Nothing is proven by killing a platform that does not trade yet."""
    deadline = time.monotonic() + FIRST_TRADES_S
    while running.query("SELECT count(*) FROM trades_fill")[0][0] == 0:
        if time.monotonic() > deadline:
            raise NotRecovered(f"no fill in the first {FIRST_TRADES_S:.0f} s")
        time.sleep(0.5)


def _come_to_rest(running: Platform, nemesis: Nemesis) -> None:
    """Stop the market and every fault, then wait until no order is on its way and all is read."""
    nemesis.restart_the_dead()
    running._wait("exchange", running._exchange_answers)
    running.admin("DELETE", "/fault")
    deadline = time.monotonic() + QUIET_LIMIT_S
    settled_since = None
    while time.monotonic() < deadline:
        verdict = judge(read_books(running.query), running.admin("GET", "/ledger"))
        if not verdict.is_clean:
            settled_since = None
        elif settled_since is None:
            settled_since = time.monotonic()
        elif time.monotonic() - settled_since > 5:
            break
        nemesis.restart_the_dead()
        time.sleep(0.5)
    for name in (*WORKERS, "beat"):
        running.children[name].kill()


def _invariants(running: Platform) -> list[Any]:
    done = running.manage("check_invariants", "--json")
    if not done.stdout.strip():
        return [{"id": "check_invariants", "detail": done.stderr[-500:]}]
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])["breaches"]
    return found


def _document(seed: int, nemesis: Nemesis, verdict: Verdict, breaches: list[Any]) -> dict[str, Any]:
    recoveries_s = sorted(nemesis.recoveries_s)
    tail = recoveries_s[min(len(recoveries_s) - 1, int(_TAIL * len(recoveries_s)))]
    return {
        "seed": seed,
        "kills": nemesis.kills,
        "moments": dict(sorted(nemesis.moments.items())),
        "faults": dict(sorted(nemesis.faults.items())),
        "orders": verdict.orders,
        "fills": verdict.fills,
        "doubled": verdict.doubled,
        "oversized": verdict.oversized,
        "unknown_orders": verdict.unknown_orders,
        "lost_fills": verdict.lost_fills,
        "invented_fills": verdict.invented_fills,
        "unsettled": verdict.unsettled,
        "acts_acknowledged": sum(act.done is not None for act in nemesis.acts),
        "acts_unanswered": sum(act.done is None for act in nemesis.acts),
        "acts_refused": nemesis.refused_acts,
        "equity_error": str(verdict.equity_error),
        "recovery_p50_s": round(statistics.median(recoveries_s), 2),
        "recovery_p99_s": round(tail, 2),
        "breaches": breaches,
        "details": verdict.details,
    }


@contextmanager
def _database(kind: str) -> Iterator[Database | None]:
    """Yield an empty throwaway PostgreSQL, or None for a file in the platform's own folder."""
    if kind == "sqlite":
        yield None
        return
    initdb, pg_ctl = postgres.programme("initdb"), postgres.programme("pg_ctl")
    if initdb is None or pg_ctl is None:
        raise SystemExit("--database was postgres, initdb and pg_ctl were not found")
    with postgres.cluster(initdb, pg_ctl) as url:
        yield Postgres(url)


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def at_least(least: int) -> Callable[[str], int]:
    """Return how an option's text is read; what is refused is one line that says what is
    allowed."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"was {text!r}, allowed: a whole number from {least}")
        return value

    return read


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make crash", usage=argparse.SUPPRESS, description=__doc__
    )
    parser.add_argument("--kills", type=at_least(1), default=150, metavar="KILLS")
    parser.add_argument("--seed", type=at_least(0), default=1, metavar="SEED")
    parser.add_argument("--speed", type=float, default=SPEED, help="bars a second at most")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end after so many")
    parser.add_argument("--mutant", default="", choices=["", *mutants.MUTANTS])
    parser.add_argument("--database", default="sqlite", choices=["sqlite", "postgres"])
    options = parser.parse_args()
    # short, because the path of a unix socket may have 107 bytes
    folder = Path(tempfile.mkdtemp(prefix="tpc-"))
    with _database(options.database) as database:
        document = run(
            kills=options.kills,
            seed=options.seed,
            folder=folder / "var",
            speed=options.speed,
            mutant=options.mutant,
            minutes=options.minutes,
            database=database,
        )
    sys.stdout.write(json.dumps(document) + "\n")
    if document["breaches"] or document["details"]:
        _say(f"kept {folder}; again: {document['again']}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
