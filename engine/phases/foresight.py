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
from engine.phases.ensemble import weigh
from engine.phases.source_selection import Standings, select
from engine.types.bars import BoolColumn, FloatColumn, IntColumn

Matrix = npt.NDArray[np.float64]
# Room for the last digit of a logistic function: a bar this close to a threshold is walked through.
_ROOM = 1e-9


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the ensemble will say of rows ``first`` to ``last`` (excluded).

    Arrays of shape (n_rows,): ``probability_up`` is NaN where there is no consensus; False in
    ``may_rise`` and ``may_fall`` says that the ensemble proposes no entry of that side.
    """

    first: int
    last: int
    probability_up: FloatColumn
    may_rise: BoolColumn
    may_fall: BoolColumn

    def may_enter(self, row: int, is_shortable: bool) -> bool:
        """True where the ensemble may propose an entry on this row."""
        at = row - self.first
        return bool(self.may_rise[at] or (is_shortable and self.may_fall[at]))

    def may_leave(self, row: int, is_long: bool, exit_probability: float) -> bool:
        """True where the ensemble may ask to leave what it holds on this row."""
        up = self.probability_up.item(row - self.first)
        # NaN is below nothing: without a consensus the ensemble asks for nothing
        return (up if is_long else 1.0 - up) < exit_probability + _ROOM


def outlook(
    first: int,
    probabilities: Matrix,
    fits: Matrix,
    trust: Matrix,
    latencies_us: FloatColumn,
    standing: Standings,
    groups: IntColumn,
    config: PipelineConfig,
) -> Outlook:
    """Combine rows of answers; the matrices are (n_rows, n_sources), see ``Believer.believe``."""
    n_rows = probabilities.shape[0]
    up = np.empty(n_rows)
    rises, falls = np.zeros(n_rows, dtype=np.bool_), np.zeros(n_rows, dtype=np.bool_)
    _foresee(
        probabilities,
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
        up,
        rises,
        falls,
    )
    return Outlook(first, first + n_rows, up, rises, falls)


@kernel
def _foresee(
    probabilities: Matrix,
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
    counts: tuple[int, int],
    up: FloatColumn,
    rises: BoolColumn,
    falls: BoolColumn,
) -> None:
    budget_us, least_performance, least_score, margin, floor, limit, weak_at, reach = limits
    max_sources, min_confluence = counts
    for row in range(probabilities.shape[0]):
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
        said = probabilities[row]
        kept, _, n, _, reliability = judge(
            said, place, performance * trust[row], margin, floor, limit
        )
        if n == 0:
            up[row] = np.nan
            continue
        believed = 0.5 + voice * (said - 0.5)
        _, up[row], _ = weigh(believed, kept, groups, skill * trust[row], settled)
        if reliability < weak_at:
            continue
        above, below = 0, 0
        for i in range(said.shape[0]):
            if kept[i]:
                above += said[i] > 0.5
                below += said[i] < 0.5
        rises[row] = up[row] >= reach and above >= min_confluence
        falls[row] = 1.0 - up[row] >= reach and below >= min_confluence
