"""Ways to run independent calls: one after the other, or side by side with a deadline."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from engine.failsafe import FailSafe, Failure, attempt
from engine.types.opinions import Missing

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failed(Missing):
    """A view that is missing because its call raised or was late (not because of its input)."""


class SerialExecutor:
    """Runs calls in order on the caller's thread; a call that raises becomes Failed.

    It cannot interrupt a call that hangs: replay and tests only.
    """

    def __init__(self, fail_safe: FailSafe) -> None:
        self._fail_safe = fail_safe

    def run(self, calls: Mapping[str, Callable[[], T]]) -> dict[str, T | Missing]:
        results: dict[str, T | Missing] = {}
        for name, call in calls.items():
            result = self._fail_safe.attempt(call, where=name)
            results[name] = Failed(result.text) if isinstance(result, Failure) else result
        return results


class ThreadedExecutor:
    """Runs calls side by side; what raises or is late becomes Failed, the others are kept.

    ``run`` returns at the latest ``deadline_s`` after it was called (``monotonic`` seconds). A
    late call's result is dropped whenever it comes; its thread is a daemon that nothing else is
    given before it is done, so it can hold up neither the next call nor the end of the process.
    While ``max_hanging`` late calls are still running no new ones are started. Threads wait for
    the next bar's calls: starting them anew cost more than what they compute.
    """

    def __init__(
        self,
        deadline_s: float,
        monotonic: Callable[[], float],
        fail_safe: FailSafe,
        *,
        max_hanging: int = 8,
    ) -> None:
        self._idle: list[_Worker] = []
        self._late: list[_Worker] = []
        if not deadline_s > 0.0:
            raise ValueError(f"deadline_s must be positive, was {deadline_s}")
        self._deadline_s = deadline_s
        self._monotonic = monotonic
        self._fail_safe = fail_safe
        self._max_hanging = max_hanging

    def __del__(self) -> None:
        # a session that is thrown away must not leave threads that wait for ever
        for worker in (*self._idle, *self._late):
            worker.stop()

    @property
    def hanging(self) -> int:
        """How many late calls are still running."""
        self._idle += [worker for worker in self._late if not worker.busy]
        self._late = [worker for worker in self._late if worker.busy]
        return len(self._late)

    def run(self, calls: Mapping[str, Callable[[], T]]) -> dict[str, T | Missing]:
        answers: queue.SimpleQueue[tuple[str, T | Failure]] = queue.SimpleQueue()
        until_s = self._monotonic() + self._deadline_s
        arrived: dict[str, T | Failure] = {}
        running: dict[str, _Worker] = {}
        for name, call in calls.items():
            refused = self._refusal(name)
            if refused is None:
                running[name] = self._ask(name, call, answers)
            else:
                arrived[name] = refused
        while running:
            try:
                name, answer = answers.get(timeout=max(0.0, until_s - self._monotonic()))
            except queue.Empty:
                break
            self._idle.append(running.pop(name))
            arrived[name] = self._noted(name, answer)
        for name, worker in running.items():
            self._late.append(worker)
            late = Failure(name, TimeoutError(f"no answer, deadline was {self._deadline_s:g} s"))
            self._fail_safe.failed(late)
            arrived[name] = late
        return {name: _view(arrived[name]) for name in calls}

    def _ask(
        self,
        name: str,
        call: Callable[[], T],
        answers: queue.SimpleQueue[tuple[str, T | Failure]],
    ) -> _Worker:
        worker = self._idle.pop() if self._idle else _Worker()
        worker.ask(lambda: answers.put((name, attempt(call, name))))
        return worker

    def _refusal(self, name: str) -> Failure | None:
        skipped = self._fail_safe.skipped(name)
        if skipped is not None:
            return skipped
        hanging = self.hanging if self._late else 0
        if hanging < self._max_hanging:
            return None
        text = f"{hanging} late calls still run, allowed was {self._max_hanging}"
        full = Failure(name, TimeoutError(text))
        self._fail_safe.failed(full)
        return full

    def _noted(self, name: str, answer: T | Failure) -> T | Failure:
        # Counted here and not on the worker's thread: the fail-safe belongs to one thread.
        if isinstance(answer, Failure):
            self._fail_safe.failed(answer)
        else:
            self._fail_safe.succeeded(name)
        return answer


class _Worker:
    """A daemon thread that does one thing after another."""

    def __init__(self) -> None:
        # each side counts for itself, so no order of events can hide a call that still runs
        self._n_asked, self._n_done = 0, 0
        self._asked: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="phase worker", daemon=True)
        self.thread.start()

    @property
    def busy(self) -> bool:
        """True from being asked until it is done."""
        return self._n_asked != self._n_done

    def ask(self, do: Callable[[], None]) -> None:
        self._n_asked += 1
        self._asked.put(do)

    def stop(self) -> None:
        """End the thread once it has done what it was asked."""
        self._asked.put(None)

    def _work(self) -> None:
        while (do := self._asked.get()) is not None:
            do()
            # what was asked holds a bar's store: not kept until the next bar comes
            del do
            self._n_done += 1


def _view(answer: T | Failure) -> T | Missing:
    return Failed(answer.text) if isinstance(answer, Failure) else answer
