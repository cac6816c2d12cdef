"""What happens to the platform: seeded kills, freezes, deaths at named places, venue faults."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from tests.crash.platform import WORKERS, Child, Platform

# Deaths at these places are the ones that decide whether an order is doubled or lost.
PLACES = (
    "signal.after_persist",
    "event.before_commit",
    "event.after_commit",
    "oms.before_claim",
    "oms.before_send",
    "oms.after_send",
    "oms.after_record",
    "fills.before",
    "fills.mid",
    "fills.after",
    "recon.each_step",
    "recon.end",
    "lease.after_take",
)
VENUE_FAULTS = (
    {"op": "order.create", "verb": "accept_then_timeout", "args": {"hold_s": 1.5}},
    {"op": "order.create", "verb": "drop", "args": {"hold_s": 1.5}},
    {"op": "order.create", "verb": "5xx", "args": {"accept": True}},
    {"op": "order.create", "verb": "html", "args": {}},
    {"op": "order.create", "verb": "truncate", "args": {}},
    {"op": "order.query", "verb": "5xx", "args": {}},
    {"op": "myTrades", "verb": "5xx", "args": {}},
    {"op": "order.fill", "verb": "partial", "args": {"fraction": "0.5"}},
)
FREEZE_S = 6.0
RECOVERY_LIMIT_S = 120.0
PLACE_LIMIT_S = 25.0


class NotRecovered(Exception):
    """Trading did not go on after a fault; the folder is kept."""


@dataclass
class Nemesis:
    """Strikes until ``kills`` processes have died; every choice comes from the seed."""

    platform: Platform
    rng: random.Random
    faults: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    recoveries_s: list[float] = field(default_factory=list)

    def strike(self) -> None:
        """Do one thing, then wait until the run is committed further than before."""
        self._sometimes_arm_the_venue()
        time.sleep(self.rng.uniform(0.2, 2.5))
        draws: tuple[tuple[float, Callable[[], None]], ...] = (
            (0.35, self._kill_holder),
            (0.60, self._kill_pool_child),
            (0.82, self._die_at_a_place),
            (0.90, self._freeze_holder),
            (0.94, self._kill_exchange),
            (0.97, self._kill_redis),
            (1.00, self._kill_beat),
        )
        draw = self.rng.random()
        act = next(act for limit, act in draws if draw < limit)
        before = self.platform.last_event()
        began_s = time.monotonic()
        act()
        self.recoveries_s.append(self._wait_beyond(before) - began_s)

    def _wait_beyond(self, before: str | None) -> float:
        deadline = time.monotonic() + RECOVERY_LIMIT_S
        while self.platform.last_event() == before:
            if time.monotonic() > deadline:
                raise NotRecovered(
                    f"nothing was committed for {RECOVERY_LIMIT_S:.0f} s after {dict(self.faults)}"
                )
            self._restart_the_dead()
            time.sleep(0.1)
        return time.monotonic()

    def _restart_the_dead(self) -> None:
        """What a supervisor does."""
        for child in self.platform.children.values():
            if child.name != "run" and not child.is_alive:
                child.start()

    def _killed(self, kind: str) -> None:
        self.kills += 1
        self.faults[kind] += 1

    def _holder(self) -> Child:
        """The worker whose pool process holds the lease, or any where nobody does."""
        (row,) = self.platform.query("SELECT holder FROM trades_lease") or [("",)]
        _, _, rest = row[0].partition(":")
        pid = rest.partition(":")[0]
        for name in WORKERS:
            child = self.platform.children[name]
            if pid.isdigit() and int(pid) in child.pool_children():
                return child
        return self.platform.children[self.rng.choice(WORKERS)]

    def _kill_holder(self) -> None:
        holder = self._holder()
        holder.kill()
        self._killed("worker")
        holder.start()

    def _kill_pool_child(self) -> None:
        """Only the process that works; Celery notices and makes a new one (F-009)."""
        for pid in self._holder().pool_children()[:1]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended by itself in this very moment
            self._killed("pool child")

    def _freeze_holder(self) -> None:
        """Longer than the lease: what it does afterwards must be refused by the fence (F-010)."""
        pids = self._holder().pool_children()[:1]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        self.faults["freeze"] += 1
        time.sleep(FREEZE_S)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                continue  # Celery gave up on it

    def _kill_exchange(self) -> None:
        self._kill_and_restart("exchange")

    def _kill_redis(self) -> None:
        """Without persistence: every message is lost (F-022)."""
        self._kill_and_restart("redis")

    def _kill_beat(self) -> None:
        self._kill_and_restart("beat")

    def _kill_and_restart(self, name: str) -> None:
        child = self.platform.children[name]
        child.kill()
        self._killed(name)
        time.sleep(self.rng.uniform(0.0, 1.0))
        child.start()

    def _die_at_a_place(self) -> None:
        """Let one worker alone trade until it kills itself at a named place."""
        place = f"{self.rng.choice(PLACES)}=kill9@{self.rng.randint(1, 3)}"
        chosen, other = (self.platform.children[name] for name in WORKERS)
        for child in (chosen, other):
            child.kill()
        self._killed("worker")
        chosen.start(TRADEPLATFORM_FAILPOINTS=place)
        if self._wait_for_suicide(chosen):
            self._killed(place.partition("=")[0])
        chosen.kill()
        chosen.start()
        other.start()

    def _wait_for_suicide(self, child: Child) -> bool:
        """True once the pool process that first appeared is gone by its own SIGKILL."""
        deadline = time.monotonic() + PLACE_LIMIT_S
        first: int | None = None
        while time.monotonic() < deadline:
            pids = child.pool_children()
            if first is None and pids:
                first = pids[0]
            if first is not None and (first not in pids or _is_zombie(first)):
                return True
            time.sleep(0.05)
        return False

    def _sometimes_arm_the_venue(self) -> None:
        if self.rng.random() < 0.5:
            fault = self.rng.choice(VENUE_FAULTS)
            try:
                self.platform.admin("POST", "/fault", {**fault, "nth": 1})
            except OSError as error:
                sys.stderr.write(f"venue fault not armed: {error}\n")
                return
            self.faults[f"{fault['op']} {fault['verb']}"] += 1


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
