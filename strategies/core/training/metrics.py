"""How good predicted probabilities were, each figure with a 95 % block-bootstrap interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.types.bars import FloatColumn, IntColumn
from engine.types.decisions import JsonValue

Matrix = npt.NDArray[np.float64]
ECE_BINS = 10
DRAWS = 500
# nobody is held to more than this certainty: one wrong 1.0 would be an infinite loss
_SUREST = 1e-6


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and the 2.5 % and 97.5 % points of its bootstrap; NaN where undefined."""

    value: float
    low: float
    high: float

    @property
    def interval(self) -> list[JsonValue]:
        """Return low and high, null where undefined."""
        return [_or_null(self.low), _or_null(self.high)]


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean of paired differences, and the standard deviation of its bootstrap."""

    estimate: Estimate
    standard_error: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """Quality of ``n`` predictions. Lower is better for log_loss, brier and ece.

    ``information_coefficient`` is Spearman's rank correlation of probability and realised return.
    ``auc`` and it are undefined where all outcomes or all probabilities are alike.
    """

    n: int
    log_loss: Estimate
    brier: Estimate
    accuracy: Estimate
    auc: Estimate
    ece: Estimate
    information_coefficient: Estimate

    def as_json(self) -> dict[str, JsonValue]:
        """Return ``n`` and every figure by name, and ``intervals`` by the same names."""
        estimates = {name: getattr(self, name) for name in Metrics.__slots__ if name != "n"}
        intervals: dict[str, JsonValue] = {n: e.interval for n, e in estimates.items()}
        figures: dict[str, JsonValue] = {n: _or_null(e.value) for n, e in estimates.items()}
        return {"n": self.n, **figures, "intervals": intervals}


def log_losses(p: FloatColumn, outcome_up: IntColumn) -> FloatColumn:
    """Return -log of the probability given to what happened, shape (n_rows,)."""
    held = np.clip(p, _SUREST, 1.0 - _SUREST)
    losses: FloatColumn = -np.where(outcome_up == 1, np.log(held), np.log1p(-held))
    return losses


def measure(
    p: FloatColumn,
    outcome_up: IntColumn,
    return_log: FloatColumn,
    *,
    block_rows: int,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Metrics:
    """Return every figure of probabilities (n_rows,) in time order.

    ``block_rows``: rows this near share outcomes and are drawn together (moving blocks, circular).
    The intervals of auc and information_coefficient hold the ranks of the whole sample (their
    linear part); that of ece is of a biased figure: with no error at all it is above 0.
    """
    n = len(p)
    up = outcome_up.astype(np.float64)
    bins = np.minimum((p * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    gaps = np.zeros((n, ECE_BINS))
    gaps[np.arange(n), bins] = p - up
    auc, auc_columns = _auc_parts(p, outcome_up)
    ranks = np.column_stack((_centred_ranks(p), _centred_ranks(return_log)))
    columns = np.column_stack(
        (
            log_losses(p, outcome_up),
            (p - up) ** 2,
            # a probability of exactly one half is on nobody's side
            np.where(p == 0.5, 0.5, (p > 0.5) == (up == 1.0)),
            auc_columns,
            up,
            1.0 - up,
            ranks[:, 0] * ranks[:, 1],
            ranks**2,
            gaps,
        )
    )
    sums = block_sums(columns, block_rows, rng, draws)

    def estimate(figure: Callable[[Matrix], FloatColumn]) -> Estimate:
        with np.errstate(invalid="ignore", divide="ignore"):
            return _estimate(figure(columns.sum(axis=0)[None, :]), figure(sums))

    return Metrics(
        n=n,
        log_loss=estimate(lambda s: s[:, 0] / n),
        brier=estimate(lambda s: s[:, 1] / n),
        accuracy=estimate(lambda s: s[:, 2] / n),
        auc=estimate(lambda s: s[:, 3] / s[:, 5] + s[:, 4] / s[:, 6] - auc),
        ece=estimate(lambda s: np.abs(s[:, 10:]).sum(axis=1) / n),
        information_coefficient=estimate(lambda s: s[:, 7] / np.sqrt(s[:, 8] * s[:, 9])),
    )


def mean_difference(
    ours: FloatColumn,
    theirs: FloatColumn,
    *,
    block_rows: int,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Difference:
    """Return the mean of paired differences ours - theirs; NaN of no rows."""
    n = len(ours)
    if n == 0:
        return Difference(Estimate(float("nan"), float("nan"), float("nan")), float("nan"))
    difference = (ours - theirs)[:, None]
    means = block_sums(difference, block_rows, rng, draws)[:, 0] / n
    return Difference(_estimate(difference.sum(axis=0) / n, means), float(means.std()))


def block_sums(columns: Matrix, block_rows: int, rng: np.random.Generator, draws: int) -> Matrix:
    """Return column sums of ``draws`` resamples, shape (draws, n_columns), scaled to n_rows.

    Circular moving blocks keep neighbours together. Source: Politis and Romano (1992).
    """
    n = columns.shape[0]
    if n == 0:
        return np.full((draws, columns.shape[1]), np.nan)
    block = max(1, min(block_rows, n))
    turned = np.concatenate((columns, columns[: block - 1]))
    running = np.concatenate((np.zeros((1, columns.shape[1])), np.cumsum(turned, axis=0)))
    of_block = running[block:] - running[:-block]
    n_blocks = -(-n // block)
    starts = rng.integers(0, n, (draws, n_blocks))
    sums: Matrix = np.stack([of_block[row].sum(axis=0) for row in starts])
    scaled: Matrix = sums * (n / (n_blocks * block))
    return scaled


def _or_null(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _estimate(value: FloatColumn, draws: FloatColumn) -> Estimate:
    seen = draws[np.isfinite(draws)]
    if not np.isfinite(value[0]) or len(seen) == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(seen, (0.025, 0.975))
    return Estimate(float(value[0]), float(low), float(high))


def _auc_parts(p: FloatColumn, outcome_up: IntColumn) -> tuple[float, Matrix]:
    """Return the area and each row's placement among the other class, shape (n_rows, 2).

    Column 0 holds the rows that went up, column 1 the others; their class means are the area.
    Source: DeLong, DeLong and Clarke-Pearson (1988).
    """
    up = outcome_up == 1
    placed = np.zeros((len(p), 2))
    if up.all() or not up.any():
        return float("nan"), np.full((len(p), 2), np.nan)
    placed[up, 0] = _share_below(p[~up], p[up])
    placed[~up, 1] = 1.0 - _share_below(p[up], p[~up])
    return float(placed[up, 0].mean()), placed


def _share_below(among: FloatColumn, values: FloatColumn) -> FloatColumn:
    """Return for each value the share of ``among`` below it, equals counting half."""
    ordered = np.sort(among)
    below = np.searchsorted(ordered, values, side="left")
    at_most = np.searchsorted(ordered, values, side="right")
    share: FloatColumn = (below + at_most) / (2.0 * len(ordered))
    return share


def _centred_ranks(values: FloatColumn) -> FloatColumn:
    if len(values) == 0:
        return values
    return _share_below(values, values) - 0.5
