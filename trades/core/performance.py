"""How an account did: growth without deposits, drawdowns, months, distributions, figures.

Pure. Fractions are fractions; a figure that its data does not define, or that rests on too little
of it, has no value and says why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from engine.equity_performance import YEAR_MS, EquityStats
from engine.performance import TradeStatistics, TradeStats
from engine.types.ledger import Trade

Column = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]

DAY_MS = 86_400_000
# Fewer closed trades than these say nothing of a win rate, fewer daily returns nothing of a Sharpe
# ratio; a yearly rate of a shorter time would be a promise.
LEAST_TRADES = 30
LEAST_DAYS = 30
WORST_SHOWN = 5
BINS_ABOUT = 24


class GrowthUndefined(ValueError):
    """No return exists from an equity that was not above 0."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """Money that came in (> 0) or went out while equity was ``equity_before``, in quote."""

    ts_ms: int
    equity_before: float
    value: float


@dataclass(frozen=True, slots=True)
class Drawdown:
    """A fall from a peak. ``recovered_ms`` is None while it lasts; ``days`` then run to the last
    point. ``depth_fraction`` is in (0, 1]."""

    started_ms: int
    trough_ms: int
    recovered_ms: int | None
    depth_fraction: float
    days: float


@dataclass(frozen=True, slots=True)
class MonthReturn:
    """The return of a UTC month as far as it was traded."""

    year: int
    month: int
    return_fraction: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """``counts[i]`` values are in [edges[i], edges[i + 1]); edges are whole multiples of one width,
    so that 0 is one of them and wins never share a bar with losses. Both empty without values."""

    edges: list[float]
    counts: list[int]


@dataclass(frozen=True, slots=True)
class Exposure:
    """Weighted by time: ``mean_fraction`` of equity, ``in_market_fraction`` of the time with any.
    None where no time passed."""

    mean_fraction: float | None
    in_market_fraction: float | None
    mean_equity: float | None


@dataclass(frozen=True, slots=True)
class Figure:
    """One key figure; ``value`` None says in ``why_not`` what is missing. ``unit`` is ``fraction``,
    ``ratio``, ``R``, ``times``, ``trades``, ``days`` or a currency."""

    code: str
    title: str
    value: float | None
    unit: str
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """The closed trades that share a key; figures that need more trades than there are are None."""

    key: str
    statistics: TradeStatistics


# -- growth ----------------------------------------------------------------------------------------


def growth_index(
    ts_ms: Times, equity: Column, contributions: Sequence[Contribution], start_equity: float
) -> Column:
    """Return what one unit of money became at each point, (n_points,), 1 at the start.

    The growth between two contributions is multiplied, so that money that comes or goes changes
    nothing (D-59); one that is as old as a point was in that point already.

    Raises:
        GrowthUndefined: equity was not above 0 at the start or around a contribution.
    """
    out = np.empty(equity.shape[0])
    product, base, row = 1.0, start_equity, 0
    for given in [*contributions, None]:
        if base <= 0:
            raise GrowthUndefined(f"no return exists from an equity of {base:g}")
        last = row if given is None else int(np.searchsorted(ts_ms, given.ts_ms, side="left"))
        last = equity.shape[0] if given is None else max(last, row)
        out[row:last] = product * equity[row:last] / base
        if given is not None:
            if given.equity_before <= 0:
                raise GrowthUndefined(f"no return exists from an equity of {given.equity_before:g}")
            product *= given.equity_before / base
            base = given.equity_before + given.value
        row = last
    return out


def peaks(index: Column) -> Column:
    """Return the highest index up to each point, the start's 1 included."""
    return np.maximum(np.maximum.accumulate(index), 1.0)


def underwater(index: Column) -> Column:
    """Return the fall from the peak at each point, in [0, 1]."""
    return np.minimum(1.0 - index / peaks(index), 1.0)


def drawdowns(ts_ms: Times, index: Column, most: int = WORST_SHOWN) -> list[Drawdown]:
    """Return the ``most`` deepest falls, deepest first."""
    depth = underwater(index)
    edges = np.diff(np.concatenate(([0], (depth > 0.0).astype(np.int8), [0])))
    found = [
        _drawdown(ts_ms, depth, int(first), int(end))
        for first, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)
    ]
    return sorted(found, key=lambda fall: (-fall.depth_fraction, fall.started_ms))[:most]


