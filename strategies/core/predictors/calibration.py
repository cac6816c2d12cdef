"""From a model's raw log-odds to a probability that means what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.types.bars import FloatColumn
from engine.types.decisions import JsonValue
from strategies.core.errors import StrategyError
from strategies.core.predictors import payload as read
from strategies.core.predictors.logistic import logits_of

IDENTITY, PLATT, ISOTONIC = "identity", "platt", "isotonic"
# a trained predictor is never surer than 49 to 1: no calibration set is large enough to say so
_SUREST = 0.98


class Calibration(Protocol):
    """Monotone map of raw log-odds to calibrated log-odds."""

    def logit(self, raw: float) -> float: ...

    def payload(self) -> dict[str, JsonValue]: ...


@dataclass(frozen=True, slots=True)
class Linear:
    """Platt scaling: ``slope`` (not negative) and ``intercept`` on the log-odds.

    Source: Platt (1999). Slope 1 and intercept 0 change nothing.
    """

    slope: float = 1.0
    intercept: float = 0.0

    def logit(self, raw: float) -> float:
        return self.slope * raw + self.intercept

    def payload(self) -> dict[str, JsonValue]:
        kind = IDENTITY if self == Linear() else PLATT
        return {"kind": kind, "slope": self.slope, "intercept": self.intercept}


@dataclass(frozen=True, slots=True)
class Isotonic:
    """Log-odds interpolated between ascending ``knots``, held constant outside of them.

    Source: Zadrozny and Elkan (2002).
    """

    knots: FloatColumn
    values: FloatColumn

    def logit(self, raw: float) -> float:
        return float(np.interp(raw, self.knots, self.values))

    def payload(self) -> dict[str, JsonValue]:
        return {"kind": ISOTONIC, "knots": self.knots.tolist(), "values": self.values.tolist()}


def isotonic(knots: FloatColumn, probabilities: FloatColumn) -> Isotonic:
    """Return the map through (raw log-odds, probability), certainty held back."""
    held = np.clip(probabilities, 1.0 - _SUREST, _SUREST)
    return Isotonic(knots, logits_of(held))


def calibration_of(payload: Mapping[str, JsonValue]) -> Calibration:
    """Read and check a calibration.

    Raises:
        StrategyError: it is not monotone or not finite.
    """
    kind = read.text(payload, "kind", (IDENTITY, PLATT, ISOTONIC))
    if kind == ISOTONIC:
        knots = read.floats(payload, "knots")
        values = read.floats(payload, "values", knots.shape[0])
        if knots.shape[0] == 0 or (np.diff(knots) <= 0.0).any() or (np.diff(values) < 0.0).any():
            raise StrategyError("model calibration must have ascending knots and values")
        return Isotonic(knots, values)
    linear = Linear(read.number(payload, "slope"), read.number(payload, "intercept"))
    if linear.slope < 0.0 or (kind == IDENTITY and linear != Linear()):
        raise StrategyError(f"model calibration {kind} was slope {linear.slope}")
    return linear
