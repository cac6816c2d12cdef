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
from celery import Celery
from kombu.exceptions import OperationalError

from tests.crash import arming, moments
from tests.crash.faults import VENUE_FAULTS, is_gone, limited
from tests.crash.history import Act
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
    "cancel.before_send",
    "cancel.after_send",
    "stop.between",
)
# Passed only by a process that has just started on the run.
STARTING_PLACES = ("recon.start", "recon.each_step", "recon.end", "lease.after_take")
# Longer than the lease of ``tests.crash.settings``.
FREEZE_S = 2.5
# Between two strikes, at most.
PAUSE_S = 0.3
# How many of the first kills of a strike wait for an order or a fill on its way, for how long at
# most, and how much later they come.
AMBUSHES = 0.7
AMBUSH_S = 2.0
LATER_S = 0.015
# Further kills of a strike at most, how many of them wait for who has taken over, and how much
# later those come.
FOLLOWERS = 4
HEIRS = 0.6
HEIR_S = 0.6
# A recovery is given work, not time: on a machine that others use too, seconds say nothing.
RECOVERY_CPU_S = 90.0
RECOVERY_WALL_S = 600.0
PLACE_LIMIT_S = 6.0
# How near to the newest bar the next strike waits for, and how long at most.
FRESH_BARS = 2
CATCH_UP_S = 20.0
FULL_BYTES = 8192


class NotRecovered(Exception):
    """Trading did not go on after a fault; the folder is kept."""