def _drawdown(ts_ms: Times, depth: Column, first: int, end: int) -> Drawdown:
    started = int(ts_ms[max(first - 1, 0)])
    trough = first + int(np.argmax(depth[first:end]))
    recovered = int(ts_ms[end]) if end < depth.shape[0] else None
    until = int(ts_ms[-1]) if recovered is None else recovered
    days = (until - started) / DAY_MS
    return Drawdown(started, int(ts_ms[trough]), recovered, float(depth[trough]), days)


def month_returns(ts_ms: Times, index: Column) -> list[MonthReturn]:
    """Return the return of every UTC month that has a point, oldest first; a month without one
    belongs to the next that has."""
    months = ts_ms.astype("datetime64[ms]").astype("datetime64[M]")
    found: list[MonthReturn] = []
    before = 1.0
    for row in _last_rows(months):
        level = float(index[row])
        at = datetime.fromtimestamp(int(ts_ms[row]) / 1000, tz=UTC)
        found.append(MonthReturn(at.year, at.month, level / before - 1.0 if before > 0 else 0.0))
        before = level
    return found


def _last_rows(periods: npt.NDArray[np.generic]) -> Times:
    """Return the last row of each run of equal values."""
    if not periods.size:
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero(np.append(periods[1:] != periods[:-1], True))


def year_returns(months: Iterable[MonthReturn]) -> dict[int, float]:
    """Return the months of each year multiplied."""
    found: dict[int, float] = {}
    for month in months:
        found[month.year] = (1.0 + found.get(month.year, 0.0)) * (1.0 + month.return_fraction) - 1.0
    return found


def daily_statistics(ts_ms: Times, index: Column) -> tuple[int, float | None, float | None]:
    """Return how many daily returns there are, and Sharpe and Sortino ratio of them a year.

    A day is UTC and counts at its last point; the first begins at 1.
    """
    stats = EquityStats()
    if not ts_ms.size:
        return 0, None, None
    days = ts_ms // DAY_MS
    stats.add(int(ts_ms[0]) - 1, 1.0)
    for row in _last_rows(days):
        stats.add(int(ts_ms[row]), float(index[row]))
    found = stats.statistics()
    return found.steps, found.sharpe, found.sortino


def yearly_growth(ts_ms: Times, index: Column) -> float | None:
    """Return the compound growth a year; None up to 30 days, and from nothing left."""
    span_ms = int(ts_ms[-1] - ts_ms[0]) if ts_ms.size else 0
    if span_ms <= LEAST_DAYS * DAY_MS or index[-1] <= 0:
        return None
    power = YEAR_MS / span_ms
    return float(math.exp(power * math.log(float(index[-1]))) - 1.0)


def exposure_of(ts_ms: Times, equity: Column, exposure: Column) -> Exposure:
    """Return exposure over time; a point's holds until the next one. The last weighs nothing."""
    weights = np.diff(ts_ms).astype(np.float64)
    total = float(weights.sum())
    if total <= 0:
        return Exposure(None, None, None)
    held, of = exposure[:-1], equity[:-1]
    shares = np.divide(held, of, out=np.zeros_like(held), where=of > 0)
    mean = [float((column * weights).sum()) / total for column in (shares, held > 0, of)]
    return Exposure(*mean)


# -- trades ----------------------------------------------------------------------------------------


def histogram(values: Sequence[float], about: int = BINS_ABOUT) -> Histogram:
    """Count values in about so many bars of one round width (1, 2 or 5 times a power of ten)."""
    if not values:
        return Histogram([], [])
    low, high = min(values), max(values)
    width = _round_step((max(high, 0.0) - min(low, 0.0)) / about or 1.0)
    first, last = math.floor(low / width), math.floor(high / width)
    counts = [0] * (last - first + 1)
    for value in values:
        counts[math.floor(value / width) - first] += 1
    return Histogram([(first + i) * width for i in range(len(counts) + 1)], counts)


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * unit for unit in (1.0, 2.0, 5.0, 10.0) if power * unit >= step * 0.999999)


