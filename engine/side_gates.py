"""What the virtual books of a run may do: the run's own gate, seen from where they stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.ports import Gatekeeper, StrategyStatus, TradingState
from engine.simulated_operator import SimulatedOperator


class ShadowGate:
    """The gate of the shadow book: everybody in it may trade, for nothing is at stake (D-07).

    Who is in it is decided by the book's plan. Breakers of the run do not bind it: a strategy that
    was stopped for its losses could else never show that it has recovered.
    """

    def __init__(self, run: Gatekeeper) -> None:
        self._run = run

    def observe(self, now_ms: int) -> None:
        return None

    def trading_state(self, symbol: str, strategy: str) -> TradingState:
        return TradingState.ACTIVE

    def state_reason(self, symbol: str, strategy: str) -> str:
        return ""

    def control_epoch(self) -> int:
        return self._run.control_epoch()

    def entry_lock(self, symbol: str, strategy: str) -> str:
        return ""

    def strategy_status(self, strategy: str) -> StrategyStatus:
        return StrategyStatus.ACTIVE

    def escalate(
        self, state: TradingState, reason_code: str, text: str, at_ms: int, scope: str = "global"
    ) -> None:
        return None

    def resets(self) -> Mapping[str, int]:
        return {}


class CounterfactualGate:
    """The gate of the counterfactual book: the run without its optimization layer.

    It stands still wherever the run does, so that only what the layer changed differs; its own
    losses stop it through breakers of its own, which a simulated operator resets (D-23).
    ``without_layer`` is a strategy's status as people left it.
    """

    def __init__(self, run: Gatekeeper, without_layer: Callable[[str], StrategyStatus]) -> None:
        self._run = run
        self._without_layer = without_layer
        self._own = SimulatedOperator({}, resume_after_days=1)

    def observe(self, now_ms: int) -> None:
        self._own.observe(now_ms)

    def trading_state(self, symbol: str, strategy: str) -> TradingState:
        states = (gate.trading_state(symbol, strategy) for gate in (self._run, self._own))
        return max(states, key=lambda state: state.severity)

    def state_reason(self, symbol: str, strategy: str) -> str:
        reasons = (gate.state_reason(symbol, strategy) for gate in (self._run, self._own))
        return "; ".join(reason for reason in reasons if reason)

    def control_epoch(self) -> int:
        return self._run.control_epoch()

    def entry_lock(self, symbol: str, strategy: str) -> str:
        return self._run.entry_lock(symbol, strategy)

    def strategy_status(self, strategy: str) -> StrategyStatus:
        return self._without_layer(strategy)

    def escalate(
        self, state: TradingState, reason_code: str, text: str, at_ms: int, scope: str = "global"
    ) -> None:
        self._own.escalate(state, reason_code, text, at_ms, scope)

    def resets(self) -> Mapping[str, int]:
        """Both the run's resets and the simulated operator's forgive, added up by scope."""
        run, own = self._run.resets(), self._own.resets()
        return {scope: run.get(scope, 0) + own.get(scope, 0) for scope in {*run, *own}}
