"""Labelled markets: drawn by a stated process, and how well their regimes are found (ORC-89).

The process is that of ``docs/regimes.md``, written down before the thresholds were set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.compiled import kernel
from engine.market_columns import market_columns
from engine.types.bars import BarColumns, ColumnStore, FloatColumn
from engine.types.opinions import REGIMES, Regime

Labels = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]

TRENDING, RANGING, VOLATILE, QUIET = (
    REGIMES.index(regime)
    for regime in (Regime.TRENDING, Regime.RANGING, Regime.VOLATILE, Regime.QUIET)
)
MINUTE_MS = 60_000
# for reporting only: no threshold may be chosen by looking at them (D-55)
REPORT_SEEDS = tuple(range(1_000, 1_020))
# bars before the baseline of usual volatility is full are not counted
FIRST_COUNTED_ROW = 1_920
RELIABILITY_BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeProcess:
    """What labelled bars are drawn from; see ``docs/regimes.md``.

    ``tail_degrees`` are the degrees of freedom of Student noise, 0 for Gaussian.
    """

    timeframe_ms: int = MINUTE_MS
    rounds: int = 8
    segment_bars: tuple[int, int] = (400, 800)
    usual_deviation: float = 0.001
    drift_deviations: float = 0.6
    ranging_memory: float = 0.8
    volatile_times: float = 3.0
    quiet_times: float = 1.0 / 3.0
    steps_per_bar: int = 12
    tail_degrees: int = 0
    volume_deviation: float = 0.5


def draw(process: RegimeProcess, rng: np.random.Generator) -> tuple[BarColumns, Labels]:
    """Return bars and the regime of each as an index into REGIMES, shape (n_bars,)."""
    moves: list[FloatColumn] = []
    labels: list[Labels] = []
    for label in _order(process.rounds, rng):
        n_bars = int(rng.integers(*process.segment_bars))
        moves.append(_segment(process, label, n_bars, rng))
        labels.append(np.full(n_bars, label, dtype=np.int64))
    sigma = process.usual_deviation * np.sqrt(process.timeframe_ms / MINUTE_MS)
    steps = sigma * np.concatenate(moves)
    path = 100.0 * np.exp(np.concatenate(([0.0], np.cumsum(steps))))
    return _bars(process, path, rng), np.concatenate(labels)


def _order(rounds: int, rng: np.random.Generator) -> list[int]:
    order: list[int] = []
    for _ in range(rounds):
        following = [int(label) for label in rng.permutation(len(REGIMES))]
        if order and following[0] == order[-1]:
            following.reverse()
        order += following
    return order


def _segment(
    process: RegimeProcess, label: int, n_bars: int, rng: np.random.Generator
) -> FloatColumn:
    """Return a segment's steps in usual deviations of a bar, shape (n_bars * steps_per_bar,)."""
    n, per_bar = n_bars * process.steps_per_bar, process.steps_per_bar
    if process.tail_degrees:
        # A bar's variance is drawn, its steps are Gaussian: the bar's return is then Student's t.
        variance = (process.tail_degrees - 2.0) / rng.chisquare(process.tail_degrees, n_bars)
        noise = rng.normal(size=n) * np.repeat(np.sqrt(variance), per_bar)
    else:
        noise = rng.normal(size=n)
    noise /= np.sqrt(per_bar)
    if label == TRENDING:
        sign = float(rng.choice([-1, 1]))
        steps: FloatColumn = noise + sign * process.drift_deviations / per_bar
        return steps
    if label == RANGING:
        return _returning(noise, process.ranging_memory, per_bar)
    wider: FloatColumn = noise * (
        process.volatile_times if label == VOLATILE else process.quiet_times
    )
    return wider


def _returning(noise: FloatColumn, memory: float, per_bar: int) -> FloatColumn:
    """Return the steps of a level that forgets ``1 - memory`` of itself a bar.

    Its innovations sum to the variance that one of unit deviation a bar would have.
    """
    kept = memory ** (1.0 / per_bar)
    size = np.sqrt(per_bar * (1.0 - kept * kept) / (1.0 - memory * memory))
    return np.diff(_levels(noise * size, kept), prepend=0.0)


@kernel
def _levels(innovations: FloatColumn, kept: float) -> FloatColumn:
    out = np.empty(innovations.shape[0])
    level = 0.0
    for i in range(innovations.shape[0]):
        level = kept * level + innovations[i]
        out[i] = level
    return out


def _bars(process: RegimeProcess, path: FloatColumn, rng: np.random.Generator) -> BarColumns:
    inside = path[1:].reshape(-1, process.steps_per_bar)
    n = inside.shape[0]
    close = inside[:, -1].copy()
    opened = np.concatenate((path[:1], close[:-1]))
    return BarColumns(
        ts_ms=np.arange(n, dtype=np.int64) * process.timeframe_ms,
        open=opened,
        high=np.maximum(opened, inside.max(axis=1)),
        low=np.minimum(opened, inside.min(axis=1)),
        close=close,
        volume=rng.lognormal(0.0, process.volume_deviation, n),
        timeframe_ms=process.timeframe_ms,
    )


