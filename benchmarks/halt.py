"""``python -m benchmarks.halt --halts 30``: from the halt to the last order, Redis up and dead.

The real processes trade scripted signals on the practice exchange. A halt is made by the service
that page, API and command call, in a process of its own; then every order's send is looked up.
Seconds are wall time from the call of the halt to the last send that came after it, 0 where none
did; ticks are seconds begun (a tick is one second, D-34). One JSON line on standard output.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.crash.platform import Platform, platform

TRADING_S = 120.0
REST_S = 3.0
_HAND = """
import sys, time, django
django.setup()
from monitoring.services import control_change
print("ready", flush=True)
for line in sys.stdin:
    began = time.time()
    control_change(scope="global", state=line.strip(), actor="bench", reason="measured")
    print(began, time.time(), flush=True)
"""


class Hand:
    """A person's process: Django is up, the switch is one line away."""

    def __init__(self, running: Platform) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _HAND],
            env=running.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def switch(self, state: str) -> tuple[float, float]:
        """Set the state; return when the call began and when it came back, in epoch seconds."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{state}\n")
        self._process.stdin.flush()
        began, ended = self._process.stdout.readline().split()
        return float(began), float(ended)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@dataclass(frozen=True)
class Halt:
    """One halt: how long the call took, when the last order left after it, orders sent later."""

    call_s: float
    last_order_s: float
    late: int


def sends(running: Platform) -> list[float]:
    """Return when each order was sent, in epoch seconds, oldest first."""
    rows = running.query("SELECT sent_at FROM trades_order WHERE sent_at IS NOT NULL ORDER BY 1")
    return [datetime.fromisoformat(f"{row[0]}+00:00").timestamp() for row in rows]


def wait_for_orders(running: Platform, since_s: float) -> None:
    """Wait until orders leave again after ``since_s``."""
    deadline = time.monotonic() + TRADING_S
    while not [at for at in sends(running) if at > since_s]:
        if time.monotonic() > deadline:
            raise SystemExit(f"no order within {TRADING_S:.0f} s of the resume")
        time.sleep(0.02)


def halt(running: Platform, hand: Hand, *, kills_redis: bool = False) -> Halt:
    """Resume, let it trade, halt (with Redis killed right before), and wait for late orders."""
    resumed_s = time.time()
    hand.switch("ACTIVE")
    wait_for_orders(running, resumed_s)
    if kills_redis:
        running.children["redis"].kill()
    began_s, ended_s = hand.switch("HALTED")
    time.sleep(REST_S)
    sent = sends(running)
    if kills_redis:
        running.children["redis"].start()
    after = [at - began_s for at in sent if at >= began_s]
    return Halt(ended_s - began_s, max(after, default=0.0), sum(at >= ended_s for at in sent))


def figures(halts: list[Halt]) -> dict[str, Any]:
    seconds = sorted(one.last_order_s for one in halts)
    calls = sorted(one.call_s for one in halts)
    return {
        "halts": len(halts),
        "p50_s": round(statistics.median(seconds), 3),
        "p99_s": round(_p99(seconds), 3),
        "p99_ticks": math.ceil(_p99(seconds)),
        "call_p99_s": round(_p99(calls), 3),
        "orders_after_the_answer": sum(one.late for one in halts),
    }


def _p99(values: list[float]) -> float:
    return values[min(len(values) - 1, math.ceil(0.99 * len(values)) - 1)]


def run(halts: int, folder: Path, speed: float) -> dict[str, Any]:
    found: dict[str, Any] = {"speed": speed}
    with platform(folder, seed=1, speed=speed) as running:
        hand = Hand(running)
        try:
            wait_for_orders(running, 0.0)
            found["redis_up"] = figures([halt(running, hand) for _ in range(halts)])
            dead = [halt(running, hand, kills_redis=True) for _ in range(max(1, halts // 3))]
            found["redis_dead"] = figures(dead)
        finally:
            hand.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--halts", type=int, default=30)
    parser.add_argument("--speed", type=float, default=2.0, help="bars a second")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tp-halt-"))
    try:
        print(json.dumps(run(options.halts, folder / "var", options.speed)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
