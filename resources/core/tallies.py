"""What the history adds up to: success rates, savings, weekly trends. Reproducible from rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from resources.core.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Done:
    """One attempt as the history has it. ``verdict`` is None before it was judged."""

    action: str
    ran: bool
    verdict: Verdict | None
    improvement: float | None
    saved: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Tally:
    """``success_rate`` is successes over attempts that could be measured; ``ran_rate`` says only
    that nothing was raised (ORC-54). None where there is nothing to divide by."""

    action: str
    attempts: int
    ran: int
    measured: int
    successes: int
    ran_rate: float | None
    success_rate: float | None
    mean_improvement: float | None
    saved: Mapping[str, float]


def tally(action: str, rows: Iterable[Done]) -> Tally:
    """Add up one action's attempts, or all of them under any name."""
    every = list(rows)
    judged = [row for row in every if row.verdict not in (None, Verdict.UNMEASURED)]
    successes = sum(row.verdict is Verdict.SUCCESS for row in judged)
    improvements = [row.improvement for row in judged if row.improvement is not None]
    ran = sum(row.ran for row in every)
    return Tally(
        action,
        len(every),
        ran,
        len(judged),
        successes,
        ran / len(every) if every else None,
        successes / len(judged) if judged else None,
        fmean(improvements) if improvements else None,
        saved_of(every),
    )


def by_action(rows: Sequence[Done]) -> list[Tally]:
    names = sorted({row.action for row in rows})
    return [tally(name, (row for row in rows if row.action == name)) for name in names]


def saved_of(rows: Iterable[Done]) -> dict[str, float]:
    """Sum what was measured as saved, by unit: bytes, cpu_s, connections (ORC-53)."""
    total: dict[str, float] = {}
    for row in rows:
        for unit, amount in sorted(row.saved.items()):
            total[unit] = total.get(unit, 0.0) + amount
    return total


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """One week of one measure; ``is_regression`` where it is worse than the mean of the weeks
    before by more than the noise between them (ORC-62)."""

    week: str
    value: float
    n: int
    change: float | None
    is_regression: bool


def trend(weeks: Sequence[tuple[str, float, int]], *, worse_by: float = 0.10) -> list[TrendPoint]:
    """Return each week against the mean of all before it; more is worse. Oldest first.

    ``change`` is (value - mean before) / mean before, None for the first week or a mean of 0.
    """
    points: list[TrendPoint] = []
    for index, (week, value, n) in enumerate(weeks):
        before = [earlier for _, earlier, _ in weeks[:index]]
        usual = fmean(before) if before else 0.0
        change = (value - usual) / usual if usual > 0.0 else None
        points.append(TrendPoint(week, value, n, change, bool(change and change > worse_by)))
    return points
