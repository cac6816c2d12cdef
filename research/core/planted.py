"""Series of which the answer is known: a planted signal, and a real series with none left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.types.bars import BarColumns, FloatColumn

# One bar's standard deviation of the log return, and the memory of the part that swings back.
SIGMA = 0.002
MEMORY = 0.9
_FIRST_MS = 1_600_000_000_000
_WICK_SIGMAS = 0.3


@dataclass(frozen=True, slots=True)
class Planted:
    """Bars, and the deviation from fair value behind them (n_bars,), which nobody is shown."""

    bars: BarColumns
    deviation: FloatColumn
    strength: float

    def best_probability(self, horizon_bars: int) -> FloatColumn:
        """Return the probability that the price is higher after the horizon, all being known.

        The deviation decays by MEMORY a bar, so the expected move is known and what is added to
        it is normal: no predictor can have a lower expected log loss than this.
        """
        walk, swing = (1.0 - self.strength) * SIGMA, self.strength * SIGMA
        decay = MEMORY**horizon_bars
        expected = (decay - 1.0) * self.deviation
        variance = horizon_bars * walk**2 + swing**2 * (1.0 - decay**2) / (1.0 - MEMORY**2)
        return _normal_below(expected / np.sqrt(variance))


def planted(n_bars: int, strength: float, rng: np.random.Generator, timeframe_ms: int) -> Planted:
    """Return a fair value that walks at random plus a deviation that swings back.

    ``strength`` in [0, 1] is the swinging part's share of a bar's standard deviation: 0 is a
    random walk, of which nothing can be known.
    """
    walk = np.cumsum(rng.normal(0.0, (1.0 - strength) * SIGMA, n_bars))
    noise = rng.normal(0.0, strength * SIGMA, n_bars)
    deviation = np.zeros(n_bars)
    for row in range(1, n_bars):
        deviation[row] = MEMORY * deviation[row - 1] + noise[row]
    close = 100.0 * np.exp(walk + deviation)
    opened = np.concatenate((close[:1], close[:-1]))
    wick = np.abs(rng.normal(0.0, _WICK_SIGMAS * SIGMA, n_bars)) * close
    bars = BarColumns(
        ts_ms=_FIRST_MS // timeframe_ms * timeframe_ms
        + np.arange(n_bars, dtype=np.int64) * timeframe_ms,
        open=opened,
        high=np.maximum(opened, close) + wick,
        low=np.minimum(opened, close) - wick,
        close=close,
        volume=rng.lognormal(0.0, 0.5, n_bars),
        timeframe_ms=timeframe_ms,
    )
    return Planted(bars, deviation, strength)


def shuffled(bars: BarColumns, rng: np.random.Generator) -> BarColumns:
    """Return as many bars drawn at random from these, with replacement, end to end on one clock.

    Each drawn bar keeps its shape, its volume and its move from the bar before; the outcome of
    every row is then a sum of independent draws, so whatever still predicts it peeks. A mere
    reordering would not do: its moves add up to a fixed sum, so those already seen tell of those
    to come, and the running mean of past outcomes leans the wrong way.
    """
    n = len(bars)
    if n < 2:
        return bars
    order = rng.integers(1, n, n - 1)
    moves = np.log(bars.close[order] / bars.close[order - 1])
    close = bars.close[0] * np.exp(np.concatenate(([0.0], np.cumsum(moves))))
    source = np.concatenate(([0], order))
    factor = close / bars.close[source]
    return BarColumns(
        ts_ms=bars.ts_ms,
        open=bars.open[source] * factor,
        high=bars.high[source] * factor,
        low=bars.low[source] * factor,
        close=close,
        volume=bars.volume[source],
        timeframe_ms=bars.timeframe_ms,
    )


def _normal_below(z: FloatColumn) -> FloatColumn:
    """Return the standard normal distribution function to 1e-7.

    Source: Abramowitz and Stegun (1964), 26.2.17.
    """
    t = 1.0 / (1.0 + 0.2316419 * np.abs(z))
    series = t * (
        0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429)))
    )
    tail = np.exp(-z * z / 2.0) / np.sqrt(2.0 * np.pi) * series
    below: FloatColumn = np.where(z >= 0.0, 1.0 - tail, tail)
    return below
