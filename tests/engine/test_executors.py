"""Independent calls: in order, or side by side with a deadline."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine import executors
from engine.executors import Failed, SerialExecutor, ThreadedExecutor
from engine.failsafe import FailSafe
from engine.types.opinions import Missing
from tests.engine.phases.scene import Clock, Incidents


class Reads:
    """A clock that jumps past every deadline once it has been read ``still`` times."""

    def __init__(self, still: int) -> None:
        self.left = still

    def __call__(self) -> float:
        self.left -= 1
        return 0.0 if self.left >= 0 else 1e6


class Racing:
    """A clock on which every deadline has passed when it is read again."""

    now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1_000.0
        return self.now_s


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def broken() -> int:
    raise ValueError("no luck")


def eventually(holds: Callable[[], bool]) -> bool:
    pause = threading.Event()
    return any(holds() or pause.wait(0.01) for _ in range(2_000))


def executor(
    kind: str,
    incidents: Incidents | None = None,
    clock: Callable[[], float] | None = None,
    **limits: Any,
) -> Any:
    safe = FailSafe((incidents or Incidents()).incident, Clock())
    if kind == "serial":
        return SerialExecutor(safe)
    return ThreadedExecutor(30.0, clock or (lambda: 0.0), safe, **limits)


@pytest.mark.parametrize("kind", ["serial", "threaded"])
def test_answers_come_back_by_name_in_the_order_asked(kind: str) -> None:
    """ORC-05"""
    results = executor(kind).run({"b": lambda: 2, "a": lambda: 1})
    assert list(results.items()) == [("b", 2), ("a", 1)]


@pytest.mark.parametrize("kind", ["serial", "threaded"])
def test_one_that_raises_is_failed_and_the_others_are_kept(kind: str) -> None:
    """ORC-05, ORC-17"""
    incidents = Incidents()
    results = executor(kind, incidents).run({"a": lambda: 1, "x": broken, "c": lambda: 3})
    assert (results["a"], results["c"]) == (1, 3)
    assert results["x"] == Failed("ValueError: no luck")
    assert incidents.places == ["x"]


@pytest.mark.parametrize("kind", ["serial", "threaded"])
def test_a_view_that_is_missing_by_itself_is_no_failure(kind: str) -> None:
    """ORC-58: absent data and a broken call are told apart."""
    incidents = Incidents()
    results = executor(kind, incidents).run({"a": lambda: Missing("no book")})
    assert results["a"] == Missing("no book")
    assert not isinstance(results["a"], Failed)
    assert incidents.seen == []


@pytest.mark.parametrize("kind", ["serial", "threaded"])
def test_a_call_that_keeps_failing_is_skipped_for_a_while(kind: str) -> None:
    """ORC-17"""
    calls: list[int] = []

    def call() -> int:
        calls.append(1)
        return broken()

    runner = executor(kind)
    for _ in range(8):
        answer = runner.run({"x": call})["x"]
    assert len(calls) == 5
    assert isinstance(answer, Failed) and "skipped after 5 failures" in answer.reason


def test_calls_run_at_the_same_time() -> None:
    """ORC-05: each waits until all three have begun."""
    together = threading.Barrier(3, timeout=20.0)
    results = executor("threaded").run(dict.fromkeys("abc", together.wait))
    assert sorted(results.values()) == [0, 1, 2]


def test_a_late_call_is_failed_and_what_came_in_time_is_kept(released: threading.Event) -> None:
    """ORC-18, ORC-05: the clock is read at the start and before each answer."""
    incidents = Incidents()
    runner = executor("threaded", incidents, Reads(3))
    calls = {"slow": lambda: released.wait(60.0), "a": lambda: 1, "b": lambda: 2}
    results = runner.run(calls)
    assert (results["a"], results["b"]) == (1, 2)
    assert results["slow"] == Failed("TimeoutError: no answer, deadline was 30 s")
    assert incidents.places == ["slow"]
    assert runner.hanging == 1


def test_nobody_is_waited_for_longer_than_what_is_left_of_the_deadline(
    released: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ORC-18: the whole of it at first, 10 s of 30 when 20 have passed, then none at all."""
    patience: list[float] = []

    class Answers(queue.SimpleQueue[Any]):
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            if timeout is None:  # a thread that waits for work
                return super().get(block)
            patience.append(timeout)
            if timeout > 0.0:
                return super().get()  # somebody answers in time, however slow the machine is
            return super().get(timeout=0.0)

    monkeypatch.setattr(executors.queue, "SimpleQueue", Answers)
    seconds = iter([0.0, 0.0, 20.0, 30.0])
    runner = executor("threaded", clock=lambda: next(seconds))
    calls = {"slow": lambda: released.wait(60.0), "a": lambda: 1, "b": lambda: 2}
    results = runner.run(calls)
    assert patience == [30.0, 10.0, 0.0]
    assert isinstance(results["slow"], Failed) and (results["a"], results["b"]) == (1, 2)


