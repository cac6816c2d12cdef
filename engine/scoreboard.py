"""How good each source has been lately, under each regime: Brier score and hit rate."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp

from engine.calibration import Calibration, restored_calibration
from engine.forecast import BrierForecast, restored_forecast
from engine.types.decisions import JsonValue, Settlement

# Brier scores are kept as integers of this fraction: sums over a rolling window are then exact
# and a restored board equals the one that was stored.
SCORE_SCALE = 10**12
# A constant 0.5 scores 0.25: the score of knowing nothing.
UNINFORMED_BRIER = 0.25
# Evidence of this many settlements counts as much as the prior (score 0.25).
PRIOR_SETTLEMENTS = 40
# exp(-20 * 0.01) = 0.82: one hundredth of Brier moves the weight by about a fifth.
WEIGHT_SHARPNESS = 20.0
ALL_REGIMES = ""


@dataclass(slots=True)
class _Ring:
    scores: deque[int]
    hits: deque[int]
    score_sum: int = 0
    hit_sum: int = 0
    total: int = 0
    forecast: BrierForecast = field(default_factory=BrierForecast)

    def push(self, score: int, hit: int) -> None:
        if len(self.scores) == self.scores.maxlen:
            self.score_sum -= self.scores[0]
            self.hit_sum -= self.hits[0]
        self.scores.append(score)
        self.hits.append(hit)
        self.score_sum += score
        self.hit_sum += hit
        self.total += 1

    @property
    def mean(self) -> float | None:
        return self.score_sum / (SCORE_SCALE * len(self.scores)) if self.scores else None

    @property
    def expected_sum(self) -> float:
        """The window's scores added up, or what the forecast expects of as many."""
        level = self.forecast.level
        if level is None or not self.forecast.wins:
            return self.score_sum / SCORE_SCALE
        return level * len(self.scores)


def _shrunk(ring: _Ring | None, prior: float) -> float:
    if ring is None:
        return prior
    n = len(ring.scores)
    return (ring.expected_sum + PRIOR_SETTLEMENTS * prior) / (n + PRIOR_SETTLEMENTS)


def _ring(window: int) -> _Ring:
    return _Ring(deque(maxlen=window), deque(maxlen=window))


