"""Labelled rows for tests: planted signals of known strength, and noise."""

from __future__ import annotations

from functools import cache

import numpy as np

from strategies.core.trained import TrainedModel
from strategies.core.training.dataset import Dataset
from strategies.core.training.train import train

MINUTE_MS = 60_000


def planted(
    seed: int, n: int, strength: float, features: int = 12, *, horizon_bars: int = 3
) -> Dataset:
    """Rows whose first feature tells the outcome with the given log odds a unit."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(0.0, 1.0, (n, features))
    odds = 1.0 / (1.0 + np.exp(-strength * rows[:, 0]))
    up = (rng.random(n) < odds).astype(np.int64)
    return labelled(rows, up, horizon_bars=horizon_bars)


def labelled(rows: np.ndarray, up: np.ndarray, *, horizon_bars: int = 3) -> Dataset:
    n, features = rows.shape
    close_ms = np.arange(1, n + 1, dtype=np.int64) * MINUTE_MS
    return Dataset(
        matrix=rows,
        outcome_up=up,
        ts_ms=close_ms,
        label_ms=close_ms + horizon_bars * MINUTE_MS,
        return_log=np.where(up == 1, 1e-3, -1e-3) * np.linspace(1.0, 2.0, n),
        regime=np.zeros(n, dtype=np.int64),
        names=tuple(f"feature_{i}" for i in range(features)),
        version="test",
        symbols=("BTC/USDT",),
        timeframe_ms=MINUTE_MS,
        horizon_bars=horizon_bars,
    )


# small enough for a test, large enough to find what is planted
SMALL: dict[str, dict[str, float]] = {
    "gradient-boosting": {"rounds": 60, "learning_rate": 0.08, "min_leaf_outcomes": 15},
    "forest": {"rounds": 40, "min_leaf_outcomes": 10},
    "neural-network": {"rounds": 20, "learning_rate": 0.01, "hidden_units": 8},
}


@cache
def planted_model(family: str, strength: float = 1.0, seed: int = 71) -> TrainedModel:
    """A model trained once a test session on 3,000 planted rows."""
    return train(family, planted(seed, 3_000, strength), seed=5, parameters=SMALL[family])
