"""Values over time: summaries, percentiles, roll-ups, baselines. Pure, and without numpy: the
sampler's process does not have it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, pvariance

from resources.core.readings import MetricVector

MINUTE_MS, HOUR_MS = 60_000, 3_600_000


@dataclass(frozen=True, slots=True)
class Summary:
    """``slope_per_s`` is the least-squares line's; 0 where all values share one time."""

    n: int
    mean: float
    minimum: float
    maximum: float
    p50: float
    p95: float
    p99: float
    slope_per_s: float


def percentile(values: Sequence[float], fraction: float) -> float:
    """Return the smallest value with at least ``fraction`` of all at or below it (nearest rank).

    Raises:
        ValueError: no values, or a fraction outside (0, 1].
    """
    if not values or not 0.0 < fraction <= 1.0:
        raise ValueError(f"fraction was {fraction} of {len(values)} values, allowed: (0, 1] of 1+")
    ordered = sorted(values)
    return ordered[max(math.ceil(fraction * len(ordered)) - 1, 0)]


def summarise(points: Sequence[tuple[int, float]]) -> Summary | None:
    """Return the summary of (ts_ms, value) points; None where there is none (ORC-68)."""
    if not points:
        return None
    values = [value for _, value in points]
    return Summary(
        len(values),
        fmean(values),
        min(values),
        max(values),
        percentile(values, 0.50),
        percentile(values, 0.95),
        percentile(values, 0.99),
        slope_per_s(points),
    )


def slope_per_s(points: Sequence[tuple[int, float]]) -> float:
    """Return the slope of the least-squares line through the points, in units a second."""
    if len(points) < 2:
        return 0.0
    mid_ms = fmean(at for at, _ in points)
    mid = fmean(value for _, value in points)
    spread = sum((at - mid_ms) ** 2 for at, _ in points)
    if spread == 0.0:
        return 0.0
    return 1000.0 * sum((at - mid_ms) * (value - mid) for at, value in points) / spread


def seconds_to(limit: float, points: Sequence[tuple[int, float]]) -> float | None:
    """Return in how many seconds the line through the points reaches ``limit`` (ORC-30).

    0 where the last value is there already; None where it does not move that way, or within
    fewer than three points.
    """
    if len(points) < 3:
        return None
    last, slope = points[-1][1], slope_per_s(points)
    if last == limit:
        return 0.0
    if slope == 0.0 or (limit - last) / slope < 0.0:
        return None
    return (limit - last) / slope


def percentile_of_buckets(
    counts: Sequence[float], upper: Sequence[float], fraction: float
) -> float | None:
    """Return a percentile from a histogram: linear within its bucket; None where it is empty.

    ``counts`` has one more than ``upper``: what lies above the last bound, told as that bound.
    """
    total = sum(counts)
    if total <= 0:
        return None
    wanted, seen = fraction * total, 0.0
    for index, bound in enumerate(upper):
        if counts[index] and seen + counts[index] >= wanted:
            low = upper[index - 1] if index else 0.0
            return low + (bound - low) * (wanted - seen) / counts[index]
        seen += counts[index]
    return float(upper[-1])


def bucket_of(upper: Sequence[float], value: float) -> int:
    return bisect_left(upper, value)


def roll_up(rounds: Iterable[MetricVector]) -> dict[str, list[float]]:
    """Return what one longer interval says of each key: n, mean, minimum, maximum, p95.

    Rounds in which a value could not be told do not count.
    """
    values: dict[str, list[float]] = {}
    for vector in rounds:
        for key, value in vector.values().items():
            if value is not None:
                values.setdefault(key, []).append(value)
    return {
        key: [float(len(v)), fmean(v), min(v), max(v), percentile(v, 0.95)]
        for key, v in sorted(values.items())
    }


def start_of(at_ms: int, width_ms: int) -> int:
    """Return when the interval of that width began which ``at_ms`` lies in."""
    return at_ms - at_ms % width_ms


def noise_of(values: Sequence[float]) -> float:
    """Return the standard error of the mean; 0 for fewer than two values."""
    return math.sqrt(pvariance(values) / (len(values) - 1)) if len(values) > 1 else 0.0


def is_worse_than_baseline(
    windows: Sequence[float], *, recent: int, least: int, by_fraction: float, lower_is_worse: bool
) -> bool | None:
    """Return whether each of the last ``recent`` windows is worse than the median of those before
    by more than ``by_fraction`` (ORC-47); None with fewer than ``least`` windows to compare with.
    """
    before = windows[:-recent]
    if len(before) < least:
        return None
    usual = median(before)
    if lower_is_worse:
        return all(value < usual * (1.0 - by_fraction) for value in windows[-recent:])
    return all(value > usual * (1.0 + by_fraction) for value in windows[-recent:])


class RollingRounds:
    """The rounds of the last while, kept in memory by whoever samples: at most ``most``."""

    def __init__(self, most: int) -> None:
        self._rounds: deque[MetricVector] = deque(maxlen=most)

    def add(self, vector: MetricVector) -> None:
        self._rounds.append(vector)

    def trim(self, most: int) -> int:
        """Forget the oldest beyond ``most``; return how many."""
        dropped = 0
        while len(self._rounds) > most:
            self._rounds.popleft()
            dropped += 1
        return dropped

    def __len__(self) -> int:
        return len(self._rounds)

    def __iter__(self) -> Iterator[MetricVector]:
        return iter(self._rounds)

    @property
    def last(self) -> MetricVector | None:
        return self._rounds[-1] if self._rounds else None

    def points(
        self, key: str, since_ms: int = 0, until_ms: int | None = None
    ) -> list[tuple[int, float]]:
        """Return (ts_ms, value) of a key, oldest first, what could not be told left out."""
        return [
            (vector.at_ms, value)
            for vector in self._rounds
            if since_ms <= vector.at_ms
            and (until_ms is None or vector.at_ms < until_ms)
            and (value := vector.get(key)) is not None
        ]

    def values(self, key: str, since_ms: int = 0, until_ms: int | None = None) -> list[float]:
        return [value for _, value in self.points(key, since_ms, until_ms)]

    def every_key(self) -> Mapping[str, None]:
        return dict.fromkeys(key for vector in self._rounds for key in vector)
