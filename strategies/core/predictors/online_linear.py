"""Logistic regression that learns one outcome at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np

from engine.compiled import kernel
from engine.ports import SourceInput
from engine.types.bars import FloatColumn
from engine.types.decisions import JsonValue
from engine.types.opinions import REGIMES, Regime
from strategies.core.errors import StrategyError

# Beyond these odds (about 1 in 3 million) a logit is an error, not a belief.
_MAX_LOGIT = 15.0
_STATE_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineLinearParams:
    """``shrink_settled``: outcomes needed before half of the model's lean is let through;
    ``max_lean``: the farthest from 0.5 it may go."""

    learning_rate: float = 0.005
    l2: float = 0.01
    shrink_settled: float = 200.0
    max_lean: float = 0.3

    def __post_init__(self) -> None:
        for name in ("learning_rate", "l2", "shrink_settled", "max_lean"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0.0):
                raise StrategyError(f"{name} must be finite and not negative, was {value!r}")
        if self.max_lean > 0.5:
            raise StrategyError(f"max_lean must be at most 0.5, was {self.max_lean!r}")


class OnlineLinear:
    """Predict, then learn: AdaGrad on the logistic loss with L2, shrunk towards 0.5 while young.

    The number of features is fixed by the first outcome learned. A feature row that is not
    finite, or of another length, is answered with 0.5 and never learned from.
    Source: Duchi, Hazan, Singer (2011), diagonal AdaGrad.
    """

    __slots__ = ("_gradients", "_learned", "_weights", "params")

    def __init__(self, params: OnlineLinearParams | None = None) -> None:
        self.params = OnlineLinearParams() if params is None else params
        self._weights: FloatColumn = np.zeros(0)
        self._gradients: FloatColumn = np.zeros(0)
        self._learned = 0

    @property
    def code(self) -> str:
        return "online-linear"

    @property
    def reads(self) -> SourceInput:
        return SourceInput.FEATURES

    @property
    def favourable_regimes(self) -> frozenset[Regime]:
        return frozenset(REGIMES)

    @property
    def learned(self) -> int:
        """Outcomes learned so far."""
        return self._learned

    def predict(self, features: FloatColumn) -> float:
        """Return the probability in [0.5 - max_lean, 0.5 + max_lean]; 0.5 while untrained."""
        if self._learned == 0 or features.shape != (self._weights.shape[0] - 1,):
            return 0.5
        logit = _logit(self._weights, features)
        if not isfinite(logit):
            return 0.5
        trust = self._learned / (self._learned + self.params.shrink_settled)
        lean = (_sigmoid(logit) - 0.5) * trust
        return 0.5 + max(-self.params.max_lean, min(self.params.max_lean, lean))

    def learn(self, features: FloatColumn, outcome_up: int) -> None:
        """Move the weights by one known outcome.

        Raises:
            ValueError: the outcome is neither 0 nor 1.
        """
        if outcome_up not in (0, 1):
            raise ValueError(f"outcome_up must be 0 or 1, was {outcome_up!r}")
        if self._learned == 0:
            # The last weight belongs to a constant input of 1.
            self._weights = np.zeros(features.shape[0] + 1)
            self._gradients = np.zeros(features.shape[0] + 1)
        if features.shape != (self._weights.shape[0] - 1,):
            return
        learned = _learn(
            self._weights,
            self._gradients,
            features,
            float(outcome_up),
            self.params.learning_rate,
            self.params.l2,
        )
        self._learned += int(learned)

    def state(self) -> dict[str, JsonValue]:
        """Return everything learned as JSON values; floats survive the trip to the last bit."""
        return {
            "version": _STATE_VERSION,
            "learned": self._learned,
            "weights": [float(value) for value in self._weights],
            "gradients": [float(value) for value in self._gradients],
        }

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Replace everything learned by a stored state.

        Raises:
            StrategyError: the state is not one that ``state`` wrote; nothing is changed then.
        """
        version = state.get("version")
        if version != _STATE_VERSION:
            raise StrategyError(
                f"online-linear state version must be {_STATE_VERSION}, was {version!r}"
            )
        weights, gradients = _floats(state, "weights"), _floats(state, "gradients")
        learned = state.get("learned")
        if type(learned) is not int or learned < 0:
            raise StrategyError(f"online-linear learned must be a count, was {learned!r}")
        if weights.shape != gradients.shape or (weights.shape[0] == 0) != (learned == 0):
            raise StrategyError(
                f"online-linear state must match: {weights.shape[0]} weights, "
                f"{gradients.shape[0]} gradients, {learned} learned"
            )
        if bool((gradients < 0.0).any()):
            raise StrategyError("online-linear gradients must not be negative")
        self._weights, self._gradients, self._learned = weights, gradients, learned


def _floats(state: Mapping[str, JsonValue], name: str) -> FloatColumn:
    values = state.get(name)
    if not isinstance(values, list):
        raise StrategyError(f"online-linear {name} must be a list, was {values!r}")
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) != len(values) or not all(isfinite(number) for number in numbers):
        raise StrategyError(f"online-linear {name} must hold finite numbers")
    return np.array(numbers, dtype=np.float64)


@kernel
def _logit(weights: FloatColumn, features: FloatColumn) -> float:
    total: float = weights[-1]
    for i in range(features.shape[0]):
        total += weights[i] * features[i]
    return total


@kernel
def _sigmoid(logit: float) -> float:
    bounded = min(_MAX_LOGIT, max(-_MAX_LOGIT, logit))
    return 1.0 / (1.0 + np.exp(-bounded))  # type: ignore[no-any-return]


@kernel
def _learn(
    weights: FloatColumn,
    gradients: FloatColumn,
    features: FloatColumn,
    outcome: float,
    rate: float,
    l2: float,
) -> bool:
    for i in range(features.shape[0]):
        if not np.isfinite(features[i]):
            return False
    error = _sigmoid(_logit(weights, features)) - outcome
    for i in range(weights.shape[0]):
        constant = i == weights.shape[0] - 1
        # The constant is not decayed: a market's drift is no reason to be smaller than it is.
        step = error if constant else error * features[i] + l2 * weights[i]
        squared = step * step
        if np.isfinite(squared):
            gradients[i] += squared
            weights[i] -= rate * step / (np.sqrt(gradients[i]) + 1e-8)
    return True
