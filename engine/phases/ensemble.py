"""Phase 6: one probability out of many opinions (ORC-12).

Stacking: probabilities are added as log-odds with non-negative weights that sum to 1.
Hierarchy: rules and learned sources are combined within their group first, so that many rules do
not outvote one predictor by number. Adaptive: weights follow each source's Brier score under the
regime at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log, sqrt

from engine.phases.config import PipelineConfig
from engine.phases.cross_validation import RELIABLE, UNRELIABLE
from engine.types.bars import Instrument
from engine.types.opinions import (
    Consensus,
    MarketView,
    Missing,
    Opinion,
    Proposal,
    ProposalKind,
    Side,
    Validation,
)

ENSEMBLE = "ensemble"
# Log-odds of certainty are infinite; nobody is heard as surer than this.
_SUREST = 1e-6


def combine(
    opinions: Sequence[Opinion],
    groups: Sequence[int],
    skills: Sequence[float],
    settled: Sequence[int],
    verdict: str,
) -> Consensus:
    """Combine at least one opinion.

    ``groups`` number each opinion's group, ``skills`` are its positive scoreboard weights (1 =
    knows nothing), ``settled`` how much evidence it has. The result lies between the lowest and
    the highest opinion, so unanimous opinions come out unchanged. Uncertainty is the standard
    deviation made of disagreement (weighted variance of the opinions) and of thin evidence
    (sampling variance of a frequency seen ``settled`` times), at most 0.5.
    """
    values = [opinion.probability_up for opinion in opinions]
    weights = hierarchical_weights(groups, skills)
    lowest, highest = min(values), max(values)
    if lowest == highest:
        probability = lowest
    else:
        odds = 0.0
        for value, weight in zip(values, weights, strict=True):
            clipped = min(max(value, _SUREST), 1.0 - _SUREST)
            odds += weight * log(clipped / (1.0 - clipped))
        probability = min(max(1.0 / (1.0 + exp(-odds)), lowest), highest)
    variance = 0.0
    up = down = 0
    for value, weight, count in zip(values, weights, settled, strict=True):
        off = value - probability
        variance += weight * off * off + weight * weight * value * (1.0 - value) / (count + 1.0)
        if value > 0.5:
            up += 1
        elif value < 0.5:
            down += 1
    return Consensus(
        probability,
        tuple([opinion.source for opinion in opinions]),
        tuple(weights),
        min(sqrt(variance), 0.5),
        up,
        down,
        verdict == RELIABLE,
    )


def hierarchical_weights(groups: Sequence[int], skills: Sequence[float]) -> list[float]:
    """Return weights that sum to 1: a group gets its members' mean skill, a member its share.

    Raises:
        ValueError: a skill is not positive.
    """
    sums: dict[int, float] = {}
    counts: dict[int, int] = {}
    for group, skill in zip(groups, skills, strict=True):
        if not skill > 0.0:
            raise ValueError(f"skill must be positive, was {skill}")
        sums[group] = sums.get(group, 0.0) + skill
        counts[group] = counts.get(group, 0) + 1
    # share of the group (mean skill over all means) times share in the group (skill over sum):
    # the sum cancels, what remains is skill over the group's size
    total = sum(sums[group] / counts[group] for group in sums)
    return [skill / (counts[group] * total) for group, skill in zip(groups, skills, strict=True)]


def propose_ensemble(
    instrument: Instrument,
    price: float,
    market: MarketView | Missing,
    validation: Validation | None,
    consensus: Consensus | None,
    config: PipelineConfig,
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
    )
