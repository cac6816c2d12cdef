"""Did it help: before and after over equal windows, beyond noise, nothing else worse (D-12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from resources.core.readings import Worse, metric_of
from resources.core.windows import noise_of

LEAST_VALUES = 3
# Twice the standard error of the difference: about one in twenty differences of nothing but noise.
NOISE_FACTOR = 2.0
# A smaller change helps nobody, however certain it is.
LEAST_EFFECT = 0.02
# Another metric must be worse by so much before the action is blamed for it.
LEAST_REGRESSION = 0.10


class Verdict(StrEnum):
    SUCCESS = "success"
    NO_EFFECT = "no effect"
    WORSE = "worse"
    REGRESSED = "regressed"
    UNMEASURED = "not measurable"


@dataclass(frozen=True, slots=True)
class Comparison:
    """``improvement`` is (before - after) / before of means, its sign turned where more is
    better; None where it could not be measured, never a constant (ORC-52). ``noise`` is in the
    same unit: a smaller change is none."""

    key: str
    n_before: int
    n_after: int
    before: float | None
    after: float | None
    improvement: float | None
    noise: float | None


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    target: Comparison
    regressions: tuple[Comparison, ...] = ()


def compare(key: str, before: Sequence[float], after: Sequence[float]) -> Comparison:
    """Compare one metric over two equal windows."""
    n_before, n_after = len(before), len(after)
    mean_before = fmean(before) if before else None
    mean_after = fmean(after) if after else None
    if (
        mean_before is None
        or mean_after is None
        or min(n_before, n_after) < LEAST_VALUES
        or mean_before <= 0.0
    ):
        return Comparison(key, n_before, n_after, mean_before, mean_after, None, None)
    gain = (mean_before - mean_after) / mean_before
    if metric_of(key).worse is Worse.LOWER:
        gain = -gain
    error = (noise_of(before) ** 2 + noise_of(after) ** 2) ** 0.5
    drift = _drift(before) if metric_of(key).worse is Worse.LOWER else -_drift(before)
    noise = max(NOISE_FACTOR * error / mean_before, drift / mean_before, LEAST_EFFECT)
    return Comparison(key, n_before, n_after, mean_before, mean_after, gain + 0.0, noise)


def _drift(before: Sequence[float]) -> float:
    """Return how far the mean would have moved by the next window had nothing been done: what was
    getting better by itself is no success. Two halves lie half a window apart, two windows one."""
    half = len(before) // 2
    return 2.0 * (fmean(before[-half:]) - fmean(before[:half]))


def judge(
    target: str,
    before: Mapping[str, Sequence[float]],
    after: Mapping[str, Sequence[float]],
) -> Judgement:
    """Return whether the target got better beyond noise with no other metric worse (ORC-54).

    Which metrics may not get worse is what both mappings hold besides the target.
    """
    aim = compare(target, before.get(target, ()), after.get(target, ()))
    others = (
        compare(key, before[key], after.get(key, ())) for key in sorted(before) if key != target
    )
    worse = tuple(
        other
        for other in others
        if other.improvement is not None
        and other.noise is not None
        and -other.improvement > max(other.noise, LEAST_REGRESSION)
    )
    if aim.improvement is None or aim.noise is None:
        return Judgement(Verdict.UNMEASURED, aim, worse)
    if aim.improvement < -aim.noise:
        return Judgement(Verdict.WORSE, aim, worse)
    if aim.improvement <= aim.noise:
        return Judgement(Verdict.NO_EFFECT, aim, worse)
    return Judgement(Verdict.REGRESSED if worse else Verdict.SUCCESS, aim, worse)
