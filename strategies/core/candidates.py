"""A candidate is trained on the past and held against the champion on what came after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.ports import LearnedSource
from engine.types.bars import FloatColumn
from strategies.core.evolution import Pairs, overlap_of
from strategies.core.predictors.load import source_of
from strategies.core.trained import TrainedModel
from strategies.core.training.dataset import Dataset
from strategies.core.training.families import Parameters, Progress
from strategies.core.training.train import train

# Neighbouring rows share most of their outcome: every quarter horizon loses little and costs less.
ROWS_A_HORIZON = 4
# The newest quarter of the moments is kept out of every training and decides about the seat.
HOLDOUT_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Trained:
    """A model and the predictor it makes."""

    model: TrainedModel
    source: LearnedSource


def thinned(dataset: Dataset) -> Dataset:
    """Return the rows of every few bars, by the clock: another start of history keeps the same."""
    stride = max(1, dataset.horizon_bars // ROWS_A_HORIZON)
    return dataset.rows((dataset.ts_ms // dataset.timeframe_ms) % stride == 0)


def row_overlap(dataset: Dataset) -> int:
    """Return how many neighbouring rows of a thinned dataset share part of their horizon."""
    return overlap_of(dataset.ts_ms, dataset.horizon_ms)


def cutoff_ms(dataset: Dataset) -> int:
    """Return the moment up to which outcomes may be learned; later rows are the holdout."""
    moments = np.unique(dataset.ts_ms)
    return int(moments[int(len(moments) * (1.0 - HOLDOUT_SHARE))]) if len(moments) else 0


def train_candidate(
    family: str,
    dataset: Dataset,
    *,
    seed: int,
    parameters: Parameters | None = None,
    progress: Progress | None = None,
    code_version: str = "",
    parent: str = "",
) -> Trained:
    """Train on rows whose outcome was known before the holdout begins: no label reaches into it.

    What is judged is what is seated: the model is not fitted anew on the holdout afterwards.

    Raises:
        StrategyError: an unknown family, too few rows, or only one outcome.
    """
    model = train(
        family,
        dataset.known_by(cutoff_ms(dataset)),
        seed=seed,
        parameters=parameters,
        progress=progress,
        code_version=code_version,
        parent=parent,
    )
    return Trained(model, source_of(model))


def held_out(dataset: Dataset, candidate: Trained, champion: Trained | None) -> Pairs:
    """Return both models' probabilities on rows that neither was trained on.

    ``champion`` None is the untrained source: 0.5 throughout.
    """
    seen_ms = candidate.model.lineage.trained_to_ms
    if champion is not None:
        seen_ms = max(seen_ms, champion.model.lineage.trained_to_ms)
    rows = dataset.rows(dataset.ts_ms >= max(seen_ms, cutoff_ms(dataset)))
    old = np.full(len(rows), 0.5) if champion is None else _probabilities(champion, rows)
    return Pairs(rows.ts_ms, old, _probabilities(candidate, rows), rows.outcome_up)


def base_rate(dataset: Dataset) -> float:
    """Return the share of ups among the rows a candidate learns from, within [0.001, 0.999]; 0.5
    of none."""
    learned = dataset.known_by(cutoff_ms(dataset)).outcome_up
    return float(np.clip(learned.mean(), 1e-3, 1.0 - 1e-3)) if len(learned) else 0.5


def _probabilities(trained: Trained, rows: Dataset) -> FloatColumn:
    predict = trained.source.predict
    return np.array([predict(row) for row in rows.matrix], dtype=np.float64)
