"""What asking and training a predictor costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import PCG64, Generator

from benchmarks.figures import Figure, Options, percentile
from engine.features import feature_frame
from engine.ports import LearnedSource
from engine.types.bars import ColumnStore, FloatColumn
from research.core.planted import planted
from strategies.core.predictors.load import source_of
from strategies.core.registry import learned_sources
from strategies.core.trained import TrainedModel
from strategies.core.training.dataset import Dataset, dataset_of
from strategies.core.training.train import FAMILIES, train

_WARM_UP = 500
_HORIZON_BARS = 12


def predictors(options: Options) -> Sequence[Figure]:
    """One row through each family (warm) and through all of them; training of 50k rows."""
    n_train, n_rows = (5_000, 2_000) if options.quick else (50_000, 20_000)
    rng = Generator(PCG64(1))
    store = ColumnStore(planted(n_train + 2_000, 0.5, rng, 60_000).bars)
    data = dataset_of({"BTC/USDT": store}, _HORIZON_BARS).latest(n_train)
    figures: list[Figure] = []
    models: dict[str, TrainedModel] = {}
    for family in FAMILIES:
        began = time.perf_counter()
        models[family] = train(family, data, seed=1)
        figures.append(_training(family, time.perf_counter() - began, data))
    rows = [feature_frame(store).matrix[row] for row in range(-n_rows, 0)]
    sources = learned_sources([*FAMILIES, "online-linear"], models)
    for source in sources:
        _taught(source, rows[:_WARM_UP])
        figures.append(_asking(source.code, source.predict, rows))
    figures.append(_asking("whole panel", lambda row: [s.predict(row) for s in sources], rows))
    began = time.perf_counter()
    source_of(models["forest"])
    figures.append(
        Figure(
            name="predictors: reading and checking a forest",
            value=round((time.perf_counter() - began) * 1e3, 2),
            unit="ms",
        )
    )
    return figures


def _taught(source: LearnedSource, rows: Sequence[FloatColumn]) -> None:
    for number, row in enumerate(rows):
        source.learn(row, number % 2)


def _asking(name: str, ask: Callable[[FloatColumn], object], rows: Sequence[FloatColumn]) -> Figure:
    for row in rows[:_WARM_UP]:
        ask(row)
    took_us = []
    for row in rows:
        began = time.perf_counter_ns()
        ask(row)
        took_us.append((time.perf_counter_ns() - began) / 1_000)
    panel = name == "whole panel"
    return Figure(
        name=f"predictors: one row, {name}",
        value=round(percentile(took_us, 0.5), 2),
        unit="us",
        target=50.0 if panel else 10.0,
        detail=f"p99 {percentile(took_us, 0.99):.2f} us, {len(rows):,} rows, "
        f"{np.shape(rows[0])[0]} features",
    )


def _training(family: str, took_s: float, data: Dataset) -> Figure:
    return Figure(
        name=f"predictors: training, {family}",
        value=round(took_s, 2),
        unit="s",
        detail=f"{len(data):,} rows, {len(data.names)} features, five fits, one thread",
    )
