"""Train one model the way it will be used: on the past, judged on what came after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.random import PCG64, Generator

from engine.types.bars import FloatColumn, IntColumn
from engine.types.decisions import JsonValue
from strategies.core.errors import StrategyError
from strategies.core.predictors.calibration import Calibration
from strategies.core.predictors.load import PAYLOAD_FORMAT
from strategies.core.trained import Lineage, TrainedModel
from strategies.core.training.boosting import Boosting
from strategies.core.training.calibrate import FITTERS, calibrated, choose_calibration
from strategies.core.training.dataset import Dataset
from strategies.core.training.families import (
    Examples,
    Family,
    Fitted,
    Parameters,
    Progress,
    checked_parameters,
    raw_logits,
)
from strategies.core.training.forest import Forest
from strategies.core.training.metrics import measure
from strategies.core.training.network import NeuralNetwork
from strategies.core.training.walk_forward import Fold, last_folds, purged_tail

FAMILIES: Mapping[str, Family] = {
    "gradient-boosting": Boosting(),
    "forest": Forest(),
    "neural-network": NeuralNetwork(),
}
TRAINING_DEFAULTS: Mapping[str, Mapping[str, float]] = {
    name: family.defaults for name, family in FAMILIES.items()
}
# Fewer labelled rows than this say nothing that would outlive the next week.
MIN_TRAIN_ROWS = 500
_FOLDS = 4
_TEST_SHARE = 0.4
_STOPPING_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class _Unseen:
    """Raw log-odds of rows that their model had not seen, fold by fold, in time order."""

    folds: tuple[Fold, ...]
    raw: tuple[FloatColumn, ...]
    rounds: tuple[int, ...]


def train(
    family: str,
    dataset: Dataset,
    *,
    seed: int,
    parameters: Parameters | None = None,
    progress: Progress | None = None,
    code_version: str = "",
    parent: str = "",
) -> TrainedModel:
    """Return a model fitted on every row, calibrated and measured on rows it had not seen.

    Four folds over the last 40 % of the rows, each trained on what was known before it (purged by
    time, so the purge is the horizon), give raw log-odds out of sample. ``choose_calibration``
    takes Platt, isotonic or none by the last fold; the ``metrics`` are of every fold after the
    first, calibrated by those before it. The model kept is fitted anew on all rows for the median
    number of rounds that was best on unseen ones.

    The same dataset, seed and parameters give the same digest on one machine. ``progress`` hears
    the share done in [0, 1]; what it raises ends the training.

    Raises:
        StrategyError: an unknown family or parameter, too few rows, or only one outcome.
    """
    chosen = FAMILIES.get(family)
    if chosen is None:
        raise StrategyError(f"unknown model family {family!r}, known are {', '.join(FAMILIES)}")
    settings = checked_parameters(chosen.defaults, {} if parameters is None else parameters, family)
    if len(dataset) < MIN_TRAIN_ROWS:
        raise StrategyError(f"{family} needs {MIN_TRAIN_ROWS} labelled rows, was {len(dataset)}")
    if len(np.unique(dataset.outcome_up)) < 2:
        raise StrategyError(f"{family} needs both outcomes among {len(dataset)} rows, was one")
    rng = Generator(PCG64(seed))
    tell = progress if progress is not None else _silent
    tell(0.0)
    unseen = _walk(chosen, dataset, settings, rng, tell)
    calibration, kind, p, rows = _calibrate(dataset, unseen)
    final = chosen.fit(
        _examples(dataset), None, {**settings, "rounds": float(median(unseen.rounds))}, rng
    )
    metrics: dict[str, JsonValue] = {
        "calibration": kind,
        "rounds": final.rounds,
        **measure(
            p,
            dataset.outcome_up[rows],
            dataset.return_log[rows],
            block_rows=2 * _overlap(dataset),
            rng=rng,
        ).as_json(),
    }
    tell(1.0)
    return TrainedModel(
        lineage=_lineage(family, dataset, seed, settings, code_version, parent),
        metrics=metrics,
        payload={
            "format": PAYLOAD_FORMAT,
            "features": list(dataset.names),
            "scorer": final.scorer.payload(),
            "calibration": calibration.payload(),
        },
    )


def _walk(
    family: Family, dataset: Dataset, settings: Parameters, rng: Generator, tell: Progress
) -> _Unseen:
    folds = last_folds(
        dataset, n_folds=_FOLDS, test_share=_TEST_SHARE, embargo_ms=dataset.timeframe_ms
    )
    raw, rounds = [], []
    for number, fold in enumerate(folds, start=1):
        fitted = _stopped(family, dataset.rows(fold.train), settings, rng)
        raw.append(raw_logits(fitted.scorer, dataset.matrix[fold.test]))
        rounds.append(fitted.rounds)
        tell(number / (len(folds) + 1))
    return _Unseen(tuple(folds), tuple(raw), tuple(rounds))


def _stopped(family: Family, dataset: Dataset, settings: Parameters, rng: Generator) -> Fitted:
    """Fit on all but the purged tail, which says when to stop."""
    tail = purged_tail(dataset, _STOPPING_SHARE)
    return family.fit(
        _examples(dataset.rows(tail.train)), _examples(dataset.rows(tail.test)), settings, rng
    )


def _calibrate(
    dataset: Dataset, unseen: _Unseen
) -> tuple[Calibration, str, FloatColumn, IntColumn]:
    """Return the calibration, its kind, and calibrated probabilities of rows unseen even by it."""
    up = [dataset.outcome_up[fold.test] for fold in unseen.folds]
    earlier_raw, earlier_up = np.concatenate(unseen.raw[:-1]), np.concatenate(up[:-1])
    overlap = _overlap(dataset)
    kind = choose_calibration(earlier_raw, earlier_up, unseen.raw[-1], up[-1], overlap)
    probabilities, rows = [], []
    for index in range(1, len(unseen.folds)):
        before_raw, before_up = np.concatenate(unseen.raw[:index]), np.concatenate(up[:index])
        calibration = FITTERS[kind](before_raw, before_up, overlap)
        probabilities.append(calibrated(calibration, unseen.raw[index]))
        rows.append(unseen.folds[index].test)
    calibration = FITTERS[kind](np.concatenate(unseen.raw), np.concatenate(up), overlap)
    return calibration, kind, np.concatenate(probabilities), np.concatenate(rows)


def _examples(dataset: Dataset) -> Examples:
    return Examples(dataset.matrix, dataset.outcome_up, _overlap(dataset))


def _overlap(dataset: Dataset) -> int:
    """Return how many neighbouring rows share an outcome; symbols on one clock move together."""
    return dataset.horizon_bars * len(dataset.symbols)


def _lineage(
    family: str,
    dataset: Dataset,
    seed: int,
    settings: Mapping[str, float],
    code_version: str,
    parent: str,
) -> Lineage:
    return Lineage(
        family=family,
        symbols=dataset.symbols,
        timeframe_ms=dataset.timeframe_ms,
        horizon_bars=dataset.horizon_bars,
        features_version=dataset.version,
        code_version=code_version,
        trained_from_ms=int(dataset.ts_ms[0]) - dataset.timeframe_ms,
        trained_to_ms=int(dataset.label_ms.max()),
        n_rows=len(dataset),
        seed=seed,
        parameters=dict(settings),
        parent=parent,
    )


def _silent(share: float) -> None:
    """Hear nothing."""
