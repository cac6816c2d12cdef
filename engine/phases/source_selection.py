"""Phase 4: whom do we ask under these conditions? (ORC-10)

Criteria: performance (Brier score under this regime, shrunk towards knowing nothing),
reliability (how much evidence there is), regime fit, latency, and a maximum count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.phases.config import PipelineConfig
from engine.scoreboard import ALL_REGIMES, PRIOR_SETTLEMENTS, Scoreboard
from engine.types.opinions import MarketView, Missing, SourceScore

_PERFORMANCE_WEIGHT = 0.5
_RELIABILITY_WEIGHT = 0.1
_FIT_WEIGHT = 0.3
_LATENCY_WEIGHT = 0.1
# Without a market view a source is neither at home nor abroad.
UNKNOWN_FIT = 0.5


@dataclass(frozen=True, slots=True)
class Standing:
    """What the scoreboard says of one source under one regime.

    ``weight`` is positive, 1 = knows nothing; ``performance`` in (0, 1), 0.5 = knows nothing;
    ``reliability`` in [0, 1) grows with the evidence; ``merit`` is their share of the score.
    """

    source: str
    brier: float | None
    settled: int
    weight: float
    performance: float
    reliability: float
    merit: float


@dataclass(frozen=True, slots=True)
class Selection:
    """``chosen`` are indices into the sources, best first; ``scores`` follow the sources."""

    chosen: tuple[int, ...]
    scores: tuple[float, ...]


def regime_key(market: MarketView | Missing) -> str:
    """Return the scoreboard's key: the regime, or all of them where it is not known."""
    return ALL_REGIMES if isinstance(market, Missing) else market.regime.value


def standings(scoreboard: Scoreboard, sources: Sequence[str], regime: str) -> tuple[Standing, ...]:
    """Return every source's standing; it changes only when something is settled."""
    return tuple(_standing(scoreboard, source, regime) for source in sources)


def _standing(scoreboard: Scoreboard, source: str, regime: str) -> Standing:
    settled = scoreboard.settled(source, regime)
    weight = scoreboard.weight(source, regime)
    performance = weight / (1.0 + weight)
    reliability = settled / (settled + PRIOR_SETTLEMENTS)
    return Standing(
        source=source,
        brier=scoreboard.brier(source, regime),
        settled=settled,
        weight=weight,
        performance=performance,
        reliability=reliability,
        merit=_PERFORMANCE_WEIGHT * performance + _RELIABILITY_WEIGHT * reliability,
    )


def select_sources(
    standing: Sequence[Standing],
    fits: Sequence[float],
    latencies_us: Sequence[float],
    config: PipelineConfig,
) -> Selection:
    """Choose at most ``max_sources``, best score first; declared order breaks ties.

    A source proven worse than chance, or whose score is too low, is left out. Where nobody
    passes both tests, the best that is not proven worse than chance is asked alone; an empty
    choice means there is none.
    """
    budget = config.latency_budget_us
    scores = [
        s.merit + _FIT_WEIGHT * fit + _LATENCY_WEIGHT * (budget / (budget + latency))
        for s, fit, latency in zip(standing, fits, latencies_us, strict=True)
    ]
    capable = [i for i, s in enumerate(standing) if s.performance >= config.minimum_performance]
    capable.sort(key=scores.__getitem__, reverse=True)
    chosen = [i for i in capable if scores[i] >= config.minimum_score] or capable[:1]
    return Selection(tuple(chosen[: config.max_sources]), tuple(scores))


def explain(
    standing: Sequence[Standing],
    fits: Sequence[float],
    selection: Selection,
    config: PipelineConfig,
) -> tuple[SourceScore, ...]:
    """Return each source's score and why it was chosen or left out, in declared order."""
    return tuple(
        SourceScore(
            source=s.source,
            score=score,
            selected=index in selection.chosen,
            brier=s.brier,
            settled=s.settled,
            regime_fit=fit,
            reason=_reason(s, score, index in selection.chosen, config),
        )
        for index, (s, fit, score) in enumerate(zip(standing, fits, selection.scores, strict=True))
    )


def _reason(standing: Standing, score: float, selected: bool, config: PipelineConfig) -> str:
    if selected:
        return f"selected with score {score:.3f}"
    if standing.performance < config.minimum_performance:
        return (
            f"performance {standing.performance:.3f} below minimum, "
            f"minimum was {config.minimum_performance:.3f}"
        )
    if score < config.minimum_score:
        return f"score {score:.3f} below minimum, minimum was {config.minimum_score:.3f}"
    return f"score {score:.3f} not among the best, places were {config.max_sources}"
