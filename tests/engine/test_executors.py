"""Side by side with a deadline: ORC-05, ORC-18, ORC-20, ORC-58."""

from __future__ import annotations

import threading
import time

import pytest

from engine.executors import Failed, SerialExecutor, ThreadedExecutor
from engine.failsafe import FailSafe
from engine.types.opinions import Missing
from tests.engine.phases.scene import Incidents

LONG_S = 30.0


def fail_safe() -> tuple[FailSafe, Incidents]:
    incidents = Incidents()
    return FailSafe(incidents.incident, time.monotonic), incidents


def broken() -> int:
    raise RuntimeError("no data")


def test_serial_keeps_the_others_when_one_fails() -> None:
    """ORC-05, ORC-17"""
    safe, incidents = fail_safe()
    answers = SerialExecutor(safe).run({"a": lambda: 1, "b": broken, "c": lambda: 3})
    assert list(answers) == ["a", "b", "c"]
    assert (answers["a"], answers["c"]) == (1, 3)
    assert answers["b"] == Failed("RuntimeError: no data")
    assert incidents.places == ["b"]


def test_threads_run_side_by_side() -> None:
    """ORC-05: each call waits for the other two, so one after the other would never end."""
    safe, _ = fail_safe()
    together = threading.Barrier(3, timeout=LONG_S)

    def call() -> int:
        return together.wait()

    answers = ThreadedExecutor(LONG_S, time.monotonic, safe).run({"a": call, "b": call, "c": call})
    assert sorted(answers.values()) == [0, 1, 2]  # type: ignore[type-var]


def test_threads_keep_the_others_when_one_fails() -> None:
    """ORC-05: one failing cancels nobody."""
    safe, incidents = fail_safe()
    executor = ThreadedExecutor(LONG_S, time.monotonic, safe)
    answers = executor.run({"a": broken, "b": lambda: 2, "c": lambda: 3})
    assert list(answers) == ["a", "b", "c"]
    assert isinstance(answers["a"], Missing)
    assert (answers["b"], answers["c"]) == (2, 3)
    assert incidents.places == ["a"]


def test_a_late_call_is_dropped_and_the_others_are_kept() -> None:
    """ORC-18: the answer comes at the deadline; what arrives after it reaches nobody."""
    safe, incidents = fail_safe()
    release = threading.Event()
    executor = ThreadedExecutor(0.05, time.monotonic, safe)

    def hangs() -> int:
        release.wait(LONG_S)
        return 666

    started_s = time.monotonic()
    answers = executor.run({"a": hangs, "b": lambda: 2})
    took_s = time.monotonic() - started_s
    assert isinstance(answers["a"], Failed)
    assert "deadline was 0.05 s" in answers["a"].reason
    assert answers["b"] == 2
    assert 0.05 <= took_s < LONG_S / 2
    assert incidents.places == ["a"]
    assert executor.hanging == 1
    release.set()
    eventually_none_hang(executor)
    assert executor.run({"a": lambda: 1}) == {"a": 1}


def test_no_new_calls_are_started_while_too_many_hang() -> None:
    """ORC-18, ORC-20: a component that always hangs cannot exhaust threads."""
    safe, _ = fail_safe()
    release = threading.Event()
    executor = ThreadedExecutor(0.02, time.monotonic, safe, max_hanging=2)

    def hangs() -> bool:
        return release.wait(LONG_S)

    executor.run({"a": hangs, "b": hangs})
    before = threading.active_count()
    answers = executor.run({"c": hangs})
    assert "2 late calls still run, allowed was 2" in answers["c"].reason  # type: ignore[union-attr]
    assert threading.active_count() == before
    release.set()
    eventually_none_hang(executor)


def test_a_place_that_keeps_failing_is_not_called_for_a_while() -> None:
    """ORC-58"""
    safe, _ = fail_safe()
    executor = ThreadedExecutor(LONG_S, time.monotonic, safe)
    calls: list[int] = []

    def counted() -> int:
        calls.append(1)
        raise RuntimeError("no data")

    for _ in range(7):
        executor.run({"a": counted})
    assert len(calls) == 5


def test_a_deadline_must_be_positive() -> None:
    with pytest.raises(ValueError, match="deadline_s must be positive, was 0"):
        ThreadedExecutor(0.0, time.monotonic, fail_safe()[0])


def eventually_none_hang(executor: ThreadedExecutor) -> None:
    until_s = time.monotonic() + LONG_S
    while executor.hanging and time.monotonic() < until_s:
        threading.Event().wait(0.005)
    assert executor.hanging == 0
