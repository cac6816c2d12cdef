"""Phase 4: whom do we ask under these conditions? (ORC-10)

Criteria: performance (Brier score under this regime, shrunk towards knowing nothing),
reliability (how much evidence there is), regime fit, latency, and a maximum count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from engine.compiled import kernel
from engine.phases.config import PipelineConfig
from engine.scoreboard import ALL_REGIMES, PRIOR_SETTLEMENTS, Scoreboard
from engine.types.bars import FloatColumn, IntColumn
from engine.types.opinions import MarketView, Missing, SourceScore

_PERFORMANCE_WEIGHT = 0.5
_RELIABILITY_WEIGHT = 0.1
_FIT_WEIGHT = 0.3
_LATENCY_WEIGHT = 0.1
# Without a market view a source is neither at home nor abroad.
UNKNOWN_FIT = 0.5
LEFT_OUT = -1
# The group (of phase 6) whose members are heard only as far as they have proven right.
EARNS_ITS_VOICE = 0
# Weights must stay positive: where nobody has a voice yet all are equally silent.
_FAINTEST_VOICE = 0.01


@dataclass(frozen=True, slots=True)
class Standings:
    """What the scoreboard says of every source under one regime; arrays of shape (n_sources,).

    ``known`` is the scoreboard's weight, positive, 1 = knows nothing; ``performance`` in (0, 1),
    0.5 = knows nothing; ``settled`` counts the evidence; ``merit`` is the share of these in the
    score, in [0, 0.6]. ``voice`` in [0, 1] is how much of its lean is believed; ``skill`` is the
    weight in the ensemble: a quieter source weighs less, else its silence would drown the others.
    """

    sources: tuple[str, ...]
    brier: tuple[float | None, ...]
    settled: IntColumn
    known: FloatColumn
    skill: FloatColumn
    performance: FloatColumn
    merit: FloatColumn
    voice: FloatColumn


@dataclass(frozen=True, slots=True)
class Selection:
    """Arrays of shape (n_sources,): each source's score, and its place (0 = best) or LEFT_OUT."""

    scores: FloatColumn
    place: IntColumn
    count: int
    latencies_us: FloatColumn

    @property
    def chosen(self) -> tuple[int, ...]:
        """Indices of the chosen sources, best first."""
        ranked = np.argsort(self.place, kind="stable")
        return tuple(int(i) for i in ranked if self.place[i] != LEFT_OUT)


def regime_key(market: MarketView | Missing) -> str:
    """Return the scoreboard's key: the regime, or all of them where it is not known."""
    return ALL_REGIMES if isinstance(market, Missing) else market.regime.value


def standings(
    scoreboard: Scoreboard, sources: Sequence[str], regime: str, groups: IntColumn | None = None
) -> Standings:
    """Return every source's standing; it changes only when something is settled.

    Sources of group EARNS_ITS_VOICE are believed as far as their realised calibration goes: a
    rule's probability is a guess until outcomes bear it out. Others come calibrated, and go on
    calibrating themselves. Without ``groups`` everybody is believed.

    Raises:
        ValueError: the scoreboard gave a weight that is not positive and finite.
    """
    found = [scoreboard.standing(source, regime) for source in sources]
    weights = [weight for _, weight, _ in found]
    if not all(0.0 < weight < inf for weight in weights):
        raise ValueError(f"weights must be positive and finite, were {weights}")
    earns = [False] * len(sources) if groups is None else (groups == EARNS_ITS_VOICE).tolist()
    voice = [
        scoreboard.slope(source) if must else 1.0
        for source, must in zip(sources, earns, strict=True)
    ]
    return standings_of(
        tuple(sources),
        tuple([brier for _, _, brier in found]),
        np.array([settled for settled, _, _ in found], dtype=np.int64),
        np.array(weights, dtype=np.float64),
        np.array(voice, dtype=np.float64),
    )


