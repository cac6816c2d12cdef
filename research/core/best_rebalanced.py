"""The best constant rebalanced portfolio in hindsight: maximise mean log(relatives . shares).

The problem is concave. Cover's multiplicative step ("An algorithm for maximizing expected log
investment return", IEEE Trans. Inf. Theory 30, 1984) brings the shares near; Newton's method on
the assets that remain finishes; the optimality condition says when it is done.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from optimization.core.trade_sums import Floats

# The answer's log growth a period is within this of the best.
TOLERANCE = 1e-10
_COVER_STEPS = 200
_ROUNDS = 500
_SMALL, _NEGLIGIBLE, _SMALLEST_STEP = 1e-3, 1e-12, 1e-10
Bools = npt.NDArray[np.bool_]


def optimality_gap(relatives: Floats, shares: Floats) -> float:
    """Return an upper bound of how much log growth a period the shares leave on the table.

    Source: Cover 1984, the growth of the best is at most ours + log max_i mean(x_i / (b . x)).
    """
    return float(np.log(_gradient(relatives, shares).max()))


def best_constant_shares(relatives: Floats) -> Floats:
    """Return the shares (n_assets,) whose constant rebalancing grows most over all periods."""
    n_assets = relatives.shape[1]
    shares = np.full(n_assets, 1.0 / n_assets)
    for _ in range(_COVER_STEPS):
        shares = shares * _gradient(relatives, shares)
    # What is small now is nearly always 0 in the end; the gradient brings back what is not.
    shares = np.where(shares > _SMALL, shares, 0.0)
    shares = shares / shares.sum()
    for _ in range(_ROUNDS):
        gradient = _gradient(relatives, shares)
        if np.log(gradient.max()) <= TOLERANCE:
            break
        kept = shares > 0.0
        kept[int(gradient.argmax())] = True
        shares = _newton_step(relatives, shares, kept)
    return shares


def _gradient(relatives: Floats, shares: Floats) -> Floats:
    slope: Floats = (relatives / (relatives @ shares)[:, None]).mean(axis=0)
    return slope


def _newton_step(relatives: Floats, shares: Floats, kept: Bools) -> Floats:
    """One damped Newton step on the kept assets, their sum held at 1; one that reaches 0 leaves."""
    scaled = relatives[:, kept] / (relatives @ shares)[:, None]
    n_kept = scaled.shape[1]
    system = np.zeros((n_kept + 1, n_kept + 1))
    # a trace of ridge: two equal assets would make the matrix singular
    system[:n_kept, :n_kept] = scaled.T @ scaled / len(scaled) + 1e-12 * np.eye(n_kept)
    system[:n_kept, n_kept] = system[n_kept, :n_kept] = 1.0
    move = np.linalg.solve(system, np.append(scaled.mean(axis=0), 0.0))[:n_kept]
    old = shares[kept]
    falling = move < 0.0
    reach = float(np.min(-old[falling] / move[falling], initial=np.inf))
    growth = float(np.log(relatives @ shares).mean())
    size = min(1.0, reach)
    while size > _SMALLEST_STEP:
        moved = shares.copy()
        moved[kept] = np.maximum(old + size * move, 0.0)
        moved[moved < _NEGLIGIBLE] = 0.0
        moved /= moved.sum()
        if np.log(relatives @ moved).mean() >= growth:
            return moved
        size *= 0.5
    return shares
