"""Counts what calls to the venue take and how often they get no answer."""

from __future__ import annotations

import time

from market.answers import Unavailable
from market.rate_budget import Budget, Gate, Urgency
from resources.counters import work


class TimedBudget:
    """Implements ``market.rate_budget.Budget`` around another one."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def gate(self, call: str, urgency: Urgency) -> Gate:
        return _TimedGate(self._budget.gate(call, urgency))

    def wait_s(self, call: str, urgency: Urgency) -> float:
        return self._budget.wait_s(call, urgency)

    def silence_s(self) -> float:
        return self._budget.silence_s()


class _TimedGate:
    """One call; the wait for its turn is not the venue's."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._began_s = time.monotonic()

    def enter(self) -> Unavailable | None:
        refusal = self._gate.enter()
        self._began_s = time.monotonic()
        return refusal

    def answered(self, *, is_answer: bool) -> None:
        work().add("venue", time.monotonic() - self._began_s, failed=not is_answer)
        self._gate.answered(is_answer=is_answer)

    def heard(self, answer: Unavailable) -> None:
        self._gate.heard(answer)
