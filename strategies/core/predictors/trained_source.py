"""A predictor trained elsewhere: it walks its arrays, and learns only how far to trust them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from engine.ports import SourceInput
from engine.types.bars import FloatColumn
from engine.types.decisions import JsonValue
from engine.types.opinions import REGIMES, Regime
from strategies.core.errors import StrategyError
from strategies.core.predictors.calibration import Calibration
from strategies.core.predictors.logistic import probability_of
from strategies.core.predictors.recalibration import Recalibration

_STATE_VERSION = 1


class Scorer(Protocol):
    """The arrays of one model."""

    def logit(self, row: FloatColumn) -> float:
        """Return raw log-odds; NaN where the row is not finite."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A checked model: ``digest`` names it, ``version`` is that of the features it reads."""

    digest: str
    names: tuple[str, ...]
    version: str
    scorer: Scorer
    calibration: Calibration


class TrainedSource:
    """Untrained (``model`` None) it has no opinion; trained it gives a calibrated probability.

    A row that is not finite, or of another length, is answered with 0.5 and not learned from.
    """

    __slots__ = ("_code", "_recalibration", "model")

    def __init__(self, code: str, model: LoadedModel | None = None) -> None:
        self._code = code
        self.model = model
        self._recalibration = Recalibration()

    @property
    def code(self) -> str:
        return self._code

    @property
    def reads(self) -> SourceInput:
        return SourceInput.FEATURES

    @property
    def favourable_regimes(self) -> frozenset[Regime]:
        return frozenset(REGIMES)

    @property
    def recalibration(self) -> Recalibration:
        return self._recalibration

    def predict(self, features: FloatColumn) -> float:
        """Return the probability that the price is higher after the horizon, in (0, 1)."""
        if self.model is None:
            return 0.5
        logit = self._calibrated(features)
        return 0.5 if logit is None else probability_of(self._recalibration.logit(logit))

    def learn(self, features: FloatColumn, outcome_up: int) -> None:
        """Move the trust in the model by one outcome; the model itself stays as trained.

        Raises:
            ValueError: the outcome is neither 0 nor 1.
        """
        if outcome_up not in (0, 1):
            raise ValueError(f"outcome_up must be 0 or 1, was {outcome_up!r}")
        logit = self._calibrated(features)
        if logit is not None:
            self._recalibration.learn(logit, outcome_up)

    def state(self) -> dict[str, JsonValue]:
        """Return which model speaks and how far it is trusted, as JSON values."""
        return {
            "version": _STATE_VERSION,
            "model": "" if self.model is None else self.model.digest,
            "recalibration": self._recalibration.state(),
        }

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Take up a stored trust where it was learned about this very model.

        The trust in another model says nothing about this one, which then starts anew.

        Raises:
            StrategyError: the state is not one that ``state`` wrote; nothing is changed then.
        """
        version, stored = state.get("version"), state.get("recalibration")
        if version != _STATE_VERSION:
            raise StrategyError(
                f"{self._code} state version must be {_STATE_VERSION}, was {version!r}"
            )
        if not isinstance(state.get("model"), str) or not isinstance(stored, dict):
            raise StrategyError(f"{self._code} state must name a model and its recalibration")
        trust = Recalibration()
        trust.restore(stored)
        same = state["model"] == ("" if self.model is None else self.model.digest)
        self._recalibration = trust if same else Recalibration()

    def _calibrated(self, features: FloatColumn) -> float | None:
        model = self.model
        if model is None or features.shape != (len(model.names),):
            return None
        raw = model.scorer.logit(features)
        # NaN is unequal to itself
        return model.calibration.logit(raw) if raw == raw else None
