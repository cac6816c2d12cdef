"""Between probabilities and log-odds, both ways without overflow."""

from __future__ import annotations

from math import exp, log

import numpy as np

from engine.types.bars import FloatColumn

# Beyond these odds (about 1 in 3 million) a logit is an error, not a belief.
MAX_LOGIT = 15.0


def probability_of(logit: float) -> float:
    """Return the probability of log-odds, which are held within +-MAX_LOGIT."""
    return 1.0 / (1.0 + exp(-min(MAX_LOGIT, max(-MAX_LOGIT, logit))))


def logit_of(probability: float) -> float:
    """Return the log-odds of a probability, held within +-MAX_LOGIT; NaN stays NaN."""
    if probability != probability:
        return probability
    if probability <= 0.0:
        return -MAX_LOGIT
    if probability >= 1.0:
        return MAX_LOGIT
    return min(MAX_LOGIT, max(-MAX_LOGIT, log(probability / (1.0 - probability))))


def probabilities_of(logits: FloatColumn) -> FloatColumn:
    """Return ``probability_of`` each."""
    result: FloatColumn = 1.0 / (1.0 + np.exp(-np.clip(logits, -MAX_LOGIT, MAX_LOGIT)))
    return result


def logits_of(probabilities: FloatColumn) -> FloatColumn:
    """Return ``logit_of`` each."""
    low = 1.0 / (1.0 + np.exp(MAX_LOGIT))
    clipped = np.clip(probabilities, low, 1.0 - low)
    result: FloatColumn = np.log(clipped / (1.0 - clipped))
    return result