@dataclass
class Nemesis:
    """Strikes until ``kills`` processes have died; every choice comes from the seed."""

    platform: Platform
    rng: random.Random
    faults: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    recoveries_s: list[float] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    refused_acts: int = 0

    def strike(self) -> None:
        """Do one thing, then wait until the run is committed further than before."""
        self._let_it_trade()
        self._sometimes_arm_the_venue()
        time.sleep(self.rng.uniform(0.0, PAUSE_S))
        draws: tuple[tuple[float, Callable[[], None]], ...] = (
            (0.58, self._kill_pool_children),
            (0.83, self._die_at_a_place),
            (0.86, self._kill_holder),
            (0.88, self._freeze_holder),
            (0.90, self._kill_exchange),
            (0.915, self._kill_redis),
            (0.93, self._kill_beat),
            (0.94, self._hold_the_database),
            (0.945, self._cut_connections),
            (0.955, self._fill_the_disk),
            (0.97, self._send_twice),
            (0.99, self._stop_and_go),
            (1.00, self._switch_the_layer),
        )
        draw = self.rng.random()
        next(act for limit, act in draws if draw < limit)()
        began_s = time.monotonic()
        self._wait_beyond(self.platform.last_event())
        self.recoveries_s.append(time.monotonic() - began_s)

    def _let_it_trade(self) -> None:
        """Wait until the run is at the venue's newest bars again: on old ones nobody enters, and
        killing a platform that sends no order proves little."""
        until_s = time.monotonic() + CATCH_UP_S
        while time.monotonic() < until_s and self.platform.bars_behind() > FRESH_BARS:
            self.restart_the_dead()
            time.sleep(0.05)

    def restart_the_dead(self) -> None:
        """What a supervisor does."""
        for child in self.platform.children.values():
            if child.name != "run" and not child.is_alive:
                child.start()

    def _wait_beyond(self, before: str | None) -> None:
        deadline_s = time.monotonic() + RECOVERY_WALL_S
        spent_s, last_s = 0.0, self._work_s()
        while self.platform.last_event() == before:
            self.restart_the_dead()
            time.sleep(0.1)
            now_s = self._work_s()
            # a process that was replaced takes its seconds with it
            spent_s += max(0.0, now_s - last_s)
            last_s = now_s
            if spent_s > RECOVERY_CPU_S or time.monotonic() > deadline_s:
                raise NotRecovered(
                    f"nothing was committed after {spent_s:.0f} s of the workers' work, "
                    f"after {dict(self.faults)}"
                )

    def _work_s(self) -> float:
        """Return the processor time of the workers that live now."""
        total_s = 0.0
        for name in WORKERS:
            child = self.platform.children[name]
            for pid in (child.pid, *child.pool_children()):
                try:
                    times = psutil.Process(pid).cpu_times()
                except psutil.NoSuchProcess:
                    continue  # it died between the list and the look
                total_s += times.user + times.system
        return total_s

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
        pids = holder.pool_children()[:1]
        holder.kill()
        for pid in pids:
            self._note_moment(pid)
        self._killed("worker")
        holder.start()

    def _kill_pool_children(self) -> None:
        """Only the process that works; Celery notices and makes a new one (F-009).

        More follow at once: they die while they take over from the first.
        """
        victim = self._holder()
        if self.rng.random() < AMBUSHES:
            self._lie_in_wait(victim)
        self._kill_pool_child(victim)
        for _ in range(self.rng.randint(0, FOLLOWERS)):
            if self.rng.random() < HEIRS:
                victim = self._heir()
                time.sleep(self.rng.uniform(0.0, HEIR_S))
            else:
                victim = self.platform.children[self.rng.choice(WORKERS)]
                time.sleep(self.rng.uniform(0.05, 0.5))
            self._kill_pool_child(victim)

    def _heir(self) -> Child:
        """Return the worker that has taken over, once it has begun to build a session; any of them
        where nobody does in time."""
        until_s = time.monotonic() + AMBUSH_S
        while time.monotonic() < until_s:
            for name in WORKERS:
                worker = self.platform.children[name]
                if any(self._place(pid) for pid in worker.pool_children()):
                    return worker
            time.sleep(0.01)
        return self.platform.children[self.rng.choice(WORKERS)]

    def _place(self, pid: int) -> str:
        return moments.place_of(self.platform.folder, pid)

    def _lie_in_wait(self, worker: Child) -> None:
        """Wait until an order or a fill is on its way, then a few milliseconds more."""
        pids = worker.pool_children()[:1]
        until_s = time.monotonic() + AMBUSH_S
        while pids and time.monotonic() < until_s:
            if self._place(pids[0]) in moments.BUSY:
                break
            time.sleep(0.001)
        time.sleep(self.rng.uniform(0.0, LATER_S))

    def _kill_pool_child(self, worker: Child) -> None:
        for pid in worker.pool_children()[:1]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended by itself in this very moment
            self._note_moment(pid)
            self._killed("pool child")

    def _note_moment(self, pid: int) -> None:
        """Count what a trading process did when it was killed."""
        moment = moments.MOMENTS[self._place(pid)]
        if moment == moments.CLAIMED:
            moment = "sent, not answered" if self._is_accepted() else "between claim and send"
        self.moments[moment] += 1

    def _is_accepted(self) -> bool:
        """True where the venue has an order that nobody has recorded an answer for."""
        sending = self.platform.query(
            "SELECT client_order_id FROM trades_order WHERE status = 'SENDING'"
        )
        try:
            ledger = self.platform.admin("GET", "/ledger")
        except OSError:
            return False  # the exchange is dead too
        accepted = {order["client_id"] for order in ledger["orders"]}
        return any(client_id in accepted for (client_id,) in sending)

    def _freeze_holder(self) -> None:
        """Longer than the lease: what it does afterwards must be refused by the fence (F-010)."""
        holder = self._holder()
        pids = holder.pool_children()[:1]
        if self.rng.random() < 0.3:
            pids.append(holder.pid)
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
        """Let the process that trades kill itself at a named place."""
        place = self.rng.choice((*PLACES, *STARTING_PLACES))
        folder = self.platform.folder
        arming.forget(folder)
        nth = 1 if place in STARTING_PLACES else self.rng.randint(1, 3)
        arming.wish(folder, f"{place}=kill9@{nth}")
        if place in STARTING_PLACES:
            self._kill_pool_child(self._holder())
        if self._wait_for_suicide():
            self._killed(place)
            moment = moments.MOMENTS[place]
            self.moments["between claim and send" if moment == moments.CLAIMED else moment] += 1

    def _wait_for_suicide(self) -> bool:
        """True once the process that took the wish is gone by its own SIGKILL.

        One that does not come by its place in time is killed: nobody stays armed.
        """
        folder = self.platform.folder
        deadline = time.monotonic() + PLACE_LIMIT_S
        while time.monotonic() < deadline:
            pid = arming.taker(folder)
            if pid is not None and is_gone(pid):
                return True
            time.sleep(0.05)
        arming.withdraw(folder)
        pid = arming.taker(folder)
        if pid is None:
            return False
        if is_gone(pid):
            return True
        os.kill(pid, signal.SIGKILL)
        self._note_moment(pid)
        self._killed("pool child")
        return False

    def _hold_the_database(self) -> None:
        """Nobody else can write meanwhile (F-033)."""
        self.faults["database held"] += 1
        self.platform.database.hold(self.rng.uniform(0.5, 3.0))

    def _cut_connections(self) -> None:
        """Every connection to the database breaks at once (F-040); SQLite has none."""
        if self.platform.database.cut():
            self.faults["connections cut"] += 1

    def _fill_the_disk(self) -> None:
        """No file of the trading processes may grow beyond a few pages for a while (F-035)."""
        self.faults["disk full"] += 1
        pids = [pid for name in WORKERS for pid in self.platform.children[name].pool_children()]
        with limited(pids, FULL_BYTES):
            time.sleep(self.rng.uniform(0.5, 2.0))

    def _send_twice(self) -> None:
        """The same message three times under one id, to both workers at once (F-023, F-024)."""
        self.faults["duplicate sends"] += 1
        task_id = f"twice-{self.rng.getrandbits(64):016x}"
        ((run_id,),) = self.platform.query("SELECT id FROM trades_tradingrun")
        try:
            with Celery(broker=self.platform.broker_url) as app:
                for _ in range(3):
                    app.send_task(
                        "trades.tasks.advance", (run_id,), task_id=task_id, queue="trading"
                    )
        except OperationalError as error:
            sys.stderr.write(f"duplicates not sent: {error}\n")

    def _stop_and_go(self) -> None:
        """A person halts or reduces, trading processes die, the person resumes (F-103)."""
        stop = self.rng.choice(("halt", "reduce"))
        self._act(stop)
        self._kill_pool_child(self._holder())
        time.sleep(self.rng.uniform(0.2, 2.0))
        while not self._act("resume"):
            time.sleep(0.2)

    def _switch_the_layer(self) -> None:
        self._act(self.rng.choice(("layer-on", "layer-off")))

    def _act(self, do: str) -> bool:
        """Have the person do something; one time in five the person's process dies over it."""
        if self.rng.random() < 0.2:
            self.acts.append(self.platform.person_dies_over(do, self.rng.uniform(0.0, 0.02)))
            self._killed("person")
            return False
        answer = self.platform.person_does(do)
        if "refused" in answer:
            self.refused_acts += 1
            return False
        self.faults[do] += 1
        self.acts.append(Act.read(answer))
        return True

    def _sometimes_arm_the_venue(self) -> None:
        if self.rng.random() < 0.5:
            fault = self.rng.choice(VENUE_FAULTS)
            try:
                self.platform.admin("POST", "/fault", {**fault, "nth": 1})
            except OSError as error:
                sys.stderr.write(f"venue fault not armed: {error}\n")
                return
            self.faults[f"{fault['op']} {fault['verb']}"] += 1
