"""A run beside the book that traded the same bars without the layer: what differed so far?

The figures and the samples they need are those of ``comparison``; a book that has seen little says
"not enough evidence", whatever its curve looks like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.types.ledger import Trade
from research.core.comparison import (
    DAY_MS,
    FEWEST_PERIODS,
    MIN_DAYS,
    MIN_TRADES,
    N_RESAMPLES,
    UNCLEAR,
    FilteredReason,
    FloatArray,
    MetricDifference,
    differences,
    filtered_reason,
    is_long_enough,
    kept_out,
    period_edges,
    period_of,
    verdict_of,
)
from research.core.comparison_journal import Entry, SignalKey
from research.core.resampling import Interval, Rows, block_rows, interval


@dataclass(frozen=True, slots=True)
class BookSide:
    """One side as stored rows tell it; fields as in ``Compared``."""

    equity_ms: Sequence[int]
    equity_quote: Sequence[float]
    entries: Mapping[str, Entry]
    refused: Mapping[SignalKey, str]
    closed: Sequence[Trade]


@dataclass(frozen=True, slots=True)
class Effect:
    """Quote that something earned (positive) or cost, with its interval and what may be said."""

    quote: Interval
    verdict: str


@dataclass(frozen=True, slots=True)
class KeptOut:
    """What one reason kept out of the run, and what that was worth."""

    figures: FilteredReason
    effect: Effect


@dataclass(frozen=True, slots=True)
class Resized:
    """Entries that both books took and closed: what another size earned.

    ``mean_multiplier`` is None where none was taken.
    """

    entries: int
    mean_multiplier: float | None
    effect: Effect


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the layer has changed since the book began.

    ``shortfall`` names what is missing before any figure may be called better or worse; empty
    where the samples are large enough.
    """

    shortfall: str
    differences: dict[str, MetricDifference]
    filtering: dict[str, KeptOut]
    filtered: KeptOut
    sizing: Resized


def judge(off: BookSide, on: BookSide, rng: np.random.Generator) -> Judgement | None:
    """Return what the layer changed; None before two moments of equity are known.

    Raises:
        ValueError: the sides do not have the same moments.
    """
    if off.equity_ms != on.equity_ms:
        raise ValueError(
            f"sides must have the same moments, were {len(off.equity_ms)} and {len(on.equity_ms)}"
        )
    if len(off.equity_ms) < 2:
        return None
    edges = period_edges(off)
    rows = block_rows(len(edges) - 1, N_RESAMPLES, rng)
    shortfall = _shortfall(off, on)
    found = differences(off, on, edges, rows)
    if shortfall:
        found = {name: _unclear(difference) for name, difference in found.items()}
    kept = kept_out(off, on)
    everything = (sum(n for n, _ in kept.values()), [t for _, some in kept.values() for t in some])
    return Judgement(
        shortfall=shortfall,
        differences=found,
        filtering={code: _kept(*some, edges, rows) for code, some in kept.items()},
        filtered=_kept(*everything, edges, rows),
        sizing=_resized(off, on, edges, rows),
    )


def _shortfall(off: BookSide, on: BookSide) -> str:
    """What keeps out may leave the run without trades: the larger side counts."""
    trades = max(len(off.closed), len(on.closed))
    if trades < MIN_TRADES:
        return f"closed trades were {trades}, needed are {MIN_TRADES}"
    days = (off.equity_ms[-1] - off.equity_ms[0]) / DAY_MS
    if days < MIN_DAYS:
        return f"days seen were {days:.1f}, needed are {MIN_DAYS}"
    if len(off.equity_ms) < FEWEST_PERIODS:
        return f"moments of equity were {len(off.equity_ms)}, needed are {FEWEST_PERIODS}"
    return ""


def _unclear(found: MetricDifference) -> MetricDifference:
    return MetricDifference(found.off, found.on, found.difference, found.low, found.high, UNCLEAR)


def _kept(signals: int, trades: Sequence[Trade], edges: FloatArray, rows: Rows) -> KeptOut:
    results = [-float(trade.pnl_quote) for trade in trades]
    times = [trade.closed_at_ms for trade in trades]
    return KeptOut(filtered_reason(signals, trades), _effect(times, results, edges, rows))


def _resized(off: BookSide, on: BookSide, edges: FloatArray, rows: Rows) -> Resized:
    without, taken = _by_entry(off.closed), _by_entry(on.closed)
    both = [entry for entry in taken if entry in without]
    results = [taken[entry][1] - without[entry][1] for entry in both]
    sizes = [on.entries[entry].multiplier for entry in both if entry in on.entries]
    mean = sum(sizes) / len(sizes) if sizes else None
    times = [max(taken[entry][0], without[entry][0]) for entry in both]
    return Resized(len(both), mean, _effect(times, results, edges, rows))


def _by_entry(trades: Sequence[Trade]) -> dict[str, tuple[int, float]]:
    """Return the last close and the whole PnL of each entry order."""
    sums: dict[str, tuple[int, float]] = {}
    for trade in trades:
        at_ms, pnl = sums.get(trade.entry_order_id, (0, 0.0))
        closed = (max(at_ms, trade.closed_at_ms), pnl + float(trade.pnl_quote))
        sums[trade.entry_order_id] = closed
    return sums


def _effect(
    times_ms: Sequence[int], results: Sequence[float], edges: FloatArray, rows: Rows
) -> Effect:
    """Sums of results by period, resampled; no result at all is None, not 0."""
    if not results:
        return Effect(Interval(None, None, None), UNCLEAR)
    n = len(edges) - 1
    sums = np.bincount(period_of(times_ms, edges), weights=np.array(results), minlength=n)

    spread = interval(float(sums.sum()), sums[rows].sum(axis=1))
    enough = len(results) >= MIN_TRADES and is_long_enough(edges)
    return Effect(spread, verdict_of(spread, True, enough))
