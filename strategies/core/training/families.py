"""What every family of models answers to while it is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.types.bars import FloatColumn, IntColumn
from engine.types.decisions import JsonValue
from strategies.core.errors import StrategyError
from strategies.core.training.dataset import Matrix

Parameters = Mapping[str, float]


class FittedScorer(Protocol):
    """Arrays that predict without the library that grew them."""

    def logit(self, row: FloatColumn) -> float: ...

    def payload(self) -> dict[str, JsonValue]: ...


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows to fit on: ``matrix`` (n_rows, n_features), ``outcome_up`` (n_rows,).

    ``overlap`` neighbouring rows share their outcome: they are worth one independent row.
    """

    matrix: Matrix
    outcome_up: IntColumn
    overlap: int = 1

    def __len__(self) -> int:
        return len(self.outcome_up)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model and how many rounds (trees, epochs) it took until it was best on unseen rows."""

    scorer: FittedScorer
    rounds: int


class Family(Protocol):
    """Fits one kind of model. The same examples, parameters and seed give the same model."""

    @property
    def defaults(self) -> Mapping[str, float]: ...

    def fit(
        self,
        examples: Examples,
        unseen: Examples | None,
        parameters: Parameters,
        rng: np.random.Generator,
    ) -> Fitted:
        """Fit; with ``unseen`` stop where its loss is lowest, without use ``rounds`` rounds."""


def checked_parameters(
    defaults: Mapping[str, float], given: Parameters, family: str
) -> dict[str, float]:
    """Return the defaults overridden by what was given.

    Raises:
        StrategyError: an unknown parameter, or a value that is not a finite number above 0.
    """
    for name, value in given.items():
        if name not in defaults:
            raise StrategyError(
                f"predictors.{family}: unknown parameter {name!r}, known are {', '.join(defaults)}"
            )
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise StrategyError(f"predictors.{family}.{name} must be a number, was {value!r}")
        if not (np.isfinite(value) and value > 0.0):
            raise StrategyError(f"predictors.{family}.{name} must be above 0, was {value!r}")
    return {name: float(given.get(name, value)) for name, value in defaults.items()}


def raw_logits(scorer: FittedScorer, matrix: Matrix) -> FloatColumn:
    """Return the raw log-odds of every row, shape (n_rows,), by the very walk used in trading."""
    return np.array([scorer.logit(row) for row in matrix], dtype=np.float64)


def leaf_rows(examples: Examples, outcomes: float) -> int:
    """Return the rows a leaf must hold: so many independent outcomes, at most a tenth of all."""
    return max(1, min(int(outcomes * examples.overlap), len(examples) // 10))


Progress = Callable[[float], None]
