"""Phase 5: do the selected opinions agree, and can they be relied on? (ORC-11)"""

from __future__ import annotations

from collections.abc import Sequence

from engine.phases.config import PipelineConfig
from engine.types.opinions import Opinion, Validation

RELIABLE = "reliable"
WEAK = "weak"
UNRELIABLE = "unreliable"

# Makes the median absolute deviation of a normal sample its standard deviation.
_MAD_TO_SIGMA = 1.4826
NO_OPINION = Validation((), (), 0.0, 0.0, UNRELIABLE, "no selected source has an opinion")


def cross_validate(
    opinions: Sequence[Opinion], performances: Sequence[float], config: PipelineConfig
) -> Validation:
    """Drop outliers, measure agreement and give a verdict.

    ``performances`` in [0, 1] follow ``opinions`` (0.5 = unproven). Agreement is the net lean over
    the gross lean, |sum(p - 0.5)| / sum(|p - 0.5|): 1 = all lean the same way, 0 = they cancel out;
    an opinion that hardly leans hardly counts.
    Reliability is agreement times the mean performance of those kept. One opinion alone agrees
    with itself but nobody confirmed it: at most weak.
    """
    if not opinions:
        return NO_OPINION
    values = [opinion.probability_up for opinion in opinions]
    out = outliers(values, config.outlier_floor, config.outlier_limit)
    if out:
        kept = tuple(o for i, o in enumerate(opinions) if i not in out)
        trusted = [p for i, p in enumerate(performances) if i not in out]
    else:
        kept, trusted = tuple(opinions), list(performances)
    net = gross = 0.0
    for opinion in kept:
        lean = opinion.probability_up - 0.5
        net += lean
        gross += abs(lean)
    n = len(kept)
    agreement = abs(net) / gross if gross > 0.0 else 0.0
    reliability = agreement * sum(trusted) / n
    verdict = _verdict(reliability, n, config)
    return Validation(
        kept,
        tuple(opinions[i].source for i in out),
        agreement,
        reliability,
        verdict,
        f"{verdict}: {n} opinions kept, {len(out)} outliers, agreement {agreement:.2f}, "
        f"reliability {reliability:.2f}, reliable was {config.reliable_at:g}",
    )


def _verdict(reliability: float, n: int, config: PipelineConfig) -> str:
    if reliability < config.weak_at:
        return UNRELIABLE
    if reliability < config.reliable_at or n == 1:
        return WEAK
    return RELIABLE


def outliers(values: Sequence[float], floor: float, limit: float) -> tuple[int, ...]:
    """Return indices further than ``limit`` robust standard deviations from the median.

    Median and median absolute deviation, the deviation never below ``floor``: with three values
    two of which are close, an ordinary z-score cannot exceed 1.15 and would find nothing. Fewer
    than three values have no outlier.
    """
    if len(values) < 3:
        return ()
    centre = _median(sorted(values))
    deviations = [abs(v - centre) for v in values]
    if max(deviations) <= limit * floor:
        return ()
    scale = max(_MAD_TO_SIGMA * _median(sorted(deviations)), floor)
    return tuple(i for i, d in enumerate(deviations) if d > limit * scale)


def _median(ordered: list[float]) -> float:
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2.0