def groups(trades: Iterable[Trade], key: Callable[[int, Trade], str]) -> list[Group]:
    """Return the trades by key, best PnL first; trades come in the order they were closed.

    ``key`` is given the trade's place besides the trade.
    """
    stats: dict[str, TradeStats] = {}
    for place, trade in enumerate(trades):
        stats.setdefault(key(place, trade), TradeStats()).add(trade)
    found = [Group(name, kept.statistics()) for name, kept in stats.items()]
    return sorted(found, key=lambda group: (-group.statistics.pnl_quote, group.key))


def too_few(count: int, least: int, what: str) -> str:
    """Return why a figure says nothing, as "too few trades (8 of 30)"; empty where there are
    enough. Every page, report and verdict asks here."""
    return "" if count >= least else f"too few {what} ({count} of {least})"


def few_trades(count: int) -> str:
    """Return why figures of so many closed trades say nothing; empty where they do."""
    return too_few(count, LEAST_TRADES, "trades")


def few_days(count: int) -> str:
    """Return why a yearly ratio of so many daily returns says nothing; empty where it does."""
    return too_few(count, LEAST_DAYS, "days")


def trade_figures(found: TradeStatistics, quote: str) -> list[Figure]:
    """Return the key figures of closed trades; most need LEAST_TRADES of them."""
    why = few_trades(found.count)
    why_r = too_few(found.count_r, LEAST_TRADES, "trades with a stop")

    def judged(code: str, title: str, value: float | None, unit: str, lacks: str) -> Figure:
        if lacks:
            return Figure(code, title, None, unit, lacks)
        return Figure(code, title, value, unit, "" if value is not None else "no trade lost")

    return [
        Figure("trades", "Closed trades", float(found.count), "trades"),
        judged("win_rate", "Win rate", found.win_rate, "fraction", why),
        judged("profit_factor", "Profit factor", found.profit_factor, "ratio", why),
        judged("expectancy_quote", "Expectancy a trade", found.expectancy_quote, quote, why),
        judged("expectancy_r", "Expectancy in R", found.expectancy_r, "R", why_r),
        Figure("pnl", "Closed PnL, net", float(found.pnl_quote), quote),
    ]


def equity_figures(ts_ms: Times, index: Column, seen: Exposure) -> list[Figure]:
    """Return the key figures of growth. Sharpe and Sortino are of daily returns, a year."""
    if not ts_ms.size:
        return []
    days, sharpe, sortino = daily_statistics(ts_ms, index)
    why = few_days(days)
    span_days = float(ts_ms[-1] - ts_ms[0]) / DAY_MS
    short = f"{span_days:.1f} days traded, more than {LEAST_DAYS} are needed"
    cagr = yearly_growth(ts_ms, index)
    flat = "no spread between days"
    return [
        Figure("return", "Return", float(index[-1]) - 1.0, "fraction"),
        Figure("cagr", "Growth a year", cagr, "fraction", short if cagr is None else ""),
        Figure(
            "sharpe",
            "Sharpe ratio",
            None if why else sharpe,
            "ratio",
            why or ("" if sharpe is not None else flat),
        ),
        Figure(
            "sortino",
            "Sortino ratio",
            None if why else sortino,
            "ratio",
            why or ("" if sortino is not None else "no day lost"),
        ),
        Figure("max_drawdown", "Deepest drawdown", float(underwater(index).max()), "fraction"),
        Figure("exposure", "Mean exposure", seen.mean_fraction, "fraction", _timeless(seen)),
        Figure(
            "in_market", "Time in the market", seen.in_market_fraction, "fraction", _timeless(seen)
        ),
    ]


def _timeless(seen: Exposure) -> str:
    return "" if seen.mean_fraction is not None else "no time passed yet"


def shown_rows(index: Column, most: int) -> Times:
    """Return the rows to draw, at most ``most``: the last of each stretch and its lowest, so that
    no drawdown is thinned away."""
    n = index.shape[0]
    if n <= most:
        return np.arange(n)
    edges = np.linspace(0, n, max(most // 2, 1) + 1).astype(np.int64)
    kept = {n - 1}
    for first, end in pairwise(edges):
        kept.update((int(end) - 1, int(first) + int(np.argmin(index[first:end]))))
    return np.array(sorted(kept))