def test_an_answer_that_comes_late_is_never_given_to_a_later_question(
    released: threading.Event,
) -> None:
    """ORC-18, ORC-66: no cross-talk between bars."""
    done = threading.Event()

    def slow() -> str:
        released.wait(60.0)
        done.set()
        return "old"

    runner = executor("threaded", clock=Reads(1))
    assert isinstance(runner.run({"a": slow})["a"], Failed)
    released.set()
    assert done.wait(20.0)
    fresh = executor("threaded")
    assert fresh.run({"a": lambda: "new"}) == {"a": "new"}
    runner._monotonic = lambda: 0.0
    assert runner.run({"a": lambda: "new"}) == {"a": "new"}


def test_no_new_call_is_started_while_too_many_hang(released: threading.Event) -> None:
    """ORC-18, ORC-20: threads are bounded; afterwards it works again."""
    started: list[int] = []
    begun = threading.Semaphore(0)

    def hang() -> None:
        started.append(1)
        begun.release()
        released.wait(60.0)

    runner = executor("threaded", clock=Racing(), max_hanging=2)
    for name in "abc":
        answer = runner.run({name: hang})[name]
    assert begun.acquire(timeout=20.0) and begun.acquire(timeout=20.0)
    assert len(started) == 2
    assert answer == Failed("TimeoutError: 2 late calls still run, allowed was 2")
    released.set()
    runner._monotonic = lambda: 0.0
    assert eventually(lambda: runner.hanging == 0)
    assert runner.run({"d": lambda: 4}) == {"d": 4}


def test_late_threads_do_not_hold_up_the_end_of_the_process(released: threading.Event) -> None:
    """ORC-18"""
    runner = executor("threaded", clock=Racing())
    runner.run({"a": lambda: released.wait(60.0)})
    assert len(runner._late) == 1
    assert all(worker.thread.daemon for worker in runner._late)


def test_threads_wait_for_the_next_bar_and_end_with_their_executor() -> None:
    """ORC-20: three calls a bar are three threads, however many bars come."""
    runner, seen = executor("threaded"), set[threading.Thread]()
    for _ in range(20):
        runner.run(dict.fromkeys("abc", lambda: seen.add(threading.current_thread())))
    assert 1 <= len(seen) <= 3
    del runner
    for thread in seen:
        thread.join(20.0)
        assert not thread.is_alive()


def test_a_thread_that_is_late_is_given_nothing_before_it_is_done(
    released: threading.Event,
) -> None:
    """ORC-18, ORC-66: the next bar's calls wait for nobody."""
    runner = executor("threaded", clock=Racing())
    runner.run({"slow": lambda: released.wait(60.0)})
    runner._monotonic = lambda: 0.0
    for bar in range(5):
        assert runner.run({"a": lambda bar=bar: bar, "b": lambda: -1}) == {"a": bar, "b": -1}
    assert runner.hanging == 1
    released.set()
    assert eventually(lambda: runner.hanging == 0)


@pytest.mark.parametrize("deadline_s", [0.0, -1.0, float("nan")])
def test_a_deadline_is_positive(deadline_s: float) -> None:
    with pytest.raises(ValueError, match="deadline_s must be positive"):
        ThreadedExecutor(deadline_s, Clock(), FailSafe(Incidents().incident, Clock()))