# -- how well they are found -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RegimeReport:
    """How labels compare with the truth over one or more drawn histories.

    ``confusion`` is (4, 4) in bars, truth by row in the order of REGIMES. ``accuracies`` has one
    entry a history. ``delays_bars`` has one entry a change of regime: bars until the label was
    right, None where the segment ended first. ``reliability`` has one row a tenth of the largest
    probability: bars, mean probability, share in which that regime was the true one.
    """

    accuracies: tuple[float, ...]
    confusion: Counts
    delays_bars: tuple[int | None, ...]
    flips_per_1000_bars: float
    shortest_label_bars: int
    reliability: npt.NDArray[np.float64]

    @property
    def accuracy(self) -> float:
        """Mean over histories of the share of bars labelled right."""
        return float(np.mean(self.accuracies))

    @property
    def calibration_error(self) -> float:
        """Mean distance between probability and frequency, weighted by bars (ECE)."""
        bars, said, was = self.reliability.T
        return float((bars * np.abs(said - was)).sum() / bars.sum())


def evaluate(process: RegimeProcess, generators: Sequence[np.random.Generator]) -> RegimeReport:
    """Draw one history a generator, label it as the platform would, and compare.

    Raises:
        ValueError: no generators, or histories too short to count a bar.
    """
    if not generators:
        raise ValueError("generators must be at least one, were none")
    accuracies, delays = [], list[int | None]()
    confusion = np.zeros((len(REGIMES), len(REGIMES)), dtype=np.int64)
    sums = np.zeros((RELIABILITY_BINS, 3))
    flips, bars, shortest = 0, 0, 10**9
    for rng in generators:
        drawn, truth = draw(process, rng)
        columns = market_columns(ColumnStore(drawn))
        counted = np.flatnonzero(columns.ready & (np.arange(len(truth)) >= FIRST_COUNTED_ROW))
        if counted.size == 0:
            raise ValueError(f"histories must exceed {FIRST_COUNTED_ROW} bars, was {len(truth)}")
        label, right = columns.regime.astype(np.int64), truth[counted]
        accuracies.append(float((label[counted] == right).mean()))
        np.add.at(confusion, (right, label[counted]), 1)
        delays += _delays(label, truth)
        sums += _reliability(columns.regime_probabilities[counted], right)
        changes = np.flatnonzero(np.diff(label[counted]))
        flips, bars = flips + len(changes), bars + counted.size
        if len(changes) > 1:
            shortest = min(shortest, int(np.diff(changes).min()))
    with np.errstate(invalid="ignore"):
        means = np.where(sums[:, :1] > 0, sums[:, 1:] / np.maximum(sums[:, :1], 1.0), 0.0)
    reliability = np.column_stack((sums[:, 0], means))
    return RegimeReport(
        tuple(accuracies), confusion, tuple(delays), 1_000.0 * flips / bars, shortest, reliability
    )


def _delays(label: Labels, truth: Labels) -> list[int | None]:
    starts = np.flatnonzero(np.diff(truth)) + 1
    ends = np.append(starts[1:], len(truth))
    delays: list[int | None] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if start >= FIRST_COUNTED_ROW:
            found = np.flatnonzero(label[start:end] == truth[start])
            delays.append(int(found[0]) if found.size else None)
    return delays


def _reliability(probabilities: npt.NDArray[np.float64], truth: Labels) -> npt.NDArray[np.float64]:
    """Return (bins, 3): bars, summed largest probability, bars in which it was right."""
    said, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    place = np.minimum((said * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    sums = np.zeros((RELIABILITY_BINS, 3))
    for column, weights in enumerate((np.ones_like(said), said, right.astype(np.float64))):
        sums[:, column] = np.bincount(place, weights, RELIABILITY_BINS)
    return sums


@dataclass(frozen=True, slots=True)
class DwellReport:
    """How long labels last on a history: bars, changes, shortest and median spell, shares."""

    bars: int
    changes: int
    shortest_bars: int
    median_bars: float
    shares: tuple[float, float, float, float]


def dwell(bars: BarColumns) -> DwellReport:
    """Return how long each label lasted on bars whose truth nobody knows.

    The first and last spells, cut off by the history's ends, are not measured.
    """
    columns = market_columns(ColumnStore(bars))
    label = columns.regime[columns.ready].astype(np.int64)
    edges = np.flatnonzero(np.diff(label)) + 1
    spells = np.diff(edges)
    shares = np.bincount(label, minlength=len(REGIMES)) / max(1, len(label))
    first, second, third, fourth = shares.tolist()
    return DwellReport(
        len(label),
        len(edges),
        int(spells.min()) if spells.size else len(label),
        float(np.median(spells)) if spells.size else float(len(label)),
        (first, second, third, fourth),
    )


__all__ = [
    "REPORT_SEEDS",
    "DwellReport",
    "RegimeProcess",
    "RegimeReport",
    "draw",
    "dwell",
    "evaluate",
]
