"""Phases 4 to 6 of the bars to come, as far as nothing is learned before them: one compiled call.

A replay reads bars whose columns are known. Between two learning steps what the sources answer
depends on the row alone, so several rows are combined at once, by the kernels of phases 4, 5 and 6
themselves. Live has no bars to come, and nothing here is asked there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.compiled import kernel
from engine.phases.config import PipelineConfig
from engine.phases.cross_validation import judge
from engine.phases.ensemble import leanings, weigh
from engine.phases.source_selection import Standings, select
from engine.types.bars import BoolColumn, FloatColumn, IntColumn

Matrix = npt.NDArray[np.float64]
# Room for the last digit of a logistic function: a bar this close to a threshold is walked through.
_ROOM = 1e-9
# columns of ``Findings.numbers``
AGREEMENT, RELIABILITY, PROBABILITY, UNCERTAINTY = range(4)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What phases 4 to 6 will say of rows ``first`` to ``last`` (excluded).

    Arrays of shape (n_rows,): ``probability_up`` is NaN where there is no consensus; False in
    ``may_rise`` and ``may_fall`` says that the ensemble proposes no entry of that side.
    ``found`` is everything those phases found, for a bar that needs it whole.
    """

    first: int
    last: int
    probability_up: FloatColumn
    may_rise: BoolColumn
    may_fall: BoolColumn
    found: Findings

    def may_enter(self, row: int, is_shortable: bool) -> bool:
        """True where the ensemble may propose an entry on this row."""
        at = row - self.first
        return bool(self.may_rise[at] or (is_shortable and self.may_fall[at]))

    def may_leave(self, row: int, is_long: bool, exit_probability: float) -> bool:
        """True where the ensemble may ask to leave what it holds on this row."""
        up = self.probability_up.item(row - self.first)
        # NaN is below nothing: without a consensus the ensemble asks for nothing
        return (up if is_long else 1.0 - up) < exit_probability + _ROOM


@dataclass(frozen=True, slots=True)
class Findings:
    """What the kernels of phases 4 to 6 return for several rows, as they return it.

    Of shape (n_rows, n_sources): what each source ``said``, who was ``kept``, who was an outlier
    (``out``), and the ``weights``. Of shape (n_rows, 4), ``numbers``: agreement, reliability,
    probability up, uncertainty. Of shape (n_rows, 3), ``counts``: kept, leaning up, leaning down.
    """

    said: Matrix
    kept: npt.NDArray[np.bool_]
    out: npt.NDArray[np.bool_]
    weights: Matrix
    numbers: Matrix
    counts: npt.NDArray[np.int64]


def outlook(
    first: int,
    said: Matrix,
    fits: Matrix,
    trust: Matrix,
    latencies_us: FloatColumn,
    standing: Standings,
    groups: IntColumn,
    config: PipelineConfig,
) -> Outlook:
    """Combine rows of answers; the matrices are (n_rows, n_sources), see ``Believer.believe``."""
    n_rows, n_sources = said.shape
    rises, falls = np.zeros(n_rows, dtype=np.bool_), np.zeros(n_rows, dtype=np.bool_)
    found = Findings(
        said,
        np.zeros((n_rows, n_sources), dtype=np.bool_),
        np.zeros((n_rows, n_sources), dtype=np.bool_),
        np.zeros((n_rows, n_sources)),
        np.empty((n_rows, 4)),
        np.zeros((n_rows, 3), dtype=np.int64),
    )
    _foresee(
        said,
        fits,
        trust,
        latencies_us,
        standing.merit,
        standing.performance,
        standing.skill,
        standing.settled,
        standing.voice,
        groups,
        (
            config.latency_budget_us,
            config.minimum_performance,
            config.minimum_score,
            config.opinion_margin,
            config.outlier_floor,
            config.outlier_limit,
            config.weak_at,
            config.entry_probability - _ROOM,
        ),
        (config.max_sources, config.min_confluence),
        (found.kept, found.out, found.weights, found.numbers, found.counts),
        (rises, falls),
    )
    up = found.numbers[:, PROBABILITY]
    return Outlook(first, first + n_rows, up, rises, falls, found)


@kernel
def _foresee(
    answers: Matrix,
    fits: Matrix,
    trust: Matrix,
    latencies_us: FloatColumn,
    merit: FloatColumn,
    performance: FloatColumn,
    skill: FloatColumn,
    settled: IntColumn,
    voice: FloatColumn,
    groups: IntColumn,
    limits: tuple[float, float, float, float, float, float, float, float],
    most: tuple[int, int],
    found: tuple[
        npt.NDArray[np.bool_], npt.NDArray[np.bool_], Matrix, Matrix, npt.NDArray[np.int64]
    ],
    may: tuple[BoolColumn, BoolColumn],
) -> None:
    budget_us, least_performance, least_score, margin, floor, limit, weak_at, reach = limits
    max_sources, min_confluence = most
    held, outlying, weights, numbers, counts = found
    rises, falls = may
    for row in range(answers.shape[0]):
        _, place, _ = select(
            merit,
            performance,
            fits[row],
            latencies_us,
            budget_us,
            least_performance,
            least_score,
            max_sources,
        )
        said = answers[row]
        kept, out, n, agreement, reliability = judge(
            said, place, performance * trust[row], margin, floor, limit
        )
        held[row], outlying[row] = kept, out
        numbers[row, AGREEMENT], numbers[row, RELIABILITY] = agreement, reliability
        numbers[row, PROBABILITY], numbers[row, UNCERTAINTY] = np.nan, np.nan
        if n == 0:
            continue
        believed = 0.5 + voice * (said - 0.5)
        weights[row], up, uncertainty = weigh(believed, kept, groups, skill * trust[row], settled)
        above, below = leanings(said, kept)
        numbers[row, PROBABILITY], numbers[row, UNCERTAINTY] = up, uncertainty
        counts[row, 0], counts[row, 1], counts[row, 2] = n, above, below
        if reliability < weak_at:
            continue
        rises[row] = up >= reach and above >= min_confluence
        falls[row] = 1.0 - up >= reach and below >= min_confluence
