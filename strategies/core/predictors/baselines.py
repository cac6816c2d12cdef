"""The control group: what a predictor must beat to be worth asking."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.compiled import kernel
from engine.ports import SourceInput
from engine.types.bars import FloatColumn
from engine.types.decisions import JsonValue
from engine.types.opinions import REGIMES, Regime
from strategies.core.errors import StrategyError
from strategies.core.predictors import payload as read

_STATE_VERSION = 1
# A rate seen n times is shrunk to 0.5 as if by this many outcomes more.
_PRIOR_OUTCOMES = 20.0
_FALLING, _FLAT, _RISING = 0, 1, 2


class RunningRate:
    """How often the price was higher after the horizon: for all rows alike, or by a sign.

    With ``column`` left out every row has one rate (base rate); with it, one rate each where that
    feature is below, at and above zero (the sign of the last return).
    """

    __slots__ = ("_code", "_column", "_seen", "_up")

    def __init__(self, code: str, column: int | None = None) -> None:
        self._code = code
        self._column = column
        self._seen = np.zeros(3)
        self._up = np.zeros(3)

    @property
    def code(self) -> str:
        return self._code

    @property
    def reads(self) -> SourceInput:
        return SourceInput.FEATURES

    @property
    def favourable_regimes(self) -> frozenset[Regime]:
        return frozenset(REGIMES)

    def predict(self, features: FloatColumn) -> float:
        """Return the rate of rows like this one in (0, 1); 0.5 where none was seen."""
        like = self._like(features)
        if like is None:
            return 0.5
        seen = self._seen[like] + _PRIOR_OUTCOMES
        return float((self._up[like] + 0.5 * _PRIOR_OUTCOMES) / seen)

    def learn(self, features: FloatColumn, outcome_up: int) -> None:
        """Count one outcome.

        Raises:
            ValueError: the outcome is neither 0 nor 1.
        """
        if outcome_up not in (0, 1):
            raise ValueError(f"outcome_up must be 0 or 1, was {outcome_up!r}")
        like = self._like(features)
        if like is not None:
            self._seen[like] += 1.0
            self._up[like] += outcome_up

    def state(self) -> dict[str, JsonValue]:
        """Return the counts as JSON values."""
        return {
            "version": _STATE_VERSION,
            "seen": [float(value) for value in self._seen],
            "up": [float(value) for value in self._up],
        }

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Replace the counts by stored ones.

        Raises:
            StrategyError: the state is not one that ``state`` wrote; nothing is changed then.
        """
        if state.get("version") != _STATE_VERSION:
            raise StrategyError(
                f"{self._code} state version must be {_STATE_VERSION}, was {state.get('version')!r}"
            )
        seen, up = read.floats(state, "seen", 3), read.floats(state, "up", 3)
        if (up < 0.0).any() or (up > seen).any():
            raise StrategyError(f"{self._code} state must count no more ups than outcomes")
        self._seen, self._up = seen, up

    def _like(self, features: FloatColumn) -> int | None:
        if not _all_finite(features):
            return None
        if self._column is None:
            return _FLAT
        if self._column >= features.shape[0]:
            return None
        value = features.item(self._column)
        return _RISING if value > 0.0 else _FALLING if value < 0.0 else _FLAT


@kernel
def _all_finite(row: FloatColumn) -> bool:
    found = True
    for i in range(row.shape[0]):
        found = found and np.isfinite(row[i])
    return found
