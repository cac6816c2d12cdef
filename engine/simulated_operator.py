"""The gatekeeper of a replay: breakers latch on event time, a stated operator resets them.

A live breaker waits for a person. A replay has none, so it states one (D-23): a day-loss stop
ends at the next UTC day, any other stop after a stated number of days, from a new peak level.
Every intervention is counted and reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.ports import StrategyStatus, TradingState

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Intervention:
    """A stop of the simulated operator's watch: when it began, why, and when it ended."""

    at_ms: int
    state: TradingState
    reason_code: str
    text: str
    resumes_at_ms: int


class SimulatedOperator:
    """Implements ``engine.ports.Gatekeeper`` without rows.

    Args:
        statuses: status of each strategy code; a strategy not named raises, as with rows.
        resume_after_days: whole UTC days a drawdown or streak stop lasts, at least 1.
        on_resume: called when a stop ends, so that peaks and streaks start anew.
    """

    def __init__(
        self,
        statuses: Mapping[str, StrategyStatus],
        resume_after_days: int,
        on_resume: Callable[[Intervention], None],
    ) -> None:
        if resume_after_days < 1:
            raise ValueError(f"resume_after_days was {resume_after_days}, allowed: 1 or more")
        self._statuses = dict(statuses)
        self._resume_after_days = resume_after_days
        self._on_resume = on_resume
        self._current: Intervention | None = None
        self._epoch = 0
        self.interventions: list[Intervention] = []

    def observe(self, now_ms: int) -> None:
        current = self._current
        if current is not None and now_ms >= current.resumes_at_ms:
            self._current = None
            self._epoch += 1
            self._on_resume(current)

    def trading_state(self, symbol: str, strategy: str) -> TradingState:
        return TradingState.ACTIVE if self._current is None else self._current.state

    def state_reason(self, symbol: str, strategy: str) -> str:
        return "" if self._current is None else self._current.text

    def control_epoch(self) -> int:
        return self._epoch

    def strategy_status(self, strategy: str) -> StrategyStatus:
        return self._statuses[strategy]

    def escalate(self, state: TradingState, reason_code: str, text: str, at_ms: int) -> None:
        if self._current is not None and state.severity <= self._current.state.severity:
            return
        days = 1 if reason_code == "DAY_LOSS" else self._resume_after_days
        resumes_at_ms = (at_ms // DAY_MS + days) * DAY_MS
        self._current = Intervention(at_ms, state, reason_code, text, resumes_at_ms)
        self._epoch += 1
        self.interventions.append(self._current)
