"""When a trained model may speak: the rules of compare, try, promote and roll back (ORC-16).

Pure values in, moves out. The database and a replay keep the table each in their own way and
both ask here. Every judgement is a one-sided paired test on the difference of log losses with an
error that allows for overlapping horizons.

Source: Diebold, Mariano (1995) with the Newey-West (1987) variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, erfc, sqrt

import numpy as np

from engine.types.bars import FloatColumn, IntColumn
from engine.types.decisions import JsonValue
from strategies.core.errors import StrategyError

# Nobody is punished as if surer than this: one bad bar must not decide a trial.
_SUREST = 1e-3


class ModelStage(StrEnum):
    """A model's way: CANDIDATE, then CHALLENGER (asked, no vote), then CHAMPION (votes). The
    champion it replaced stays as GUARD for a probation."""

    CANDIDATE = "CANDIDATE"
    CHALLENGER = "CHALLENGER"
    CHAMPION = "CHAMPION"
    GUARD = "GUARD"
    DISCARDED = "DISCARDED"
    RETIRED = "RETIRED"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolutionRules:
    """``looks`` and ``probation`` are counts of settled bars at which a trial is looked at; each
    look spends an equal share of ``alpha`` (Bonferroni), so that looking often finds nothing by
    itself. A candidate is worth its training once ``min_new_bars`` have closed since the last
    one, and a share ``growth`` of those it saw.
    """

    alpha: float = 0.05
    looks: tuple[int, ...] = (100, 200, 400)
    probation: tuple[int, ...] = (100, 200, 400)
    min_holdout_rows: int = 200
    min_new_bars: int = 2_000
    growth: float = 0.25

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha < 0.5:
            raise StrategyError(f"alpha must be in (0, 0.5), was {self.alpha}")
        for name in ("looks", "probation"):
            sizes = getattr(self, name)
            if not sizes or list(sizes) != sorted(set(sizes)) or sizes[0] < 20:
                raise StrategyError(f"{name} must rise from 20 or more, was {sizes}")

    def is_worth_training(self, bars_now: int, bars_then: int | None) -> bool:
        """True where enough is new since the last candidate saw ``bars_then`` bars of a symbol;
        None means there was none."""
        if bars_then is None:
            return True
        return bars_now - bars_then >= max(self.min_new_bars, self.growth * bars_then)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two models' probabilities on the same rows, in time order; all of shape (n_rows,)."""

    at_ms: IntColumn
    champion: FloatColumn
    challenger: FloatColumn
    outcome_up: IntColumn

    def first(self, n_rows: int) -> Pairs:
        return Pairs(
            self.at_ms[:n_rows],
            self.champion[:n_rows],
            self.challenger[:n_rows],
            self.outcome_up[:n_rows],
        )

    def __len__(self) -> int:
        return int(self.at_ms.shape[0])


@dataclass(frozen=True, slots=True)
class Comparison:
    """``gain`` is the champion's mean log loss less the challenger's, above 0 where the
    challenger is better; ``error`` its standard error; ``p_better`` and ``p_worse`` one-sided."""

    n: int
    gain: float
    error: float
    p_better: float
    p_worse: float

    def evidence(self) -> dict[str, JsonValue]:
        return {
            "n": self.n,
            "log_loss_gain": self.gain,
            "standard_error": self.error,
            "p_better": self.p_better,
            "p_worse": self.p_worse,
        }

    def sentence(self) -> str:
        return (
            f"log loss better by {self.gain:+.5f} +- {self.error:.5f} on {self.n} rows, "
            f"p {self.p_better:.4f}"
        )


def log_loss(probabilities: FloatColumn, outcome_up: IntColumn) -> FloatColumn:
    """Return each row's log loss, shape (n_rows,)."""
    p = np.clip(probabilities, _SUREST, 1.0 - _SUREST)
    losses: FloatColumn = -np.where(outcome_up == 1, np.log(p), np.log(1.0 - p))
    return losses


def compare(pairs: Pairs, overlap: int) -> Comparison:
    """Test whether the challenger is better, and whether it is worse.

    Rows of one moment (several symbols) count as one, for they share its shocks; moments closer
    than ``overlap`` share part of their horizon. Fewer than 20 moments prove nothing: both p 1.
    """
    if overlap < 1:
        raise StrategyError(f"overlap must be at least 1, was {overlap}")
    better_by = log_loss(pairs.champion, pairs.outcome_up) - log_loss(
        pairs.challenger, pairs.outcome_up
    )
    _, moment = np.unique(pairs.at_ms, return_inverse=True)
    n_moments = int(moment.max()) + 1 if len(pairs) else 0
    if n_moments < 20:
        return Comparison(len(pairs), 0.0, 0.0, 1.0, 1.0)
    d = np.bincount(moment, better_by) / np.bincount(moment)
    gain = float(d.mean())
    error = sqrt(_long_run_variance(d - gain, overlap) / n_moments)
    if error <= 0.0:
        return Comparison(len(pairs), gain, 0.0, 1.0, 1.0)
    z = gain / error
    return Comparison(len(pairs), gain, error, _upper_tail(z), _upper_tail(-z))


def overlap_of(at_ms: IntColumn, horizon_ms: float) -> int:
    """Return how many moments in a row share part of their horizon; 1 where they do not."""
    spacing = np.diff(np.unique(at_ms))
    return max(1, ceil(horizon_ms / float(np.median(spacing)))) if len(spacing) else 1


