"""Phase 5: do the selected opinions agree, and can they be relied on? (ORC-11)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.compiled import kernel
from engine.phases.config import PipelineConfig
from engine.types.bars import BoolColumn, FloatColumn, IntColumn
from engine.types.opinions import Opinion, Validation

RELIABLE = "reliable"
WEAK = "weak"
UNRELIABLE = "unreliable"

# Makes the median absolute deviation of a normal sample its standard deviation.
_MAD_TO_SIGMA = 1.4826
NO_OPINION = Validation((), (), 0.0, 0.0, UNRELIABLE, "no selected source has an opinion")


@dataclass(frozen=True, slots=True)
class Validated:
    """The verdict, with ``kept`` of shape (n_sources,): whose opinion goes on to phase 6."""

    validation: Validation
    kept: BoolColumn


def cross_validate(
    opinions: Sequence[Opinion | None],
    probabilities: FloatColumn,
    place: IntColumn,
    performance: FloatColumn,
    config: PipelineConfig,
) -> Validated:
    """Drop outliers, measure agreement and give a verdict.

    All follow the sources: ``place`` is phase 4's, ``performance`` is in [0, 1] with 0.5 =
    unproven. A probability closer to 0.5 than ``opinion_margin`` is no opinion. Agreement is the
    net lean over the gross lean, |sum(p - 0.5)| / sum(|p - 0.5|): 1 = all lean the same way, 0 =
    they cancel out; an opinion that hardly leans hardly counts. Reliability is agreement times
    the mean performance of those kept. One opinion alone agrees with itself but nobody confirmed
    it: at most weak.
    """
    kept, out, n, agreement, reliability = judge(
        probabilities,
        place,
        performance,
        config.opinion_margin,
        config.outlier_floor,
        config.outlier_limit,
    )
    return Validated(verdict_on(opinions, kept, out, n, agreement, reliability, config), kept)


def verdict_on(
    opinions: Sequence[Opinion | None],
    kept: BoolColumn,
    out: BoolColumn,
    n: int,
    agreement: float,
    reliability: float,
    config: PipelineConfig,
) -> Validation:
    """Return phase 5's verdict on what ``judge`` found."""
    if n == 0:
        return NO_OPINION
    flags = kept.tolist()
    excluded: tuple[str, ...] = ()
    if n < len(flags):
        excluded = tuple(
            [o.source for o, far in zip(opinions, out.tolist(), strict=True) if far and o]
        )
    verdict, reason = _verdict(reliability, n, config)
    held = tuple([o for o, keep in zip(opinions, flags, strict=True) if keep and o is not None])
    return Validation(held, excluded, agreement, reliability, verdict, reason)


def _verdict(reliability: float, n: int, config: PipelineConfig) -> tuple[str, str]:
    if reliability < config.weak_at:
        return UNRELIABLE, "opinions contradict each other or come from poor sources"
    if n == 1:
        return WEAK, "one opinion that nobody confirmed"
    if reliability < config.reliable_at:
        return WEAK, "opinions agree in part"
    return RELIABLE, "opinions agree"


def sentence(validation: Validation) -> str:
    """Return the verdict in words, with its numbers."""
    return (
        f"{validation.verdict}: {validation.reason}; {len(validation.kept)} kept, "
        f"{len(validation.outliers)} outliers, agreement {validation.agreement:.2f}, "
        f"reliability {validation.reliability:.2f}"
    )


@kernel
def judge(
    probabilities: FloatColumn,
    place: IntColumn,
    performance: FloatColumn,
    margin: float,
    floor: float,
    limit: float,
) -> tuple[BoolColumn, BoolColumn, int, float, float]:
    """Return who is kept, who is an outlier, how many are kept, agreement and reliability."""
    asked = np.zeros(place.shape[0], dtype=np.bool_)
    for i in range(place.shape[0]):
        asked[i] = place[i] >= 0 and abs(probabilities[i] - 0.5) >= margin
    out = outliers(probabilities, asked, floor, limit)
    kept = asked & ~out
    n, net, gross, trust = 0, 0.0, 0.0, 0.0
    for i in range(kept.shape[0]):
        if kept[i]:
            lean = probabilities[i] - 0.5
            n += 1
            net += lean
            gross += abs(lean)
            trust += performance[i]
    if n == 0:
        return kept, out, 0, 0.0, 0.0
    agreement = abs(net) / gross if gross > 0.0 else 0.0
    return kept, out, n, agreement, agreement * trust / n


@kernel
def outliers(values: FloatColumn, considered: BoolColumn, floor: float, limit: float) -> BoolColumn:
    """Return who is further than ``limit`` robust standard deviations from the median.

    Median and median absolute deviation, the deviation never below ``floor``: with three values
    two of which are close, an ordinary z-score cannot exceed 1.15 and would find nothing. Fewer
    than three values have no outlier.
    """
    out = np.zeros(values.shape[0], dtype=np.bool_)
    among = values[considered]
    if among.shape[0] < 3:
        return out
    centre = np.median(among)
    scale = max(_MAD_TO_SIGMA * np.median(np.abs(among - centre)), floor)
    for i in range(values.shape[0]):
        out[i] = considered[i] and abs(values[i] - centre) > limit * scale
    return out
