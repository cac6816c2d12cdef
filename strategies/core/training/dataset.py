"""Rows to learn from: what was known at a bar's close, and what happened by the horizon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.features import FEATURES_VERSION, feature_frame
from engine.market_columns import market_columns
from engine.types.bars import BarColumns, BoolColumn, ColumnStore, FloatColumn, IntColumn
from strategies.core.errors import StrategyError

Matrix = npt.NDArray[np.float64]
UNKNOWN_REGIME = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Labelled rows in time order; every array has ``n_rows`` rows.

    ``matrix`` is (n_rows, n_features), finite. ``ts_ms`` is the close of the row's bar, when its
    features are known; ``label_ms`` the close of the bar ``horizon_bars`` later, when its outcome
    is: always after ``ts_ms``. ``outcome_up`` is 1 where that close is higher, else 0.
    ``return_log`` is the log return between the two closes. ``regime`` indexes REGIMES,
    UNKNOWN_REGIME where the market was not known. Rows of several symbols are mixed by time.

    Raises:
        StrategyError: shapes differ, a value is not finite, or rows are not in time order.
    """

    matrix: Matrix
    outcome_up: IntColumn
    ts_ms: IntColumn
    label_ms: IntColumn
    return_log: FloatColumn
    regime: IntColumn
    names: tuple[str, ...]
    version: str
    symbols: tuple[str, ...]
    timeframe_ms: int
    horizon_bars: int

    def __post_init__(self) -> None:
        n = self.matrix.shape[0]
        if self.matrix.shape != (n, len(self.names)):
            raise StrategyError(
                f"dataset has {len(self.names)} feature names, matrix was {self.matrix.shape}"
            )
        for name in ("outcome_up", "ts_ms", "label_ms", "return_log", "regime"):
            shape = getattr(self, name).shape
            if shape != (n,):
                raise StrategyError(f"dataset {name} must have shape ({n},), was {shape}")
        if not (np.isfinite(self.matrix).all() and np.isfinite(self.return_log).all()):
            raise StrategyError("dataset values must be finite")
        if not np.isin(self.outcome_up, (0, 1)).all():
            raise StrategyError("dataset outcomes must be 0 or 1")
        if (np.diff(self.ts_ms) < 0).any():
            raise StrategyError("dataset rows must be in time order")
        if (self.label_ms <= self.ts_ms).any():
            raise StrategyError("dataset labels must be known after their rows")

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    @property
    def horizon_ms(self) -> int:
        return self.horizon_bars * self.timeframe_ms

    def rows(self, chosen: IntColumn | BoolColumn | slice) -> Dataset:
        """Return the chosen rows, in the order given."""
        return Dataset(
            matrix=self.matrix[chosen],
            outcome_up=self.outcome_up[chosen],
            ts_ms=self.ts_ms[chosen],
            label_ms=self.label_ms[chosen],
            return_log=self.return_log[chosen],
            regime=self.regime[chosen],
            names=self.names,
            version=self.version,
            symbols=self.symbols,
            timeframe_ms=self.timeframe_ms,
            horizon_bars=self.horizon_bars,
        )

    def known_by(self, at_ms: int) -> Dataset:
        """Return the rows whose outcome was known at a moment: what may be learned from then."""
        return self.rows(self.label_ms <= at_ms)

    def latest(self, n_rows: int) -> Dataset:
        """Return the last rows."""
        return self.rows(slice(max(0, len(self) - n_rows), len(self)))


def dataset_of(stores: Mapping[str, ColumnStore], horizon_bars: int) -> Dataset:
    """Return the labelled rows of one or several symbols of one bar length.

    A row needs warm features and a bar exactly ``horizon_bars`` later: across a gap there is no
    outcome of this horizon (the rule by which phase 9 settles opinions).

    Raises:
        StrategyError: no symbol, a horizon below 1, or different bar lengths.
    """
    if not stores or horizon_bars < 1:
        raise StrategyError(
            f"dataset needs a symbol and a horizon of 1 or more, was {len(stores)}, {horizon_bars}"
        )
    lengths = {store.bars.timeframe_ms for store in stores.values()}
    if len(lengths) > 1:
        raise StrategyError(f"dataset needs one bar length, was {sorted(lengths)}")
    parts = [_part(store, horizon_bars) for store in stores.values()]
    order = np.argsort(np.concatenate([part["ts_ms"] for part in parts]), kind="stable")

    def column(name: str) -> npt.NDArray[np.generic]:
        return np.concatenate([part[name] for part in parts])[order]

    first = next(iter(stores.values()))
    return Dataset(
        matrix=column("matrix").astype(np.float64, copy=False),
        outcome_up=column("outcome_up").astype(np.int64, copy=False),
        ts_ms=column("ts_ms").astype(np.int64, copy=False),
        label_ms=column("label_ms").astype(np.int64, copy=False),
        return_log=column("return_log").astype(np.float64, copy=False),
        regime=column("regime").astype(np.int64, copy=False),
        names=feature_frame(first).names,
        version=FEATURES_VERSION,
        symbols=tuple(stores),
        timeframe_ms=first.bars.timeframe_ms,
        horizon_bars=horizon_bars,
    )


def labelled_rows(bars: BarColumns, horizon_bars: int) -> IntColumn:
    """Return the rows that have a bar exactly ``horizon_bars`` after them, ascending."""
    n = len(bars)
    if n <= horizon_bars:
        return np.zeros(0, dtype=np.int64)
    later = bars.ts_ms[horizon_bars:] - bars.ts_ms[: n - horizon_bars]
    return np.flatnonzero(later == horizon_bars * bars.timeframe_ms)


def _part(store: ColumnStore, horizon_bars: int) -> dict[str, npt.NDArray[np.generic]]:
    bars, frame = store.bars, feature_frame(store)
    rows = labelled_rows(bars, horizon_bars)
    rows = rows[frame.ready[rows]]
    market = market_columns(store)
    regime = np.where(market.ready, market.regime, UNKNOWN_REGIME)
    close_ms = bars.ts_ms + bars.timeframe_ms
    now, then = bars.close[rows], bars.close[rows + horizon_bars]
    return {
        "matrix": frame.matrix[rows],
        "outcome_up": (then > now).astype(np.int64),
        "ts_ms": close_ms[rows],
        "label_ms": close_ms[rows + horizon_bars],
        "return_log": np.log(then / now),
        "regime": regime[rows],
    }
