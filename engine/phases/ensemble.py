"""Phase 6: one probability out of many opinions (ORC-12).

Stacking: probabilities are added as log-odds with non-negative weights that sum to 1.
Hierarchy: rules and learned sources are combined within their group first, so that many rules do
not outvote one predictor by number. Adaptive: weights follow each source's Brier score under the
regime at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np

from engine.compiled import kernel
from engine.phases.config import PipelineConfig
from engine.phases.cross_validation import RELIABLE, UNRELIABLE
from engine.types.bars import BoolColumn, FloatColumn, Instrument, IntColumn
from engine.types.opinions import (
    Consensus,
    MarketView,
    Missing,
    Proposal,
    ProposalKind,
    Side,
    Validation,
)

ENSEMBLE = "ensemble"
# Log-odds of certainty are infinite; nobody is heard as surer than this.
_SUREST = 1e-6


def combine(
    sources: Sequence[str],
    probabilities: FloatColumn,
    kept: BoolColumn,
    groups: IntColumn,
    skills: FloatColumn,
    settled: IntColumn,
    verdict: str,
    voice: FloatColumn | None = None,
) -> Consensus | None:
    """Combine the opinions of those ``kept``; None where there is none.

    All follow the sources. ``groups`` number each one's group from 0, ``skills`` are positive
    scoreboard weights (1 = knows nothing), ``settled`` how much evidence there is. ``voice`` in
    [0, 1] is how much of a lean is believed (left out: all of it): what is combined is
    0.5 + voice * (probability - 0.5), so that a source whose lean was never borne out moves
    nothing. The result lies between the lowest and the highest believed opinion: unanimous ones
    come out unchanged. Confluence counts what was said, believed or not. Uncertainty is the
    standard deviation made of disagreement (weighted variance of the opinions) and of thin
    evidence (sampling variance of a frequency seen ``settled`` times), at most 0.5.
    """
    flags = kept.tolist()
    if True not in flags:
        return None
    believed = probabilities if voice is None else 0.5 + voice * (probabilities - 0.5)
    weights, probability, uncertainty = weigh(believed, kept, groups, skills, settled)
    above, below = leanings(probabilities, kept)
    return consensus_of(sources, flags, weights, probability, uncertainty, above, below, verdict)


def consensus_of(
    sources: Sequence[str],
    kept: Sequence[bool],
    weights: FloatColumn,
    probability_up: float,
    uncertainty: float,
    above: int,
    below: int,
    verdict: str,
) -> Consensus:
    """Return phase 6's answer from what ``weigh`` and ``leanings`` found."""
    return Consensus(
        probability_up,
        tuple([source for source, keep in zip(sources, kept, strict=True) if keep]),
        tuple([w for w, keep in zip(weights.tolist(), kept, strict=True) if keep]),
        uncertainty,
        above,
        below,
        verdict == RELIABLE,
    )


@kernel
def leanings(probabilities: FloatColumn, kept: BoolColumn) -> tuple[int, int]:
    """Return how many of those kept lean upwards and downwards, believed or not."""
    above, below = 0, 0
    for i in range(kept.shape[0]):
        if kept[i]:
            above += probabilities[i] > 0.5
            below += probabilities[i] < 0.5
    return above, below


@kernel
def hierarchical_weights(kept: BoolColumn, groups: IntColumn, skills: FloatColumn) -> FloatColumn:
    """Return weights that sum to 1 over those kept, 0 elsewhere.

    A group's share is its members' mean skill, a member's share of it its own skill.
    """
    n = kept.shape[0]
    n_groups = groups.max() + 1
    sums, counts = np.zeros(n_groups), np.zeros(n_groups)
    for i in range(n):
        if kept[i]:
            sums[groups[i]] += skills[i]
            counts[groups[i]] += 1.0
    total = 0.0
    for group in range(n_groups):
        if counts[group] > 0.0:
            total += sums[group] / counts[group]
    weights = np.zeros(n)
    for i in range(n):
        if kept[i]:
            # (mean / total of means) * (skill / sum): the group's sum cancels
            weights[i] = skills[i] / (counts[groups[i]] * total)
    return weights


@kernel
def weigh(
    probabilities: FloatColumn,
    kept: BoolColumn,
    groups: IntColumn,
    skills: FloatColumn,
    settled: IntColumn,
) -> tuple[FloatColumn, float, float]:
    """Return weights, probability and uncertainty of those kept; see ``combine``."""
    weights = hierarchical_weights(kept, groups, skills)
    lowest, highest, odds = 1.0, 0.0, 0.0
    for i in range(kept.shape[0]):
        if kept[i]:
            p = probabilities[i]
            lowest, highest = min(lowest, p), max(highest, p)
            clipped = min(max(p, _SUREST), 1.0 - _SUREST)
            odds += weights[i] * np.log(clipped / (1.0 - clipped))
    probability = min(max(1.0 / (1.0 + np.exp(-odds)), lowest), highest)
    variance = 0.0
    for i in range(kept.shape[0]):
        if kept[i]:
            p, w = probabilities[i], weights[i]
            variance += w * (p - probability) ** 2
            variance += w * w * p * (1.0 - p) / (settled[i] + 1.0)
    return weights, probability, min(np.sqrt(variance), 0.5)


def propose_ensemble(
    instrument: Instrument,
    price: float,
    market: MarketView | Missing,
    validation: Validation | None,
    consensus: Consensus | None,
    config: PipelineConfig,
    bar_close_ms: int = 0,
) -> Proposal | None:
    """Return the ensemble's own entry, None where it has none.

    It enters where the probability of its side reaches ``entry_probability``, enough independent
    sources agree and the verdict is not unreliable. Stop and target are multiples of the
    standard deviation of the move expected over the horizon. Downwards only where the instrument
    can be sold short.
    """
    if consensus is None or validation is None or isinstance(market, Missing):
        return None
    up = consensus.probability_up
    side = Side.BUY if up >= 0.5 else Side.SELL
    probability = up if side is Side.BUY else 1.0 - up
    if probability < config.entry_probability or validation.verdict == UNRELIABLE:
        return None
    if side is Side.SELL and not instrument.shortable:
        return None
    confluence = consensus.confluence(side)
    if confluence < config.min_confluence:
        return None
    sigma = market.volatility_bar_fraction * sqrt(config.horizon_bars)
    stop = side.sign * max(config.stop_sigmas * sigma, config.min_stop_fraction)
    target = side.sign * max(config.target_sigmas * sigma, config.min_stop_fraction)
    return Proposal(
        strategy=ENSEMBLE,
        symbol=instrument.symbol,
        kind=ProposalKind.ENTRY,
        side=side,
        confidence=min(1.0, 2.0 * (probability - 0.5) + 0.5 * validation.agreement),
        price=price,
        stop_price=price * (1.0 - stop),
        target_price=price * (1.0 + target),
        reason_code="ENSEMBLE_ENTRY",
        reason=(
            f"probability {probability:.3f} reached {config.entry_probability:g} with "
            f"{confluence} sources agreeing, needed were {config.min_confluence}"
        ),
        bar_close_ms=bar_close_ms,
    )
