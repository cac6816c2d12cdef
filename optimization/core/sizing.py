"""The multiplier on the base size: weight, quality and regime alignment, each in its place.

DEGRADED halves afterwards and the hard caps run last; both stand in phase 7 (D-01, D-15).
"""

from __future__ import annotations

from dataclasses import dataclass

from optimization.core.config import SizingSettings

NEUTRAL_ALIGNMENT = 0.5


@dataclass(frozen=True, slots=True)
class Multiplier:
    """``raw`` is the product, ``clipped`` is it within the allowed range; phase 7 clips too."""

    raw: float
    clipped: float
    weight: float
    quality_factor: float
    alignment_factor: float


def multiplier(
    *,
    weight: float,
    quality: float,
    alignment: float,
    quality_threshold: float,
    settings: SizingSettings,
) -> Multiplier:
    """Return weight x quality factor x alignment factor, non-decreasing in each (OPT-19 to 21).

    ``weight`` is positive; ``quality`` and ``alignment`` lie in [0, 1]. At the threshold, with
    neutral alignment and weight 1, it is 1.
    """
    by_quality = max(1.0 + settings.quality_slope * (quality - quality_threshold), 0.0)
    by_alignment = max(1.0 + settings.alignment_slope * (alignment - NEUTRAL_ALIGNMENT), 0.0)
    raw = weight * by_quality * by_alignment
    clipped = min(max(raw, settings.multiplier_min), settings.multiplier_max)
    return Multiplier(raw, clipped, weight, by_quality, by_alignment)
