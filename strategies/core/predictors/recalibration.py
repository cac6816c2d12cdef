"""A trained model's last word about itself: two numbers that follow its outcomes slowly."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.compiled import kernel
from engine.types.bars import FloatColumn
from engine.types.decisions import JsonValue
from strategies.core.errors import StrategyError
from strategies.core.predictors import payload as read

# Prior standard deviations of slope and intercept around the identity (1, 0).
_PRIOR_SLOPE_SD = 0.5
_PRIOR_INTERCEPT_SD = 0.1
# Outcomes of neighbouring rows overlap; each counts for half an independent one.
_EVIDENCE = 0.5
# Evidence fades with this memory, back towards the identity.
_MEMORY_OUTCOMES = 4_000.0
_MAX_INTERCEPT = 0.5
_N_STATE = 5


class Recalibration:
    """logit -> slope * logit + intercept, learned one outcome at a time.

    A Gaussian belief about (slope, intercept) around the identity, updated by one Newton step of
    the logistic loss an outcome and forgotten slowly. The slope in use is held within [0, 1]: a
    model that is wrong is heard less, down to the base rate alone, and never more.
    """

    __slots__ = ("_state", "learned")

    def __init__(self) -> None:
        self._state = _prior()
        self.learned = 0

    @property
    def slope(self) -> float:
        return float(_means(self._state)[0])

    @property
    def intercept(self) -> float:
        return float(_means(self._state)[1])

    def logit(self, logit: float) -> float:
        """Return the recalibrated log-odds."""
        return float(_apply(self._state, logit))

    def learn(self, logit: float, outcome_up: int) -> None:
        """Move by one outcome of an opinion with these log-odds before recalibration."""
        _learn(self._state, logit, float(outcome_up), _EVIDENCE, 1.0 / _MEMORY_OUTCOMES)
        self.learned += 1

    def state(self) -> dict[str, JsonValue]:
        """Return everything as JSON values, exact to the last bit."""
        return {"learned": self.learned, "belief": self._state.tolist()}

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Replace everything by a stored state.

        Raises:
            StrategyError: the state is not one that ``state`` wrote; nothing is changed then.
        """
        learned = state.get("learned")
        if type(learned) is not int or learned < 0:
            raise StrategyError(f"recalibration learned must be a count, was {learned!r}")
        belief = read.floats(state, "belief", _N_STATE)
        a, b, c = belief[:3]
        if not (a > 0.0 and c > 0.0 and a * c - b * b > 0.0):
            raise StrategyError("recalibration belief must be a positive precision")
        self._state, self.learned = belief, learned


@kernel
def _prior() -> FloatColumn:
    """Precision (slope, both, intercept), then precision times mean (slope, intercept)."""
    a = 1.0 / _PRIOR_SLOPE_SD**2
    return np.array([a, 0.0, 1.0 / _PRIOR_INTERCEPT_SD**2, a, 0.0])


@kernel
def _raw_means(state: FloatColumn) -> tuple[float, float]:
    a, b, c = state[0], state[1], state[2]
    determinant = a * c - b * b
    slope = (c * state[3] - b * state[4]) / determinant
    intercept = (a * state[4] - b * state[3]) / determinant
    return slope, intercept


@kernel
def _means(state: FloatColumn) -> tuple[float, float]:
    slope, intercept = _raw_means(state)
    held = min(_MAX_INTERCEPT, max(-_MAX_INTERCEPT, intercept))
    return min(1.0, max(0.0, slope)), held


@kernel
def _apply(state: FloatColumn, logit: float) -> float:
    slope, intercept = _means(state)
    return slope * logit + intercept


@kernel
def _learn(
    state: FloatColumn, logit: float, outcome: float, evidence: float, forget: float
) -> None:
    prior = _prior()
    for i in range(state.shape[0]):
        state[i] += forget * (prior[i] - state[i])
    slope, intercept = _raw_means(state)
    bounded = min(15.0, max(-15.0, slope * logit + intercept))
    p = 1.0 / (1.0 + np.exp(-bounded))
    weight = evidence * p * (1.0 - p)
    pull = weight * bounded + evidence * (outcome - p)
    state[0] += weight * logit * logit
    state[1] += weight * logit
    state[2] += weight
    state[3] += logit * pull
    state[4] += pull
