"""What may be said of each source: its figures against two references, corrected for their number.

The base rate alone is no fair reference. A running mean of overlapping outcomes strays from even
chances, and on a series that tells nothing every probability near 0.5 is then better than it, not
by luck but for certain. So "beats" asks for better than the base rate *and* even chances. And many
sources are judged at once: with each at 2.5 % some would win by luck; Holm's correction holds the
chance of even one false word over all sources of a file at 2.5 % a direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import erfc, isfinite, nan, sqrt

import numpy as np
from numpy.random import PCG64, Generator

from engine.types.bars import FloatColumn, IntColumn
from engine.types.decisions import JsonValue
from strategies.core.training.metrics import (
    Difference,
    Estimate,
    Metrics,
    log_losses,
    mean_difference,
    measure,
)

BASE_RATE = "base-rate"
# One-sided: what a two-sided 95 % interval leaves on one side.
FALSE_ALARM = 0.025
# Opinions overlap over a horizon. Blocks of b horizons see 1 - 1 / (3 b) of the variance of sums
# of such overlapping outcomes: six see 94 %, two see 83 %.
BLOCK_HORIZONS = 6


@dataclass(frozen=True, slots=True)
class Answers:
    """Out-of-sample probabilities of every source on the same rows, each of shape (n_rows,)."""

    kinds: Mapping[str, str]
    probability_up: Mapping[str, FloatColumn]
    outcome_up: IntColumn
    return_log: FloatColumn
    ts_ms: IntColumn
    n_trainings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceResult:
    """One source against base rate and even chances; a negative difference of log loss is better.

    ``chance_better`` and ``chance_worse`` are one-sided p-values, corrected for the ``n_judged``
    sources: of being better than both references, and of being worse than the base rate. NaN
    where undefined, and for the base rate itself.
    """

    name: str
    kind: str
    metrics: Metrics
    against_base_rate: Estimate
    against_even_chances: Estimate
    chance_better: float
    chance_worse: float
    n_judged: int

    @property
    def verdict(self) -> str:
        """Return ``beats``, ``does not beat``, proven worse ``loses to``; the base rate ``is``."""
        if self.name == BASE_RATE:
            return "is"
        if self.chance_better < FALSE_ALARM:
            return "beats"
        return "loses to" if self.chance_worse < FALSE_ALARM else "does not beat"

    @property
    def sentence(self) -> str:
        """Return the verdict in words with its numbers."""
        gap, even = self.against_base_rate, self.against_even_chances
        numbers = (
            f"log loss difference {gap.value:+.5f}, 95 % interval {gap.low:+.5f} to "
            f"{gap.high:+.5f}; to even chances {even.value:+.5f}"
        )
        if self.verdict != "is":
            worse = self.verdict == "loses to"
            chance = self.chance_worse if worse else self.chance_better
            numbers += f"; p {chance:.4f} corrected for {self.n_judged} sources"
        return f"{self.name} {self.verdict} the base rate ({numbers})"

    def as_json(self) -> dict[str, JsonValue]:
        """Return name, kind, every figure, and the comparisons."""
        plain: dict[str, JsonValue] = {"name": self.name, "kind": self.kind}
        plain.update(self.metrics.as_json())
        plain["log_loss_difference"] = self.against_base_rate.value
        plain["log_loss_difference_interval"] = self.against_base_rate.interval
        plain["even_chances_difference"] = self.against_even_chances.value
        plain["even_chances_difference_interval"] = self.against_even_chances.interval
        plain["p_better"] = self.chance_better if isfinite(self.chance_better) else None
        plain["p_worse"] = self.chance_worse if isfinite(self.chance_worse) else None
        plain["sources_judged"] = self.n_judged
        plain["verdict"] = self.verdict
        plain["sentence"] = self.sentence
        return plain


def results(answers: Answers, horizon_bars: int, seed: int) -> tuple[SourceResult, ...]:
    """Return every source's figures and how it stands against the base rate, in asked order."""
    block_rows = BLOCK_HORIZONS * horizon_bars
    names = list(answers.probability_up)
    base, even = _differences(answers, block_rows, seed)
    judged = [name for name in names if name != BASE_RATE]
    better = holm([max(_below(base[n]), _below(even[n])) for n in judged])
    worse = holm([_above(base[n]) for n in judged])
    chances = dict(zip(judged, zip(better, worse, strict=True), strict=True))
    return tuple(
        SourceResult(
            name=name,
            kind=answers.kinds[name],
            metrics=measure(
                answers.probability_up[name],
                answers.outcome_up,
                answers.return_log,
                block_rows=block_rows,
                # the same draws for every source: differences between them are not of the dice
                rng=Generator(PCG64(seed)),
            ),
            against_base_rate=base[name].estimate,
            against_even_chances=even[name].estimate,
            chance_better=chances.get(name, (nan, nan))[0],
            chance_worse=chances.get(name, (nan, nan))[1],
            n_judged=len(judged),
        )
        for name in names
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values of which the chance of even one false one below a is at most a.

    In the order given, each in [0, 1]; valid however the tests depend on each other. NaN counts
    as 1. Source: Holm (1979).
    """
    n = len(p_values)
    p = [value if isfinite(value) else 1.0 for value in p_values]
    corrected, highest = [0.0] * n, 0.0
    for rank, at in enumerate(sorted(range(n), key=p.__getitem__)):
        highest = max(highest, min(1.0, (n - rank) * p[at]))
        corrected[at] = highest
    return corrected


def _differences(
    answers: Answers, block_rows: int, seed: int
) -> tuple[dict[str, Difference], dict[str, Difference]]:
    """Return each source's difference of log loss to the base rate and to even chances."""
    outcome_up, said = answers.outcome_up, answers.probability_up
    losses = {name: log_losses(p, outcome_up) for name, p in said.items()}
    even = log_losses(np.full(len(outcome_up), 0.5), outcome_up)

    def to(reference: FloatColumn) -> dict[str, Difference]:
        return {
            name: mean_difference(
                loss, reference, block_rows=block_rows, rng=Generator(PCG64(seed))
            )
            for name, loss in losses.items()
        }

    return to(losses[BASE_RATE]), to(even)


def _below(difference: Difference) -> float:
    """Return the chance of so low a difference where the true one is 0; 1 without any spread."""
    error, value = difference.standard_error, difference.estimate.value
    if not error > 0.0:
        return 1.0
    return 0.5 * erfc(-value / error / sqrt(2.0))


def _above(difference: Difference) -> float:
    error = difference.standard_error
    return 1.0 - _below(difference) if error > 0.0 else 1.0
