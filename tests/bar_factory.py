"""Bars for tests: random walks, labelled regimes, hand-written candles and real files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from engine.types.bars import BarColumns
from research.core.regimes import RegimeProcess, draw

MINUTE_MS = 60_000
# Enough a minute for an order of a tenth of a test's account to be a small share of it (CTL-2).
_DEEP = 1_000.0


def from_close(
    close: npt.NDArray[np.float64],
    *,
    wick: npt.NDArray[np.float64] | float = 0.0,
    volume: npt.NDArray[np.float64] | float = _DEEP,
    timeframe_ms: int = MINUTE_MS,
) -> BarColumns:
    """Bars that open at the previous close and reach ``wick`` beyond open and close."""
    n = len(close)
    opened = np.concatenate((close[:1], close[:-1]))
    return BarColumns(
        ts_ms=np.arange(n, dtype=np.int64) * timeframe_ms,
        open=opened,
        high=np.maximum(opened, close) + wick,
        low=np.minimum(opened, close) - wick,
        close=close,
        volume=np.broadcast_to(np.asarray(volume, dtype=float), (n,)).copy(),
        timeframe_ms=timeframe_ms,
    )


def candles(rows: Sequence[tuple[float, float, float, float]], volume: float = 1.0) -> BarColumns:
    """Bars from (open, high, low, close) rows."""
    table = np.array(rows, dtype=float)
    return BarColumns(
        ts_ms=np.arange(len(table), dtype=np.int64) * MINUTE_MS,
        open=table[:, 0].copy(),
        high=table[:, 1].copy(),
        low=table[:, 2].copy(),
        close=table[:, 3].copy(),
        volume=np.full(len(table), volume),
        timeframe_ms=MINUTE_MS,
    )


def random_walk(
    seed: int, n: int, *, sigma: float = 0.001, timeframe_ms: int = MINUTE_MS
) -> BarColumns:
    """A walk with fat tails, bursts of volatility and lognormal volume."""
    rng = np.random.default_rng(seed)
    burst = np.exp(np.repeat(rng.normal(0.0, 0.5, n // 100 + 1), 100)[:n])
    returns = sigma * burst * rng.standard_t(4, n) / np.sqrt(2.0)
    close = 100.0 * np.exp(np.cumsum(returns))
    wick = np.abs(rng.normal(0.0, 0.4, n)) * sigma * burst * close
    return from_close(
        close,
        wick=wick,
        volume=_DEEP * rng.lognormal(0.0, 0.7, n),
        timeframe_ms=timeframe_ms,
    )


def labelled_regimes(
    seed: int, *, cycles: int = 8, drift_sigmas: float = 0.6, sigma: float = 0.001
) -> tuple[BarColumns, npt.NDArray[np.int64]]:
    """Bars of the documented process and the regime of each; see ``research.core.regimes``."""
    process = RegimeProcess(rounds=cycles, drift_deviations=drift_sigmas, usual_deviation=sigma)
    bars, regimes = draw(process, np.random.default_rng(seed))
    return replace(bars, volume=_DEEP * bars.volume), regimes


def cut(bars: BarColumns, first: int, last: int) -> BarColumns:
    """Rows first..last-1."""
    columns = {
        field.name: getattr(bars, field.name)[first:last]
        for field in fields(BarColumns)
        if field.name != "timeframe_ms"
    }
    return BarColumns(**columns, timeframe_ms=bars.timeframe_ms)


def flat(n: int, *, price: float = 100.0, volume: float = 0.0) -> BarColumns:
    """A market that stands still."""
    return from_close(np.full(n, price), volume=volume)


def real_bars(name: str, timeframe_ms: int, rows: int) -> BarColumns:
    """The first ``rows`` bars of a real file; skips the test where the data is not there."""
    given = os.environ.get("TRADEPLATFORM_MARKET_DATA")
    folder = Path(given) if given else Path(__file__).resolve().parents[1] / "../shared/market"
    path = folder / "ohlcv" / name
    if not path.exists():
        pytest.skip(f"real market data not found, looked for {path}")
    import polars

    table = polars.read_parquet(path).head(rows)
    columns = [table[key].to_numpy().copy() for key in _COLUMNS]
    return BarColumns(*columns, timeframe_ms=timeframe_ms)


_COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")
