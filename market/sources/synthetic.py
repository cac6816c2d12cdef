"""Order book, taker flow and trades of one bar: the one generator of practice and replay.

Each is a pure function of (seed, symbol, bar). Nothing here sees the next bar; what the bar itself
does not determine is noise of the seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from struct import unpack

from engine.types.bars import Bar, Book, Instrument, TradeFlow
from market.sources.grid import Grid, grid_of
from market.sources.synthetic_path import SyntheticPath, synthetic_bars

__all__ = [
    "SyntheticPath",
    "SyntheticTrade",
    "synthetic_bars",
    "synthetic_book",
    "synthetic_flow",
    "synthetic_trades",
]

LEVELS = 12
_SPREAD_FRACTION = 1.0e-4
_SPREAD_OF_RANGE = 0.04
_STEP_FRACTION = 5.0e-5
_STEP_OF_RANGE = 0.02
_DEPTH_OF_VOLUME = 0.03
_DEPTH_FLOOR_QUOTE = 500.0
_THIN_PER_RANGE = 150.0
_DEPTH_GROWTH = 0.25
_SKEW = 1.2
_MAX_TRADES = 24


@dataclass(frozen=True, slots=True)
class SyntheticTrade:
    """One public trade; ``taker_bought`` tells the aggressor."""

    ts_ms: int
    price: float
    quantity_base: Decimal
    taker_bought: bool


def _noise(seed: int, symbol: str, ts_ms: int, what: str) -> tuple[float, ...]:
    """Return 32 numbers in [0, 1). A hash: the same everywhere and cheaper than a generator."""
    digest = blake2b(f"{seed}|{symbol}|{ts_ms}|{what}".encode(), digest_size=64).digest()
    return tuple(value / 65536 for value in unpack("<32H", digest))


def synthetic_book(seed: int, instrument: Instrument, bar: Bar, at_ms: int | None = None) -> Book:
    """Return the book at the bar's close: 12 levels a side, wider and thinner after a wide bar.

    ``at_ms`` stamps the book (default: the bar's open time). Near zero the bids may be fewer.
    """
    noise = _noise(seed, instrument.symbol, bar.ts_ms, "book")
    tick, lot = grid_of(instrument.tick_size), grid_of(instrument.lot_size)
    mid = tick.steps(bar.close)
    range_fraction = (bar.high - bar.low) / bar.close
    spread = max(1, round(mid * (_SPREAD_FRACTION + _SPREAD_OF_RANGE * range_fraction)))
    step = max(1, round(mid * (_STEP_FRACTION + _STEP_OF_RANGE * range_fraction)))
    base = max(bar.volume * _DEPTH_OF_VOLUME, _DEPTH_FLOOR_QUOTE / bar.close)
    unit = base / (1.0 + range_fraction * _THIN_PER_RANGE) * lot.denominator / lot.numerator
    skew = math.exp(_SKEW * (noise[30] - 0.5))
    best_bid = max(1, mid - spread // 2)
    bids = _side(best_bid, -step, unit * skew, noise[:LEVELS], tick, lot)
    asks = _side(best_bid + spread, step, unit / skew, noise[LEVELS : 2 * LEVELS], tick, lot)
    return Book(bar.ts_ms if at_ms is None else at_ms, bids, asks)


def _side(
    best: int, step: int, unit: float, noise: tuple[float, ...], tick: Grid, lot: Grid
) -> tuple[tuple[float, float], ...]:
    levels = []
    for i, draw in enumerate(noise):
        at = best + i * step
        if at < 1:
            break
        lots = max(1, int(unit * (1.0 + _DEPTH_GROWTH * i) * (0.5 + draw)))
        levels.append((tick.value(at), lot.value(lots)))
    return tuple(levels)


def synthetic_flow(seed: int, instrument: Instrument, bar: Bar) -> TradeFlow:
    """Return the taker flow of the bar; it leans with the bar's own body. No volume, no trades."""
    volume = Decimal(repr(bar.volume))
    bought = _bought(seed, instrument, bar, volume)
    return TradeFlow(float(bought), float(volume - bought), _trade_count(instrument, bar, volume))


def _bought(seed: int, instrument: Instrument, bar: Bar, volume: Decimal) -> Decimal:
    noise = _noise(seed, instrument.symbol, bar.ts_ms, "flow")
    span = bar.high - bar.low
    lean = (bar.close - bar.open) / span if span > 0 else 0.0
    share = min(0.98, max(0.02, 0.5 + 0.3 * lean + 0.3 * (noise[0] - 0.5)))
    lots = int(Decimal(repr(share)) * volume / instrument.lot_size)
    return lots * instrument.lot_size


def _trade_count(instrument: Instrument, bar: Bar, volume: Decimal) -> int:
    """Return between 6 and 24 trades, fewer only where the volume has fewer lots."""
    if volume <= 0:
        return 0
    lots = max(1, int(volume / instrument.lot_size))
    wanted = min(_MAX_TRADES, 6 + int(math.log1p(bar.volume * bar.close / 10_000.0) * 3))
    return min(lots, wanted)


def synthetic_trades(
    seed: int, instrument: Instrument, bar: Bar, timeframe_ms: int
) -> tuple[SyntheticTrade, ...]:
    """Return the bar's trades in time order.

    They start at the open, touch low and high, end at the close and sum to the bar's volume; what
    takers bought sums to ``synthetic_flow`` (all exactly, in Decimal). With fewer than four lots
    of volume, the first touches are left out; no volume means no trades.
    """
    volume = Decimal(repr(bar.volume))
    count = _trade_count(instrument, bar, volume)
    if count == 0:
        return ()
    noise = _noise(seed, instrument.symbol, bar.ts_ms, "trades")
    bought = _bought(seed, instrument, bar, volume)
    n_buys = _number_of_buys(bought, volume, count)
    if n_buys == 0 and bought > 0:  # one trade cannot be on both sides: the larger side has it
        n_buys = count if bought * 2 >= volume else 0
    sides = _shuffled_sides(n_buys, count, noise)
    sizes = {
        True: iter(_split(bought if n_buys < count else volume, n_buys, instrument, noise)),
        False: iter(
            _split(volume - bought if n_buys else volume, count - n_buys, instrument, noise)
        ),
    }
    prices = _touching_prices(bar, count, noise, grid_of(instrument.tick_size))
    gap_ms = timeframe_ms // (count + 1)
    return tuple(
        SyntheticTrade(bar.ts_ms + gap_ms * (i + 1), prices[i], next(sizes[side]), side)
        for i, side in enumerate(sides)
    )


def _number_of_buys(bought: Decimal, volume: Decimal, count: int) -> int:
    """Return how many of the trades takers bought: at least one a side that has volume."""
    if count < 2:
        return 0
    n_buys = round(float(bought / volume) * count)
    low = 1 if bought > 0 else 0
    high = count - 1 if bought < volume else count
    return max(low, min(high, n_buys))


def _shuffled_sides(n_buys: int, count: int, noise: tuple[float, ...]) -> list[bool]:
    order = sorted(range(count), key=lambda i: noise[i])
    bought = set(order[:n_buys])
    return [i in bought for i in range(count)]


def _split(
    total: Decimal, parts: int, instrument: Instrument, noise: tuple[float, ...]
) -> list[Decimal]:
    """Return ``parts`` amounts above 0, on the lot grid but for the last, that sum to ``total``."""
    if parts == 0:
        return []
    weights = [0.5 + noise[i] for i in range(parts)]
    scale = Decimal(repr(1.0 / sum(weights)))
    amounts = []
    left = total
    for i in range(parts - 1):
        keep = instrument.lot_size * (parts - 1 - i)
        share = instrument.quantity(total * scale * Decimal(repr(weights[i])))
        amount = max(instrument.lot_size, min(share, left - keep))
        amounts.append(amount)
        left -= amount
    return [*amounts, left]


def _touching_prices(bar: Bar, count: int, noise: tuple[float, ...], tick: Grid) -> list[float]:
    extremes = [bar.low, bar.high] if bar.close >= bar.open else [bar.high, bar.low]
    if count < 4:
        return [bar.open, *extremes, bar.close][-count:]
    low, high = tick.steps(bar.low), tick.steps(bar.high)
    prices = [tick.value(low + int((high - low) * noise[31 - i])) for i in range(count)]
    prices[0], prices[-1] = bar.open, bar.close
    prices[count // 3], prices[2 * count // 3] = extremes
    return prices
