"""Which components are alive, judged by the heartbeats they wrote at the end of useful work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from monitoring.models import Heartbeat
from trades.models import Mode, TradingRun
from trades.queues import is_apart, queue_of
from trades.records import milliseconds

LATE_AFTER_PERIODS = 3.0
# The strip says so before the list calls it late: the loop is knocked every second.
QUIET_AFTER_PERIODS = 1.5
DOWN_AFTER_PERIODS = 10.0
LOOP = "loop"


class State(StrEnum):
    """NEW never did anything yet, PAUSED has nothing to do by somebody's wish, IDLE could work
    and may not."""

    NEW = "new"
    UP = "up"
    LATE = "late"
    DOWN = "down"
    PAUSED = "paused"
    IDLE = "idle"

    @property
    def is_unwell(self) -> bool:
        return self in (State.LATE, State.DOWN, State.IDLE)


# What is said of a field that holds one, where the API is described.
STATES = f"one of {', '.join(State)}"


@dataclass(frozen=True, slots=True)
class ComponentState:
    """``age_s`` is wall time since the last heartbeat; late after three periods without one. Both
    are None of a component that is new. ``reason`` is empty where the state says it all."""

    component: str
    at: datetime | None
    age_s: float | None
    expected_every_s: float | None
    state: State
    code_version: str
    reason: str = ""

    @property
    def is_late(self) -> bool:
        return self.state.is_unwell


def loop_name(account: str, *, apart: bool) -> str:
    """Return the name of a run's heartbeat: an account with a worker of its own has its own."""
    return f"{LOOP}.{account}" if apart else LOOP


def behind_bars(run: TradingRun) -> int | None:
    """Return how many bars a run's loop was behind the venue when it last advanced; None where
    it has not, or has ended."""
    beat = _loop_beat(run)
    if beat is None:
        return None
    return int(beat.detail.get("behind_bars", 0))


def loop_quiet_at_ms(run: TradingRun) -> int | None:
    """Return from when on a run's loop is silent too long unless it works before, ms UTC; None
    where it has not worked yet, or has ended. A loop without work is heard all the same."""
    beat = _loop_beat(run)
    if beat is None:
        return None
    return milliseconds(beat.at) + round(1000.0 * QUIET_AFTER_PERIODS * beat.expected_every_s)


def _loop_beat(run: TradingRun) -> Heartbeat | None:
    name = loop_name(run.account, apart=is_apart(run.config))
    beat = None if run.ended_at else Heartbeat.objects.filter(component=name).first()
    return beat if beat is not None and beat.detail.get("run_id") == run.pk else None


def component_list(now: datetime) -> list[ComponentState]:
    """Return the state of every component by name: whoever wrote a heartbeat, and the loop of every
    open run, which is new until it does."""
    beats = {row.component: row for row in Heartbeat.objects.all()}
    loops = _open_loops()
    standing = _standing(loops, beats, now)
    found = [_state(row, now, standing) for row in beats.values()]
    found += [
        ComponentState(name, None, None, None, State.NEW, "", "no worker has advanced the run yet")
        for name in loops
        if name not in beats
    ]
    return sorted(found, key=lambda row: row.component)


def loops_standing(now: datetime) -> dict[str, tuple[State, str]]:
    """Return which loops stand still for a reason that is no failure of theirs: paused or idle,
    and why, however short their silence is."""
    return _standing(_open_loops(), {row.component: row for row in Heartbeat.objects.all()}, now)


def _open_loops() -> dict[str, TradingRun]:
    runs = TradingRun.objects.filter(ended_at__isnull=True).exclude(mode=Mode.REPLAY)
    rows = runs.select_related("lease").order_by("pk")
    return {loop_name(run.account, apart=is_apart(run.config)): run for run in rows}


def _standing(
    loops: Mapping[str, TradingRun], beats: Mapping[str, Heartbeat], now: datetime
) -> dict[str, tuple[State, str]]:
    named = [name for name in beats if name == LOOP or name.startswith(f"{LOOP}.")]
    found = {name: (State.PAUSED, "no run is open") for name in named if name not in loops}
    for name, run in loops.items():
        if why := _reserved_for_others(run, now, beats):
            found[name] = (State.IDLE, why)
    return found


def _state(
    row: Heartbeat, now: datetime, standing: Mapping[str, tuple[State, str]]
) -> ComponentState:
    age_s = max((now - row.at).total_seconds(), 0.0)
    state, reason = by_age(age_s, row.expected_every_s), ""
    if state is not State.UP:
        state, reason = standing.get(row.component, (state, reason))
    return ComponentState(
        component=row.component,
        at=row.at,
        age_s=age_s,
        expected_every_s=row.expected_every_s,
        state=state,
        code_version=row.code_version,
        reason=reason,
    )


def by_age(age_s: float, expected_every_s: float) -> State:
    """Return up, late or down by the age of the last useful work."""
    if age_s <= LATE_AFTER_PERIODS * expected_every_s:
        return State.UP
    return State.LATE if age_s <= DOWN_AFTER_PERIODS * expected_every_s else State.DOWN


def _reserved_for_others(run: TradingRun, now: datetime, beats: Mapping[str, Heartbeat]) -> str:
    """Return why nobody may advance a run though its worker is up: the run is reserved for another
    version of the code (F-091). Empty where that is not so."""
    lease = getattr(run, "lease", None)
    worker = beats.get(queue_of(run.account, run.config))
    if lease is None or worker is None or lease.code_version in ("", worker.code_version):
        return ""
    age_s = max((now - worker.at).total_seconds(), 0.0)
    if by_age(age_s, worker.expected_every_s) is not State.UP:
        return ""
    return (
        f"the run is reserved for version {lease.code_version}, its worker is of version"
        f" {worker.code_version or 'unknown'}; start the installation again as a whole"
    )
