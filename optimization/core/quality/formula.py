"""The score that needs no training: a weighted mean of the four inputs.

Each share says how much a perfect input lifts the score, so every threshold is reachable and none
is crossed by one input alone: with the default shares and threshold 0.60, one agreeing source
passes where the rest is strong and three do not save a weak signal (D-04).
"""

from __future__ import annotations

from optimization.core.config import QualitySettings
from optimization.core.outcome import QualityInputs


def formula_score(inputs: QualityInputs, settings: QualitySettings) -> float:
    """Return the score in [0, 1], non-decreasing in each input (OPT-09)."""
    score = (
        settings.confidence_share * inputs.confidence
        + settings.confluence_share * inputs.confluence
        + settings.alignment_share * inputs.alignment
        + settings.history_share * inputs.history
    )
    return min(max(score, 0.0), 1.0)


def reachable(
    settings: QualitySettings, confluence: float, alignment: float
) -> tuple[float, float]:
    """Return the lowest and highest score where two inputs are given and two are free."""
    low = formula_score(QualityInputs(0.0, confluence, alignment, 0.0), settings)
    high = formula_score(QualityInputs(1.0, confluence, alignment, 1.0), settings)
    return low, high
