"""How soon a lost edge is found, and how often one is found that was never lost.

The sequential test of strategy health beside classic detectors on the same simulated streams:
``python -m benchmarks.health_detectors`` prints the tables of docs/health-detectors.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.figures import Figure, Options
from optimization.core.config import HealthSettings
from optimization.core.health.measures import measure, violations
from optimization.core.health.sequential import START, Betting, value

Floats = npt.NDArray[np.float64]
CHANGE_AT, AFTER, IN_CONTROL = 500, 1_000, 2_000
SEED = 20_240


class Detector(Protocol):
    """Rings when the mean has fallen; starts anew after it rang."""

    def update(self, x: float) -> bool: ...


class Cusum:
    """One-sided lower CUSUM: S = max(0, S - x - slack), rings above ``threshold``."""

    def __init__(self, slack: float, threshold: float) -> None:
        self._slack, self._threshold, self._sum = slack, threshold, 0.0

    def update(self, x: float) -> bool:
        self._sum = max(0.0, self._sum - x - self._slack)
        if self._sum <= self._threshold:
            return False
        self._sum = 0.0
        return True


class PageHinkley:
    """Falls of the cumulated distance to the running mean below its maximum."""

    def __init__(self, threshold: float, slack: float = 0.005, wait: int = 30) -> None:
        self._threshold, self._slack, self._wait = threshold, slack, wait
        self._restart()

    def _restart(self) -> None:
        self._n, self._mean, self._sum, self._highest = 0, 0.0, 0.0, 0.0

    def update(self, x: float) -> bool:
        self._n += 1
        self._mean += (x - self._mean) / self._n
        self._sum += x - self._mean + self._slack
        self._highest = max(self._highest, self._sum)
        if self._n < self._wait or self._highest - self._sum <= self._threshold:
            return False
        self._restart()
        return True


class Sequential:
    """The test of ``optimization.core.health.sequential``."""

    def __init__(self, threshold: float, win_cap_r: float = 5.0, loss_cap_r: float = 3.0) -> None:
        self._bets = Betting(0.0, win_cap_r, loss_cap_r)
        self._threshold, self._capitals = threshold, START

    def update(self, x: float) -> bool:
        self._capitals = self._bets.update(self._capitals, x)
        if value(self._capitals) < self._threshold:
            return False
        self._capitals = START
        return True


class Thresholds:
    """The rolling thresholds of strategy health, looked at after every trade."""

    def __init__(self, settings: HealthSettings) -> None:
        self._settings, self._recent = settings, list[float]()

    def update(self, x: float) -> bool:
        self._recent = [*self._recent, x][-self._settings.window_trades :]
        if len(self._recent) < self._settings.min_trades:
            return False
        if not violations(measure(self._recent), self._settings):
            return False
        self._recent = []
        return True


class Adwin:
    """Adaptive windowing with buckets of powers of two, looked at every 32 observations.

    A rise of the mean drops the old part too and is no alarm.
    Source: Bifet and Gavalda, Learning from time-changing data with adaptive windowing (2007),
    with the variance form of the bound.
    """

    _EACH, _LEAST, _EVERY = 5, 5, 32

    def __init__(self, delta: float) -> None:
        self._delta, self._seen = delta, 0
        # oldest first: count, sum, sum of squared distances to the mean
        self._buckets: list[tuple[int, float, float]] = []

    def update(self, x: float) -> bool:
        self._seen += 1
        self._buckets.append((1, x, 0.0))
        self._compress()
        if self._seen % self._EVERY:
            return False
        fell = False
        while (cut := self._cut()) is not None:
            del self._buckets[: cut[0]]
            fell = fell or cut[1]
        return fell

    def _compress(self) -> None:
        size = 1
        while True:
            places = [i for i, bucket in enumerate(self._buckets) if bucket[0] == size]
            if len(places) <= self._EACH:
                return
            first = places[0]
            self._buckets[first : first + 2] = [_merged(*self._buckets[first : first + 2])]
            size *= 2

    def _cut(self) -> tuple[int, bool] | None:
        """Return how many of the oldest buckets differ from the rest, and whether the mean fell."""
        whole = (0, 0.0, 0.0)
        for bucket in self._buckets:
            whole = _merged(whole, bucket)
        if whole[0] < 2 * self._LEAST:
            return None
        spread = whole[2] / whole[0]
        sureness = float(np.log(2.0 * np.log(whole[0]) / self._delta))
        count, total = 0, 0.0
        for index, bucket in enumerate(self._buckets[:-1], start=1):
            count, total = count + bucket[0], total + bucket[1]
            rest = whole[0] - count
            if count < self._LEAST or rest < self._LEAST:
                continue
            part = 1.0 / (count - self._LEAST + 1) + 1.0 / (rest - self._LEAST + 1)
            limit = float(np.sqrt(2.0 * part * spread * sureness)) + 2.0 / 3.0 * part * sureness
            difference = total / count - (whole[1] - total) / rest
            if abs(difference) > limit:
                return index, difference > 0.0
        return None


def _merged(
    one: tuple[int, float, float], two: tuple[int, float, float]
) -> tuple[int, float, float]:
    if not one[0]:
        return two
    count = one[0] + two[0]
    apart = one[1] / one[0] - two[1] / two[0]
    return (count, one[1] + two[1], one[2] + two[2] + apart * apart * one[0] * two[0] / count)


Make = Callable[[], Detector]


def detectors() -> dict[str, Make]:
    """Return every detector of the tables by its label."""
    settings = HealthSettings()
    return {
        "sequential test, 1,000 trades": lambda: Sequential(1_000.0),
        "sequential test, 200 trades": lambda: Sequential(200.0),
        "rolling thresholds (window 50)": lambda: Thresholds(settings),
        "CUSUM k=0.5 h=5": lambda: Cusum(0.5, 5.0),
        "CUSUM k=0.5 h=4": lambda: Cusum(0.5, 4.0),
        "Page-Hinkley, threshold 50": lambda: PageHinkley(50.0),
        "Page-Hinkley, threshold 20": lambda: PageHinkley(20.0),
        "ADWIN delta=0.002": lambda: Adwin(0.002),
        "ADWIN delta=0.05": lambda: Adwin(0.05),
    }


@dataclass(frozen=True, slots=True)
class Found:
    """One detector on one kind of stream; delays in observations after the change."""

    label: str
    false_alarms_per_1000: float
    detected_fraction: dict[float, float]
    median_delay: dict[float, float]


Stream = Callable[[np.random.Generator, float, int], Floats]


def normal(rng: np.random.Generator, shift: float, n: int) -> Floats:
    """Return N(-shift, 1)."""
    return rng.normal(-shift, 1.0, n)


def trades(rng: np.random.Generator, shift: float, n: int) -> Floats:
    """Return R of trades that win 1.5 or lose 1 with noise: expectancy 0.10 R less ``shift``."""
    chance = (1.0 + 0.10 - shift) / 2.5
    won = rng.random(n) < chance
    return np.where(won, 1.5, -1.0) + rng.normal(0.0, 0.15, n)


def study(make: Make, label: str, stream: Stream, shifts: Sequence[float], runs: int) -> Found:
    """Measure one detector: false alarms without a change, delay after one."""
    rng = np.random.default_rng(SEED)
    alarms = 0
    for _ in range(runs):
        detector = make()
        alarms += sum(detector.update(x) for x in stream(rng, 0.0, IN_CONTROL).tolist())
    detected, delay = {}, {}
    for shift in shifts:
        found = [_delay(make(), stream, shift, rng) for _ in range(runs)]
        known = [one for one in found if one is not None]
        detected[shift] = len(known) / runs
        delay[shift] = float(np.median(known)) if known else float("nan")
    return Found(label, alarms / runs / IN_CONTROL * 1_000, detected, delay)


def _delay(
    detector: Detector, stream: Stream, shift: float, rng: np.random.Generator
) -> int | None:
    """Return observations from the change to the first alarm after it; None without one."""
    for x in stream(rng, 0.0, CHANGE_AT).tolist():
        detector.update(x)
    for number, x in enumerate(stream(rng, shift, AFTER).tolist(), start=1):
        if detector.update(x):
            return number
    return None


def average_run_length(make: Make, shift: float, runs: int, longest: int = 20_000) -> float:
    """Return the mean number of observations to the first alarm from a fresh start on N(-shift, 1).

    Runs without an alarm count as ``longest``.
    """
    rng = np.random.default_rng(SEED)
    lengths = []
    for _ in range(runs):
        detector, length = make(), longest
        for number, x in enumerate(normal(rng, shift, longest).tolist(), start=1):
            if detector.update(x):
                length = number
                break
        lengths.append(length)
    return float(np.mean(lengths))


KINDS: tuple[tuple[str, Stream, tuple[float, ...]], ...] = (
    ("N(0, 1), then N(-shift, 1)", normal, (0.25, 0.5, 1.0)),
    ("trades of +0.10 R, then less by the shift", trades, (0.2, 0.4, 0.8)),
)


def health_detectors(options: Options) -> list[Figure]:
    """The benchmark: the shipped sequential test against its promise, and its delay."""
    runs = 20 if options.quick else 100
    figures = []
    fair = study(detectors()["sequential test, 1,000 trades"], "", normal, (0.5, 1.0), runs)
    figures.append(
        Figure(
            name="sequential test, false alarms per 1,000 fair trades",
            value=fair.false_alarms_per_1000,
            unit="alarms",
            target=1.0,
            detail="promised: on average at least 1,000 trades to one",
        )
    )
    for shift in (0.5, 1.0):
        figures.append(
            Figure(
                name=f"sequential test, median delay after a fall of {shift:g} standard deviations",
                value=fair.median_delay[shift],
                unit="trades",
                detail=f"{fair.detected_fraction[shift]:.0%} found within {AFTER}",
            )
        )
    return figures


def table(kind: str, stream: Stream, shifts: Sequence[float], runs: int) -> str:
    """Return one table of the page in Markdown."""
    heads = "".join(f" | -{shift:g}: found, median delay" for shift in shifts)
    lines = [f"| {kind} | false alarms per 1,000{heads} |", "|---" * (len(shifts) + 2) + "|"]
    for label, make in detectors().items():
        found = study(make, label, stream, shifts, runs)
        cells = "".join(
            f" | {found.detected_fraction[s]:.3f}, {found.median_delay[s]:.0f}" for s in shifts
        )
        lines.append(f"| {label} | {found.false_alarms_per_1000:.3f}{cells} |")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.health_detectors", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args(argv)
    for kind, stream, shifts in KINDS:
        print(table(kind, stream, shifts, options.runs) + "\n")
    for h in (4.0, 5.0):
        lengths = [average_run_length(lambda: Cusum(0.5, h), s, 2_000) for s in (0.5, 1.0, 2.0)]  # noqa: B023
        print(f"CUSUM k=0.5 h={h:g}: run length at 0.5, 1, 2 sigma was {lengths}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
