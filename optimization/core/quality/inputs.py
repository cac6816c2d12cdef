"""From a signal to the four numbers it is scored on, each in [0, 1]."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import exp

from engine.types.opinions import REGIMES, MarketView, Missing, Regime
from optimization.core.config import QualitySettings
from optimization.core.errors import UnknownRegime

HOUR_MS = 3_600_000
NEUTRAL = 0.5
# One trade never counts for more than this many R of history, whichever way it went.
_HISTORY_R_CAP = 5.0


def parse_regime(label: str) -> Regime:
    """Return the regime of a label, whatever its case (OPT-10).

    Raises:
        UnknownRegime: the label is none of the four.
    """
    try:
        return Regime(label.strip().upper())
    except ValueError:
        allowed = ", ".join(REGIMES)
        raise UnknownRegime(f"regime was {label!r}, allowed: {allowed}") from None


def confluence_share(sources_agreeing: int) -> float:
    """Return 0, 0.5, 0.75, 0.875 ... for 0, 1, 2, 3 ... sources: each halves the doubt left."""
    return 1.0 - 0.5 ** max(sources_agreeing, 0)


def alignment(market: MarketView | Missing, favourable: Iterable[Regime]) -> float:
    """Return the probability that the market is in a regime the strategy was made for.

    Neutral where the strategy names no regime, or the market is not known.
    """
    liked = frozenset(favourable)
    if not liked or isinstance(market, Missing):
        return NEUTRAL
    pairs = zip(REGIMES, market.regime_probabilities, strict=True)
    return min(sum(p for regime, p in pairs if regime in liked), 1.0)


def history_score(
    results: Sequence[tuple[int, float]], now_ms: int, settings: QualitySettings
) -> float:
    """Return how realised trades speak for the next one: half hit rate, half mean R.

    ``results`` are (closed_at_ms, R). Both parts are pulled towards neutral by ``prior_trades``
    trades; without any it is 0.5. Never falls when a result is better (OPT-80).
    """
    half_life_ms = settings.history_half_life_hours * HOUR_MS
    weight = hits = total_r = 0.0
    for closed_at_ms, r in results:
        counts = 0.5 ** (max(now_ms - closed_at_ms, 0) / half_life_ms)
        weight += counts
        hits += counts if r > 0.0 else 0.0
        total_r += counts * max(min(r, _HISTORY_R_CAP), -_HISTORY_R_CAP)
    prior = settings.prior_trades
    hit_rate = (hits + NEUTRAL * prior) / (weight + prior)
    mean_r = total_r / (weight + prior)
    return 0.5 * hit_rate + 0.5 / (1.0 + exp(-mean_r / settings.r_scale))