@dataclass(slots=True)
class Scoreboard:
    """Rolling scores of the last ``window`` settlements per (source, regime) and per source.

    Updates and reads take constant time. ``regime`` is a Regime value; left out, all regimes
    count together. Unknown keys answer None (scores) or 0 (counts), never an invented number.
    """

    window: int = 200
    _rings: dict[tuple[str, str], _Ring] = field(default_factory=dict)
    _calibrations: dict[str, Calibration] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ValueError(f"scoreboard window must be at least 1, was {self.window}")

    def record(self, settlement: Settlement) -> None:
        """Count one settled opinion.

        Raises:
            ValueError: the Brier score is not within [0, 1].
        """
        brier, source, probability = settlement.brier, settlement.source, settlement.probability_up
        if not 0.0 <= brier <= 1.0:
            raise ValueError(f"Brier score of {source} must be in [0, 1], was {brier}")
        known = self._calibrations.get(source)
        if known is None:
            known = self._calibrations[source] = Calibration()
        known.record(probability, settlement.outcome_up)
        score = round(brier * SCORE_SCALE)
        # 0.5 takes no side; it is half a hit, so that silence is neither praised nor blamed.
        if probability == 0.5:
            hit = 1
        else:
            hit = 2 if (probability > 0.5) == (settlement.outcome_up == 1) else 0
        for key in ((source, settlement.regime), (source, ALL_REGIMES)):
            ring = self._rings.get(key)
            if ring is None:
                ring = self._rings[key] = _ring(self.window)
            ring.forecast.push(brier, ring.mean)
            ring.push(score, hit)

    def brier(self, source: str, regime: str = ALL_REGIMES) -> float | None:
        """Return the mean Brier score over the window in [0, 1]; None before any settlement."""
        ring = self._rings.get((source, regime))
        return None if ring is None else ring.mean

    def forecast(self, source: str, regime: str = ALL_REGIMES) -> BrierForecast:
        """Return the forecast of a source's next scores; an empty one where nothing is settled."""
        ring = self._rings.get((source, regime))
        return BrierForecast() if ring is None else ring.forecast

    def hit_rate(self, source: str, regime: str = ALL_REGIMES) -> float | None:
        """Return the share of settlements on the right side; an opinion of 0.5 counts half."""
        ring = self._rings.get((source, regime))
        return None if ring is None else ring.hit_sum / (2 * len(ring.hits))

    def settled(self, source: str, regime: str = ALL_REGIMES) -> int:
        """Return how many settlements the window holds."""
        ring = self._rings.get((source, regime))
        return 0 if ring is None else len(ring.scores)

    def settled_ever(self, source: str, regime: str = ALL_REGIMES) -> int:
        """Return how many settlements were ever recorded."""
        ring = self._rings.get((source, regime))
        return 0 if ring is None else ring.total

    def slope(self, source: str) -> float:
        """Return how far the source's lean was borne out, in [0, 1]; 0 before any settlement."""
        known = self._calibrations.get(source)
        return 0.0 if known is None else known.slope()

    def weight(self, source: str, regime: str = ALL_REGIMES) -> float:
        """Return a positive weight: 1 = knows nothing or unknown, above 1 = better than chance.

        The regime's Brier score is shrunk to the source's score over all regimes and that to
        0.25, each by PRIOR_SETTLEMENTS, so a lucky handful of opinions moves little. Where the
        forecast has beaten the mean of the window, it stands in its place (ORC-83).
        """
        return self.standing(source, regime)[1]

    def standing(self, source: str, regime: str) -> tuple[int, float, float | None]:
        """Return ``settled``, ``weight`` and ``brier`` of a source, looked up once."""
        rings = self._rings
        overall = rings.get((source, ALL_REGIMES))
        ring = overall if regime == ALL_REGIMES else rings.get((source, regime))
        shrunk = _shrunk(overall, UNINFORMED_BRIER)
        if ring is not overall:
            shrunk = _shrunk(ring, shrunk)
        weight = exp(WEIGHT_SHARPNESS * (UNINFORMED_BRIER - shrunk))
        return (0, weight, None) if ring is None else (len(ring.scores), weight, ring.mean)

    def sources(self) -> tuple[str, ...]:
        """Return everybody who was ever scored, in order."""
        return tuple(sorted({source for source, _ in self._rings}))

    def regimes(self, source: str) -> tuple[str, ...]:
        """Return the regimes a source was scored under, in order."""
        return tuple(sorted(r for s, r in self._rings if s == source and r != ALL_REGIMES))

    def forget(self, source: str) -> None:
        """Drop a source's scores: they were another model's."""
        self._rings = {key: ring for key, ring in self._rings.items() if key[0] != source}
        self._calibrations.pop(source, None)

    def rename(self, names: Mapping[str, str]) -> None:
        """Give scores to other names, all at once; scores of a name taken over are forgotten.

        After a promotion the champion's name stands for the model that was the challenger, and
        its scores are those the challenger earned in the shadow.
        """
        gone = set(names) | set(names.values())
        kept = {key: ring for key, ring in self._rings.items() if key[0] not in gone}
        moved = {
            (names[source], regime): ring
            for (source, regime), ring in self._rings.items()
            if source in names
        }
        self._rings = {**kept, **moved}
        slopes = self._calibrations
        self._calibrations = {s: c for s, c in slopes.items() if s not in gone}
        self._calibrations.update({names[s]: c for s, c in slopes.items() if s in names})

    def state(self) -> dict[str, JsonValue]:
        """Return everything as JSON values; ``restore`` of it gives an equal board."""
        rings: list[JsonValue] = [
            {
                "source": source,
                "regime": regime,
                "scores": list(ring.scores),
                "hits": list(ring.hits),
                "total": ring.total,
                "forecast": ring.forecast.state(),
            }
            for (source, regime), ring in sorted(self._rings.items())
        ]
        calibrations: dict[str, JsonValue] = {
            source: calibration.state()
            for source, calibration in sorted(self._calibrations.items())
        }
        return {"window": self.window, "rings": rings, "calibrations": calibrations}

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Replace everything by a stored state; another window keeps its newest settlements.

        Raises:
            ValueError: the state is not one that ``state`` wrote; nothing is changed then.
        """
        rows = state.get("rings")
        if not isinstance(rows, list):
            raise ValueError(f"scoreboard state must have a list of rings, was {rows!r}")
        rings: dict[tuple[str, str], _Ring] = {}
        for row in rows:
            key, ring = _restored(row, self.window)
            rings[key] = ring
        # a state stored before there were any has none: they are learned anew
        slopes = state.get("calibrations", {})
        if not isinstance(slopes, dict):
            raise ValueError(f"scoreboard calibrations must be a mapping, was {slopes!r}")
        calibrations = {source: restored_calibration(row) for source, row in slopes.items()}
        self._rings, self._calibrations = rings, calibrations


def _restored(row: JsonValue, window: int) -> tuple[tuple[str, str], _Ring]:
    if not isinstance(row, dict):
        raise ValueError(f"scoreboard ring must be a mapping, was {row!r}")
    source, regime, total = row.get("source"), row.get("regime"), row.get("total")
    scores, hits = _integers(row.get("scores"), SCORE_SCALE), _integers(row.get("hits"), 2)
    if not isinstance(source, str) or not isinstance(regime, str) or not isinstance(total, int):
        raise ValueError(f"scoreboard ring must name source, regime and total, was {row!r}")
    if len(scores) != len(hits) or not scores or total < len(scores):
        raise ValueError(f"ring {source}/{regime} has {len(scores)} scores, {len(hits)} hits")
    ring = _ring(window)
    for score, hit in zip(scores, hits, strict=True):
        ring.push(score, hit)
    ring.total = total
    ring.forecast = restored_forecast(row.get("forecast"))
    return (source, regime), ring


def _integers(value: JsonValue, highest: int) -> list[int]:
    if not isinstance(value, list):
        raise ValueError(f"scoreboard ring must hold lists, was {value!r}")
    result = [item for item in value if type(item) is int and 0 <= item <= highest]
    if len(result) != len(value):
        raise ValueError(f"scoreboard ring must hold integers in 0..{highest}")
    return result
