"""The scoreboard of one rule in a compiled walk: is it selected, how much of it is believed?

The same sums as ``engine.scoreboard``, ``engine.forecast`` and ``engine.calibration``, and a test
compares every answer with theirs. A power of two may differ from Python's in its last bit, so a
figure that lies on its limit is not answered (``UNSURE``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.calibration import EVIDENCE, MEMORY_SETTLED, OUTCOME_VARIANCE, PRIOR_SD
from engine.compiled import kernel
from engine.forecast import BLOCK_SETTLED, MIN_BLOCKS, SMOOTHING
from engine.scoreboard import (
    PRIOR_SETTLEMENTS,
    SCORE_SCALE,
    UNINFORMED_BRIER,
    WEIGHT_SHARPNESS,
)
from engine.types.bars import FloatColumn
from engine.types.opinions import REGIMES

LEFT_OUT, SELECTED, UNSURE = 0, 1, 2
# Nearer to its limit than this a figure may be on either side of it.
CLOSE_CALL = 1e-9
ALL = len(REGIMES)
# columns of ``counts``
_SIZE, _OLDEST, _SUM, _FILLED, _SCORED = range(5)
# columns of ``forecasts``; NaN where the forecast has None
_LEVEL, _ERROR, _BASE_ERROR, _BLOCK_SUM, _BASELINE = range(5)


class Scores(NamedTuple):
    """Rings of Brier scores by regime, the last row of all regimes together; see ``Scoreboard``.

    ``rings`` (n_keys, window) in units of SCORE_SCALE, ``counts`` and ``forecasts`` (n_keys, 5),
    ``leans`` the two sums of a ``Calibration``.
    """

    rings: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    forecasts: npt.NDArray[np.float64]
    leans: FloatColumn


def no_scores(window: int) -> Scores:
    """Return the board on which nothing is settled."""
    keys = ALL + 1
    forecasts = np.zeros((keys, 5))
    forecasts[:, (_LEVEL, _BASELINE)] = np.nan
    return Scores(
        np.zeros((keys, window), dtype=np.int64),
        np.zeros((keys, 5), dtype=np.int64),
        forecasts,
        np.zeros(2),
    )


@kernel
def record(scores: Scores, regime: int, probability: float, is_up: bool) -> None:
    """Count one settled opinion."""
    outcome = 1.0 if is_up else 0.0
    lean, keep = probability - 0.5, 1.0 - 1.0 / MEMORY_SETTLED
    scores.leans[0] = keep * scores.leans[0] + lean * (outcome - 0.5)
    scores.leans[1] = keep * scores.leans[1] + lean * lean
    brier = (probability - outcome) * (probability - outcome)
    for key in (regime, ALL):
        _push(scores, key, brier)


@kernel
def _push(scores: Scores, key: int, brier: float) -> None:
    counts, forecast = scores.counts[key], scores.forecasts[key]
    size = counts[_SIZE]
    if counts[_FILLED] == 0:
        forecast[_BASELINE] = counts[_SUM] / (SCORE_SCALE * size) if size > 0 else np.nan
    forecast[_BLOCK_SUM] += brier
    counts[_FILLED] += 1
    if counts[_FILLED] == BLOCK_SETTLED:
        _close_block(counts, forecast)
    score, window = np.int64(np.rint(brier * SCORE_SCALE)), scores.rings.shape[1]
    if size == window:
        oldest = counts[_OLDEST]
        counts[_SUM] -= scores.rings[key, oldest]
        scores.rings[key, oldest] = score
        counts[_OLDEST] = (oldest + 1) % window
    else:
        scores.rings[key, size] = score
        counts[_SIZE] += 1
    counts[_SUM] += score


@kernel
def _close_block(counts: npt.NDArray[np.int64], forecast: FloatColumn) -> None:
    mean = forecast[_BLOCK_SUM] / BLOCK_SETTLED
    forecast[_BLOCK_SUM], counts[_FILLED] = 0.0, 0
    if np.isnan(forecast[_LEVEL]):
        forecast[_LEVEL] = mean
        return
    if not np.isnan(forecast[_BASELINE]):
        counts[_SCORED] += 1
        forecast[_ERROR] += (forecast[_LEVEL] - mean) * (forecast[_LEVEL] - mean)
        forecast[_BASE_ERROR] += (forecast[_BASELINE] - mean) * (forecast[_BASELINE] - mean)
    forecast[_LEVEL] += SMOOTHING * (mean - forecast[_LEVEL])


@kernel
def _shrunk(scores: Scores, key: int, prior: float, believes_forecast: bool) -> float:
    """``believes_forecast`` decides where forecast and running mean are as good as each other."""
    counts, forecast = scores.counts[key], scores.forecasts[key]
    size = counts[_SIZE]
    if size == 0:
        return prior
    expected = counts[_SUM] / SCORE_SCALE
    if counts[_SCORED] >= MIN_BLOCKS:
        ours, theirs = forecast[_ERROR], forecast[_BASE_ERROR]
        is_close = abs(ours - theirs) <= CLOSE_CALL * (ours + theirs)
        if believes_forecast if is_close else ours < theirs:
            expected = forecast[_LEVEL] * size
    return float((expected + PRIOR_SETTLEMENTS * prior) / (size + PRIOR_SETTLEMENTS))


@kernel
def performance(scores: Scores, regime: int, first: bool, second: bool) -> float:
    """Return the rule's performance under a regime, in (0, 1); 0.5 = knows nothing."""
    overall = _shrunk(scores, ALL, UNINFORMED_BRIER, first)
    known = np.exp(WEIGHT_SHARPNESS * (UNINFORMED_BRIER - _shrunk(scores, regime, overall, second)))
    return float(known / (1.0 + known))


@kernel
def selected(scores: Scores, regime: int, minimum: float) -> int:
    """Return whether the rule, asked alone, is selected under a regime; UNSURE on the limit."""
    above, below = 0, 0
    for first in (False, True):
        for second in (False, True):
            found = performance(scores, regime, first, second)
            above += found > minimum + CLOSE_CALL
            below += found < minimum - CLOSE_CALL
    if above == 4:
        return SELECTED
    return LEFT_OUT if below == 4 else UNSURE


@kernel
def voice(scores: Scores) -> float:
    """Return what share of the rule's lean is believed, in [0, 1]."""
    weight = EVIDENCE / OUTCOME_VARIANCE
    precision = 1.0 / (PRIOR_SD * PRIOR_SD) + weight * scores.leans[1]
    return float(min(1.0, max(0.0, weight * scores.leans[0] / precision)))
