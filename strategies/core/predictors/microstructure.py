"""A predictor that reads the order book and the flow of orders, and speaks once it has proved."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, sqrt

from engine.phases.microstructure import INPUT_NAMES, INPUTS_VERSION
from engine.ports import SourceInput
from engine.types.bars import FloatColumn
from engine.types.decisions import JsonValue
from engine.types.opinions import REGIMES, Regime
from strategies.core.errors import StrategyError
from strategies.core.predictors.online_linear import OnlineLinear, OnlineLinearParams

_PARAMS = OnlineLinearParams(learning_rate=0.02, l2=0.002, shrink_settled=100.0, max_lean=0.3)
# Evidence is forgotten: half of it after about 1,400 outcomes.
_DECAY = 0.9995
# In standard errors of its gain over saying 0.5: silent up to the first, in full voice from the
# second on. Outcomes overlap, so the usual 2 would let noise speak.
_SILENT_UNTIL, _FULL_FROM = 2.5, 4.5
_STATE_VERSION = 1


class Microstructure:
    """Online logistic regression on order-flow inputs, silent until it beats 0.5 out of sample.

    Before it learns an outcome it scores what it would have said: the gain in Brier score over
    always saying 0.5. Its lean is let through in proportion to the evidence that this gain is not
    luck, so on noise it answers 0.5. Rows that are not of ``INPUTS_VERSION``'s length, or not
    finite, are answered with 0.5 and never learned from.
    """

    __slots__ = ("_gain", "_linear", "_squares")

    def __init__(self) -> None:
        self._linear = OnlineLinear(_PARAMS)
        self._gain = 0.0
        self._squares = 0.0

    @property
    def code(self) -> str:
        return "microstructure"

    @property
    def reads(self) -> SourceInput:
        return SourceInput.ORDER_FLOW

    @property
    def favourable_regimes(self) -> frozenset[Regime]:
        return frozenset(REGIMES)

    @property
    def learned(self) -> int:
        """Outcomes learned so far."""
        return self._linear.learned

    @property
    def trust(self) -> float:
        """The share of its lean that is let through, in [0, 1]."""
        if self._squares <= 0.0:
            return 0.0
        errors = self._gain / sqrt(self._squares)
        return min(1.0, max(0.0, (errors - _SILENT_UNTIL) / (_FULL_FROM - _SILENT_UNTIL)))

    def predict(self, features: FloatColumn) -> float:
        """Return the probability in [0.2, 0.8] that the price is higher after the horizon."""
        if features.shape != (len(INPUT_NAMES),):
            return 0.5
        return 0.5 + self.trust * (self._linear.predict(features) - 0.5)

    def learn(self, features: FloatColumn, outcome_up: int) -> None:
        """Score what would have been said, then move the weights by the known outcome.

        Raises:
            ValueError: the outcome is neither 0 nor 1.
        """
        if outcome_up not in (0, 1):
            raise ValueError(f"outcome_up must be 0 or 1, was {outcome_up!r}")
        if features.shape != (len(INPUT_NAMES),):
            return
        before = self._linear.learned
        lean = self._linear.predict(features) - 0.5
        self._linear.learn(features, outcome_up)
        if self._linear.learned > before:
            gain = lean * (2 * outcome_up - 1) - lean * lean
            self._gain = _DECAY * self._gain + gain
            self._squares = _DECAY * _DECAY * self._squares + gain * gain

    def state(self) -> dict[str, JsonValue]:
        """Return everything learned as JSON values; floats survive the trip to the last bit."""
        return {
            "version": _STATE_VERSION,
            "inputs": INPUTS_VERSION,
            "gain": self._gain,
            "squares": self._squares,
            "linear": self._linear.state(),
        }

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Replace everything learned by a stored state; other inputs than today's start anew.

        Raises:
            StrategyError: the state is not one that ``state`` wrote; nothing is changed then.
        """
        if state.get("version") != _STATE_VERSION:
            raise StrategyError(
                f"microstructure state version must be {_STATE_VERSION}, "
                f"was {state.get('version')!r}"
            )
        linear, fresh = OnlineLinear(_PARAMS), state.get("inputs") != INPUTS_VERSION
        gain, squares = _number(state, "gain"), _number(state, "squares")
        given = state.get("linear")
        if not isinstance(given, dict) or squares < 0.0:
            raise StrategyError(f"microstructure state must be whole, was {sorted(state)}")
        linear.restore(given)
        self._linear = OnlineLinear(_PARAMS) if fresh else linear
        self._gain, self._squares = (0.0, 0.0) if fresh else (gain, squares)


def _number(state: Mapping[str, JsonValue], name: str) -> float:
    value = state.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise StrategyError(f"microstructure {name} must be a finite number, was {value!r}")
    return float(value)
