"""The gatekeeper of a replay: breakers latch on event time, a stated operator resets them.

A live breaker waits for a person. A replay has none, so it states one (D-23): a day-loss stop
ends at the next UTC day, a week-loss stop at the next UTC Monday, any other stop after a stated
number of days, from a new peak level. Every intervention is counted and reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.ports import StrategyStatus, TradingState
from engine.standing import first_day_of_week

DAY_MS = 86_400_000
DAY_LOSS = "DAY_LOSS"
WEEK_LOSS = "WEEK_LOSS"


@dataclass(frozen=True, slots=True)
class Intervention:
    """A stop of the simulated operator's watch: when it began, why, and when it ended."""

    at_ms: int
    scope: str
    state: TradingState
    reason_code: str
    text: str
    resumes_at_ms: int


class SimulatedOperator:
    """Implements ``engine.ports.Gatekeeper`` without rows.

    Args:
        statuses: status of each strategy code; a strategy not named raises, as with rows.
        resume_after_days: whole UTC days a drawdown or streak stop lasts, at least 1.
    """

    def __init__(self, statuses: Mapping[str, StrategyStatus], resume_after_days: int) -> None:
        if resume_after_days < 1:
            raise ValueError(f"resume_after_days was {resume_after_days}, allowed: 1 or more")
        self._statuses = dict(statuses)
        self._resume_after_days = resume_after_days
        self._stops: dict[str, Intervention] = {}
        self._resets: dict[str, int] = {}
        self._epoch = 0
        self.interventions: list[Intervention] = []

    def observe(self, now_ms: int) -> None:
        if not self._stops:
            return
        for scope, stop in list(self._stops.items()):
            if now_ms >= stop.resumes_at_ms:
                del self._stops[scope]
                self._epoch += 1
                if stop.reason_code not in (DAY_LOSS, WEEK_LOSS):
                    self._resets[scope] = self._resets.get(scope, 0) + 1

    @property
    def acts_at_ms(self) -> int | None:
        """When the first of its stops ends; None where nothing is stopped."""
        if not self._stops:
            return None
        return min(stop.resumes_at_ms for stop in self._stops.values())

    def trading_state(self, symbol: str, strategy: str) -> TradingState:
        stop = self._worst(strategy)
        return TradingState.ACTIVE if stop is None else stop.state

    def state_reason(self, symbol: str, strategy: str) -> str:
        stop = self._worst(strategy)
        return "" if stop is None else stop.text

    def control_epoch(self) -> int:
        return self._epoch

    def resets(self) -> Mapping[str, int]:
        return self._resets

    def entry_lock(self, symbol: str, strategy: str) -> str:
        return ""

    def strategy_status(self, strategy: str) -> StrategyStatus:
        return self._statuses[strategy]

    def set_status(self, strategy: str, status: StrategyStatus) -> None:
        """Do as an edge of strategy health says, where a platform writes the strategy's row."""
        self._statuses[strategy] = status

    def escalate(
        self, state: TradingState, reason_code: str, text: str, at_ms: int, scope: str = "global"
    ) -> None:
        current = self._stops.get(scope)
        if current is not None and state.severity <= current.state.severity:
            return
        resumes_at_ms = self._resumes_on(reason_code, at_ms // DAY_MS) * DAY_MS
        stop = Intervention(at_ms, scope, state, reason_code, text, resumes_at_ms)
        self._stops[scope] = stop
        self._epoch += 1
        self.interventions.append(stop)

    def _resumes_on(self, reason_code: str, day: int) -> int:
        """Return the UTC day number on which a stop of ``day`` ends."""
        if reason_code == WEEK_LOSS:
            return first_day_of_week(day) + 7
        return day + (1 if reason_code == DAY_LOSS else self._resume_after_days)

    def _worst(self, strategy: str) -> Intervention | None:
        if not self._stops:
            return None
        found = [self._stops.get("global"), self._stops.get(f"strategy:{strategy}")]
        stops = [stop for stop in found if stop is not None]
        return max(stops, key=lambda stop: stop.state.severity, default=None)