def standings_of(
    sources: tuple[str, ...],
    briers: tuple[float | None, ...],
    settled: IntColumn,
    known: FloatColumn,
    voice: FloatColumn,
) -> Standings:
    """Return the standings that follow from what the scoreboard said."""
    performance = known / (1.0 + known)
    reliability = settled / (settled + PRIOR_SETTLEMENTS)
    return Standings(
        sources=sources,
        brier=briers,
        settled=settled,
        known=known,
        skill=known * np.maximum(voice, _FAINTEST_VOICE),
        performance=performance,
        merit=_PERFORMANCE_WEIGHT * performance + _RELIABILITY_WEIGHT * reliability,
        voice=voice,
    )


def select_sources(
    standing: Standings, fits: FloatColumn, latencies_us: FloatColumn, config: PipelineConfig
) -> Selection:
    """Choose at most ``max_sources``, best score first; declared order breaks ties.

    ``fits`` in [0, 1] and ``latencies_us`` follow the sources. A source proven worse than chance,
    or whose score is too low, is left out. Where nobody passes both tests, the best that is not
    proven worse than chance is asked alone; a count of 0 means there is none.
    """
    scores, place, count = select(
        standing.merit,
        standing.performance,
        fits,
        latencies_us,
        config.latency_budget_us,
        config.minimum_performance,
        config.minimum_score,
        config.max_sources,
    )
    # a copy: latencies are measured anew while the sources are asked
    return Selection(scores, place, count, latencies_us.copy())


@kernel
def select(
    merit: FloatColumn,
    performance: FloatColumn,
    fits: FloatColumn,
    latencies_us: FloatColumn,
    budget_us: float,
    minimum_performance: float,
    minimum_score: float,
    max_sources: int,
) -> tuple[FloatColumn, IntColumn, int]:
    """Return each source's score and place, and how many were chosen; see ``select_sources``."""
    n = merit.shape[0]
    scores = np.empty(n)
    place = np.full(n, LEFT_OUT)
    for i in range(n):
        speed = budget_us / (budget_us + latencies_us[i])
        scores[i] = merit[i] + _FIT_WEIGHT * fits[i] + _LATENCY_WEIGHT * speed
    count = 0
    while count < min(max_sources, n):
        best = -1
        for i in range(n):
            fit = place[i] == LEFT_OUT and performance[i] >= minimum_performance
            if fit and (best < 0 or scores[i] > scores[best]):
                best = i
        if best < 0 or (count > 0 and scores[best] < minimum_score):
            break
        place[best] = count
        count += 1
    return scores, place, count


def explain(
    standing: Standings, fits: FloatColumn, selection: Selection, config: PipelineConfig
) -> tuple[SourceScore, ...]:
    """Return each source's score and why it was chosen or left out, in declared order."""
    return tuple(
        SourceScore(
            source=source,
            score=float(selection.scores[i]),
            selected=bool(selection.place[i] != LEFT_OUT),
            brier=standing.brier[i],
            settled=int(standing.settled[i]),
            regime_fit=float(fits[i]),
            skill=float(standing.known[i]),
            voice=float(standing.voice[i]),
            latency_us=float(selection.latencies_us[i]),
            reason=_reason(
                float(standing.performance[i]),
                float(selection.scores[i]),
                int(selection.place[i]),
                config,
            ),
        )
        for i, source in enumerate(standing.sources)
    )


def _reason(performance: float, score: float, place: int, config: PipelineConfig) -> str:
    if place != LEFT_OUT:
        return f"selected at place {place + 1} with score {score:.3f}"
    if performance < config.minimum_performance:
        return (
            f"performance {performance:.3f} below minimum, "
            f"minimum was {config.minimum_performance:.3f}"
        )
    if score < config.minimum_score:
        return f"score {score:.3f} below minimum, minimum was {config.minimum_score:.3f}"
    return f"score {score:.3f} not among the best, places were {config.max_sources}"
