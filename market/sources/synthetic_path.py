"""The seeded path of a synthetic market: regimes, trends, bursts, gaps and volume.

The path is made in blocks of fixed size, each from its own generator, so the bars do not depend
on how much of the path somebody asked for at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from engine.types.bars import BarColumns, FloatColumn, Instrument, IntColumn
from engine.types.opinions import REGIMES, Regime
from market.sources.grid import grid_of
from market.sources.instruments import instrument_for

BLOCK_BARS = 1024
MINUTE_MS = 60_000
_FIRST_PRICE = {"BTC/USDT": 60_000.0, "ETH/USDT": 3_000.0, "SOL/USDT": 150.0}
_DEFAULT_PRICE = 100.0
_MEAN_SEGMENT_BARS = 160
_MIN_SEGMENT_BARS = 60
_BURST_PROBABILITY = 0.0015
_BURST_SIZE = 3.0
_BURST_DECAY = 0.85
_GAP_PROBABILITY = 0.003
_TAIL_FREEDOM = 5
# Log-return standard deviation of one minute, and drift in units of it.
_SIGMA = {
    Regime.TRENDING: 5.0e-4,
    Regime.RANGING: 4.0e-4,
    Regime.VOLATILE: 1.6e-3,
    Regime.QUIET: 1.2e-4,
}
_TREND_DRIFT = 0.35
_RANGE_PULL = 0.06
_LONG_PULL = 2.0e-5
_VOLUME = {
    Regime.TRENDING: 1.3,
    Regime.RANGING: 0.9,
    Regime.VOLATILE: 2.2,
    Regime.QUIET: 0.5,
}
_MINUTE_TURNOVER_QUOTE = 900_000.0


@dataclass(slots=True)
class _Block:
    """One block before rounding: log prices, (n,) each."""

    open: FloatColumn
    close: FloatColumn
    sigma: FloatColumn
    regime: IntColumn


class SyntheticPath:
    """Bars of one symbol from ``start_ms`` on, as many as asked for, always the same."""

    def __init__(
        self,
        seed: int,
        symbol: str,
        start_ms: int,
        timeframe_ms: int,
        instrument: Instrument | None = None,
    ) -> None:
        self.start_ms = start_ms
        self.timeframe_ms = timeframe_ms
        self.instrument = instrument or instrument_for(symbol)
        self._key = int.from_bytes(blake2b(symbol.encode(), digest_size=8).digest(), "big")
        self._seed = seed
        self._first_log = math.log(_FIRST_PRICE.get(symbol, _DEFAULT_PRICE))
        self._last_log = self._first_log
        self._blocks = 0
        self._prices: npt.NDArray[np.float64] = np.empty((5, 0))
        self._regimes: IntColumn = np.empty(0, dtype=np.int64)

    def columns(self, first: int, last: int) -> BarColumns:
        """Return bars ``first`` to ``last`` (excluded), oldest first."""
        self._grow(last)
        opens, highs, lows, closes, volumes = self._prices[:, first:last]
        ts_ms = self.start_ms + np.arange(first, last, dtype=np.int64) * self.timeframe_ms
        return BarColumns(ts_ms, opens, highs, lows, closes, volumes, self.timeframe_ms)

    def regimes(self, first: int, last: int) -> IntColumn:
        """Return the true regime of each bar as an index into REGIMES."""
        self._grow(last)
        return self._regimes[first:last]

    def _grow(self, n_bars: int) -> None:
        if n_bars <= self._regimes.shape[0]:
            return
        # Grow by a quarter so that stepping bar by bar stays linear.
        wanted = max(n_bars, self._regimes.shape[0] * 5 // 4)
        prices, regimes = [self._prices], [self._regimes]
        while self._blocks * BLOCK_BARS < wanted:
            rng = np.random.Generator(np.random.PCG64([self._seed, self._key, self._blocks]))
            block = self._walk(rng)
            prices.append(self._round(rng, block))
            regimes.append(block.regime)
            self._blocks += 1
        self._prices = np.concatenate(prices, axis=1)
        self._regimes = np.concatenate(regimes)

    def _walk(self, rng: np.random.Generator) -> _Block:
        scale = math.sqrt(self.timeframe_ms / MINUTE_MS)
        regime, direction, starts = _segments(rng)
        sigma = np.array([_SIGMA[r] for r in REGIMES])[regime] * scale
        shocks = rng.standard_t(_TAIL_FREEDOM, BLOCK_BARS) * math.sqrt(1 - 2 / _TAIL_FREEDOM)
        bursts = (rng.random(BLOCK_BARS) < _BURST_PROBABILITY) * _BURST_SIZE
        gaps = np.where(rng.random(BLOCK_BARS) < _GAP_PROBABILITY, rng.normal(size=BLOCK_BARS), 0)
        opens, closes = np.empty(BLOCK_BARS), np.empty(BLOCK_BARS)
        ranging = REGIMES.index(Regime.RANGING)
        log_price, burst, anchor = self._last_log, 0.0, self._last_log
        for t in range(BLOCK_BARS):
            if starts[t]:
                anchor = log_price
            burst = burst * _BURST_DECAY + bursts[t]
            sigma[t] *= 1.0 + burst
            log_price += gaps[t] * 2.0 * sigma[t]
            opens[t] = log_price
            pull = _LONG_PULL * (self._first_log - log_price)
            if regime[t] == ranging:
                pull += _RANGE_PULL * (anchor - log_price)
            log_price += pull + sigma[t] * (shocks[t] + direction[t] * _TREND_DRIFT)
            closes[t] = log_price
        self._last_log = log_price
        return _Block(opens, closes, sigma, regime)

    def _round(self, rng: np.random.Generator, block: _Block) -> npt.NDArray[np.float64]:
        """Return open, high, low, close, volume on tick and lot, shape (5, n)."""
        tick, lot = grid_of(self.instrument.tick_size), grid_of(self.instrument.lot_size)
        wick_up = np.abs(rng.normal(size=BLOCK_BARS)) * block.sigma * 0.6
        wick_down = np.abs(rng.normal(size=BLOCK_BARS)) * block.sigma * 0.6
        opens, closes = tick.column(np.exp(block.open)), tick.column(np.exp(block.close))
        highs = tick.column(np.exp(np.maximum(block.open, block.close) + wick_up))
        lows = tick.column(np.exp(np.minimum(block.open, block.close) - wick_down))
        ticks = np.maximum(1, np.stack([opens, highs, lows, closes]))
        move = np.abs(block.close - block.open) / block.sigma
        activity = np.array([_VOLUME[r] for r in REGIMES])[block.regime] * (0.6 + 0.5 * move)
        turnover = _MINUTE_TURNOVER_QUOTE * self.timeframe_ms / MINUTE_MS
        noise = np.exp(rng.normal(scale=0.35, size=BLOCK_BARS))
        volumes = np.maximum(1, lot.column(turnover * activity * noise / np.exp(block.close)))
        return np.concatenate([tick.values(ticks), lot.values(volumes)[None, :]])


def _segments(rng: np.random.Generator) -> tuple[IntColumn, IntColumn, npt.NDArray[np.bool_]]:
    """Return regime index, trend direction (+1, -1, 0 = none) and segment starts, (n,) each."""
    regime = np.empty(BLOCK_BARS, dtype=np.int64)
    direction = np.zeros(BLOCK_BARS, dtype=np.int64)
    starts = np.zeros(BLOCK_BARS, dtype=np.bool_)
    at, trending = 0, REGIMES.index(Regime.TRENDING)
    while at < BLOCK_BARS:
        end = at + _MIN_SEGMENT_BARS + int(rng.geometric(1 / _MEAN_SEGMENT_BARS))
        drawn = int(rng.integers(len(REGIMES)))
        starts[at] = True
        regime[at:end] = drawn
        if drawn == trending:
            direction[at:end] = 1 if rng.random() < 0.5 else -1
        at = end
    return regime, direction, starts


def synthetic_bars(
    seed: int, symbol: str, start_ms: int, timeframe_ms: int, n_bars: int
) -> BarColumns:
    """Return the first ``n_bars`` bars of the seeded market of ``symbol``, oldest first."""
    return SyntheticPath(seed, symbol, start_ms, timeframe_ms).columns(0, n_bars)
