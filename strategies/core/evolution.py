"""When a trained model may speak: the rules of compare, try, promote and roll back (ORC-16).

Pure values in, moves out. The database and a replay keep the table each in their own way and
both ask here. Every judgement is a one-sided paired test on the difference of log losses with an
error that allows for overlapping horizons. Who is to vote must beat the champion and, where that
one is worse than a coin, the coin too: a constant forecast on the same rows.

Source: Diebold, Mariano (1995) with the Newey-West (1987) variance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, erfc, sqrt

import numpy as np

from engine.types.bars import FloatColumn, IntColumn
from engine.types.decisions import JsonValue
from strategies.core.errors import StrategyError

# What says nothing; the untrained champion says it throughout.
COIN = 0.5
# Nobody is punished as if surer than this: one bad bar must not decide a trial.
_SUREST = 1e-3
_SEATED = "bars settled since it was seated"


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

    def against(self, constant: float) -> Pairs:
        """Return the challenger beside a forecast that always says ``constant``, in (0, 1)."""
        return Pairs(self.at_ms, np.full(len(self), constant), self.challenger, self.outcome_up)

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
    challenger is better; ``error`` its standard error; ``p_better`` and ``p_worse`` one-sided.
    The mean log losses themselves are None without a row; 0.6931 is that of a coin."""

    n: int
    gain: float
    error: float
    p_better: float
    p_worse: float
    champion_loss: float | None = None
    challenger_loss: float | None = None

    def is_better(self, alpha: float) -> bool:
        return self.gain > 0.0 and self.p_better < alpha

    def evidence(self) -> dict[str, JsonValue]:
        return {
            "n": self.n,
            "log_loss_gain": self.gain,
            "standard_error": self.error,
            "p_better": self.p_better,
            "p_worse": self.p_worse,
            "champion_loss": self.champion_loss,
            "challenger_loss": self.challenger_loss,
        }

    def sentence(self, other: str, rows: str) -> str:
        """Say against whom and on which rows: ``other`` and ``rows`` name them."""
        ours, theirs = _loss(self.challenger_loss), _loss(self.champion_loss)
        return (
            f"log loss {ours} against {theirs} of {other},"
            f" better by {self.gain:+.5f} +- {self.error:.5f} on {self.n} {rows},"
            f" p {self.p_better:.4f}"
        )


def _loss(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"


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
    if not len(pairs):
        return Comparison(0, 0.0, 0.0, 1.0, 1.0)
    theirs, ours = (log_loss(said, pairs.outcome_up) for said in (pairs.champion, pairs.challenger))
    _, moment = np.unique(pairs.at_ms, return_inverse=True)
    n_moments = int(moment.max()) + 1
    rows_of = np.bincount(moment)
    losses = tuple(float((np.bincount(moment, x) / rows_of).mean()) for x in (theirs, ours))
    if n_moments < 20:
        return Comparison(len(pairs), 0.0, 0.0, 1.0, 1.0, *losses)
    d = np.bincount(moment, theirs - ours) / rows_of
    gain = float(d.mean())
    error = sqrt(_long_run_variance(d - gain, overlap) / n_moments)
    if error <= 0.0:
        return Comparison(len(pairs), gain, 0.0, 1.0, 1.0, *losses)
    z = gain / error
    return Comparison(len(pairs), gain, error, _upper_tail(z), _upper_tail(-z), *losses)


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
    table: Table,
    version: str,
    pairs: Pairs,
    overlap: int,
    rules: EvolutionRules,
    base_rate: float = COIN,
) -> Move:
    """Give a candidate the challenger's seat where it beats the champion on rows neither saw.

    It must beat the coin there too, and ``base_rate``: the share of ups it was trained on.
    """
    found = compare(pairs, overlap)
    said = found.sentence(_champion(table), "newest rows kept out of both trainings")
    constant, alone = _constant(pairs, overlap, {"0.5": COIN, "the base rate": base_rate})
    stage, reason = ModelStage.DISCARDED, ""
    if table.trial:
        reason = f"no seat is free: {table.trial}"
    elif len(pairs) < rules.min_holdout_rows:
        reason = f"{len(pairs)} rows that neither saw, needed were {rules.min_holdout_rows}"
    elif not found.is_better(rules.alpha):
        reason = f"not better out of sample: {said}, needed was {rules.alpha:g}"
    elif not alone.is_better(rules.alpha):
        reason = f"{_no_better_than(constant, alone, rules.alpha)}; {said}"
    else:
        stage, reason = ModelStage.CHALLENGER, f"better out of sample: {said}"
    evidence = found.evidence() | _alone(alone)
    return Move(version, ModelStage.CANDIDATE, stage, reason, evidence)


def _champion(table: Table) -> str:
    return "the champion" if table.champion else "the untrained champion, which says 0.5"


def _constant(pairs: Pairs, overlap: int, constants: Mapping[str, float]) -> tuple[str, Comparison]:
    """Return the constant forecast that is hardest to beat on these rows, and how it was."""
    found = {name: compare(pairs.against(value), overlap) for name, value in constants.items()}
    name = max(found, key=lambda one: found[one].p_better)
    return name, found[name]


def _no_better_than(constant: str, alone: Comparison, alpha: float) -> str:
    return (
        f"no better than always saying {constant} (log loss {_loss(alone.challenger_loss)} against"
        f" {_loss(alone.champion_loss)}, p {alone.p_better:.4f}, needed was {alpha:.3g})"
    )


def _alone(alone: Comparison) -> dict[str, JsonValue]:
    return {"constant_loss": alone.champion_loss, "p_better_than_constant": alone.p_better}


def judge_trial(
    table: Table, pairs: Pairs, overlap: int, rules: EvolutionRules
) -> tuple[Move, ...]:
    """Promote or discard the challenger; nothing while its trial goes on.

    To be promoted it must beat the champion and the coin on the bars since it was seated.

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
        alone = compare(pairs.first(size).against(COIN), overlap)
        said = found.sentence(_champion(table), _SEATED)
        if found.is_better(alpha) and alone.is_better(alpha):
            return _promotion(table, challenger, said, found.evidence() | _alone(alone))
        if found.gain < 0.0 and found.p_worse < alpha:
            return (_discard(challenger, f"worse in the shadow: {said}", found),)
    reason = f"not better after {rules.looks[-1]} settled bars: {said}"
    if found.is_better(alpha):
        reason = f"{_no_better_than('0.5', alone, alpha)}; {said}"
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
        said = found.sentence("the new champion", _SEATED)
        numbers = found.evidence()
        if found.is_better(alpha):
            reason = f"rolled back: the old champion is better, {said}"
            return (
                Move(table.champion, ModelStage.CHAMPION, ModelStage.DISCARDED, reason, numbers),
                Move(guard, ModelStage.GUARD, ModelStage.CHAMPION, reason, numbers),
            )
    reason = f"probation passed: the old champion was not better, {said}"
    return (Move(guard, ModelStage.GUARD, ModelStage.RETIRED, reason, numbers),)


def _promotion(
    table: Table, challenger: str, said: str, numbers: dict[str, JsonValue]
) -> tuple[Move, ...]:
    reason = f"better in the shadow too: {said}"
    return (
        Move(table.champion, ModelStage.CHAMPION, ModelStage.GUARD, reason, numbers),
        Move(challenger, ModelStage.CHALLENGER, ModelStage.CHAMPION, reason, numbers),
    )


def _discard(version: str, reason: str, found: Comparison) -> Move:
    return Move(version, ModelStage.CHALLENGER, ModelStage.DISCARDED, reason, found.evidence())