def _long_run_variance(centred: FloatColumn, overlap: int) -> float:
    n = centred.shape[0]
    # Bartlett weights halve what lies at half the lag: twice the overlap keeps most of it
    lags = min(2 * overlap + round(n ** (1.0 / 3.0)), n // 3)
    total = float(centred @ centred) / n
    for lag in range(1, lags + 1):
        weight = 1.0 - lag / (lags + 1.0)
        total += 2.0 * weight * float(centred[lag:] @ centred[:-lag]) / n
    # fewer degrees of freedom than rows: the same mean and lags were taken from them
    return float(total * n / (n - lags - 1))


def _upper_tail(z: float) -> float:
    return float(0.5 * erfc(z / sqrt(2.0)))


# -- moves -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Move:
    """One step of one model, named by its version, with the numbers that led to it."""

    version: str
    from_stage: ModelStage
    to_stage: ModelStage
    reason: str
    evidence: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Table:
    """Who sits for one code; versions, "" for a champion that was never trained."""

    champion: str = ""
    challenger: str | None = None
    guard: str | None = None

    @property
    def trial(self) -> str:
        """Say what is being tried; empty where a candidate may take a seat."""
        if self.challenger is not None:
            return f"challenger {self.challenger} is in its trial"
        if self.guard is not None:
            return f"champion {self.champion} is on probation"
        return ""

    def after(self, moves: Sequence[Move]) -> Table:
        """Return the table once the moves are made."""
        seats: dict[ModelStage, str | None] = {
            ModelStage.CHAMPION: self.champion,
            ModelStage.CHALLENGER: self.challenger,
            ModelStage.GUARD: self.guard,
        }
        for move in moves:
            if seats.get(move.from_stage) == move.version:
                seats[move.from_stage] = None
        for move in moves:
            if move.to_stage in seats:
                seats[move.to_stage] = move.version
        champion = seats[ModelStage.CHAMPION]
        if champion is None:
            raise StrategyError("a table must keep a champion, was left without one")
        return Table(champion, seats[ModelStage.CHALLENGER], seats[ModelStage.GUARD])


def judge_candidate(
    table: Table, version: str, pairs: Pairs, overlap: int, rules: EvolutionRules
) -> Move:
    """Give a candidate the challenger's seat where it beats the champion on rows neither saw."""
    found = compare(pairs, overlap)
    stage, reason = ModelStage.DISCARDED, ""
    if table.trial:
        reason = f"no seat is free: {table.trial}"
    elif len(pairs) < rules.min_holdout_rows:
        reason = f"{len(pairs)} rows that neither saw, needed were {rules.min_holdout_rows}"
    elif found.gain > 0.0 and found.p_better < rules.alpha:
        stage, reason = ModelStage.CHALLENGER, f"better out of sample: {found.sentence()}"
    else:
        reason = f"not better out of sample: {found.sentence()}, needed was {rules.alpha:g}"
    return Move(version, ModelStage.CANDIDATE, stage, reason, found.evidence())


def judge_trial(
    table: Table, pairs: Pairs, overlap: int, rules: EvolutionRules
) -> tuple[Move, ...]:
    """Promote or discard the challenger; nothing while its trial goes on.

    Each look takes the first rows of its count and no more, so it is the same however often, and
    however late, it is asked for.
    """
    challenger = table.challenger
    if challenger is None:
        return ()
    alpha = rules.alpha / len(rules.looks)
    for size in rules.looks:
        if len(pairs) < size:
            return ()
        found = compare(pairs.first(size), overlap)
        if found.gain > 0.0 and found.p_better < alpha:
            return _promotion(table, challenger, found)
        if found.gain < 0.0 and found.p_worse < alpha:
            return (_discard(challenger, f"worse in the shadow: {found.sentence()}", found),)
    reason = f"not better after {rules.looks[-1]} settled bars: {found.sentence()}"
    return (_discard(challenger, reason, found),)


def judge_probation(
    table: Table, pairs: Pairs, overlap: int, rules: EvolutionRules
) -> tuple[Move, ...]:
    """Confirm the new champion, or bring the old one back; nothing while the probation goes on.

    ``pairs.challenger`` are the guard's: the old champion is tried as a challenger is.
    """
    guard = table.guard
    if guard is None:
        return ()
    alpha = rules.alpha / len(rules.probation)
    for size in rules.probation:
        if len(pairs) < size:
            return ()
        found = compare(pairs.first(size), overlap)
        if found.gain > 0.0 and found.p_better < alpha:
            reason = f"rolled back: the old champion is better, {found.sentence()}"
            return (
                _move(table.champion, ModelStage.CHAMPION, ModelStage.DISCARDED, reason, found),
                _move(guard, ModelStage.GUARD, ModelStage.CHAMPION, reason, found),
            )
    reason = f"probation passed: the old champion was not better, {found.sentence()}"
    return (_move(guard, ModelStage.GUARD, ModelStage.RETIRED, reason, found),)


def _promotion(table: Table, challenger: str, found: Comparison) -> tuple[Move, ...]:
    reason = f"better in the shadow too: {found.sentence()}"
    return (
        _move(table.champion, ModelStage.CHAMPION, ModelStage.GUARD, reason, found),
        _move(challenger, ModelStage.CHALLENGER, ModelStage.CHAMPION, reason, found),
    )


def _discard(version: str, reason: str, found: Comparison) -> Move:
    return _move(version, ModelStage.CHALLENGER, ModelStage.DISCARDED, reason, found)


def _move(
    version: str, from_stage: ModelStage, to_stage: ModelStage, reason: str, found: Comparison
) -> Move:
    return Move(version, from_stage, to_stage, reason, found.evidence())
