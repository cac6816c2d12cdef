"""Weighting policies over a table of price relatives, beside the references they are judged by.

A portfolio is a vector of shares, >= 0 and summing to 1. It earns ``shares . relatives`` in each
period, is rebalanced at no cost, and may use only periods that are over.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Protocol

import numpy as np

from optimization.core.bounds import WeightLimits
from optimization.core.evidence import StrategyEvidence
from optimization.core.performance import DEFAULT_WINDOW_TRADES
from optimization.core.trade_sums import (
    COUNT_R,
    RING_WIDTH,
    ROW_WIDTH,
    TOTAL_R,
    Floats,
    figures_of,
    fold_ring,
)
from optimization.core.trade_sums import R as R_COLUMN
from optimization.core.weighting import WeightPolicy
from optimization.core.weighting.exponentiated_gradient import (
    multiplicative_step,
    portfolio_regret_bound,
)
from research.core.best_rebalanced import best_constant_shares
from research.errors import AllocationError

DEFAULT_ETA = 0.05


class Allocator(Protocol):
    """Wishes for the next period's shares after period ``t`` has ended."""

    def wish(self, t: int, shares: Floats, relatives: Floats) -> Floats:
        """Return shares (n_assets,); only rows up to ``t`` of ``relatives`` may be read."""


@dataclass(frozen=True, slots=True)
class UniformAllocator:
    """Back to equal shares every period."""

    def wish(self, t: int, shares: Floats, relatives: Floats) -> Floats:
        return np.full(len(shares), 1.0 / len(shares))


@dataclass(frozen=True, slots=True)
class ExponentiatedGradientAllocator:
    """EG(eta): share times exp(eta * relative / portfolio's relative), then normalised."""

    eta: float = DEFAULT_ETA

    def wish(self, t: int, shares: Floats, relatives: Floats) -> Floats:
        period = relatives[t]
        return multiplicative_step(shares, period / (shares @ period), self.eta)


class PolicyAllocator:
    """A weighting policy of the layer, each asset a strategy that closes one trade a period.

    The trade's R is the period's return over the standard deviation (n - 1) of the asset's returns
    in the ``window`` periods before it: the risk as known when the period began. Assets without
    that history, or without spread, have no R yet. Weights are cut to the layer's range.
    """

    def __init__(
        self, policy: WeightPolicy, relatives: Floats, window: int = DEFAULT_WINDOW_TRADES
    ) -> None:
        self._policy = policy
        self._window = window
        self._r = _risk_multiples(relatives, window)
        self._limits = WeightLimits()

    def wish(self, t: int, shares: Floats, relatives: Floats) -> Floats:
        current = {str(asset): share * len(shares) for asset, share in enumerate(shares.tolist())}
        evidence = {
            str(asset): found
            for asset in range(len(shares))
            if (found := self._evidence(t, asset)) is not None
        }
        targets = self._policy.propose(current, evidence)
        weights = np.array([self._limits.clamp(targets[code]) for code in current])
        wished: Floats = weights / weights.sum()
        return wished

    def _evidence(self, t: int, asset: int) -> StrategyEvidence | None:
        seen = self._r[max(t + 1 - self._window, 0) : t + 1, asset]
        ring = np.zeros((len(seen), RING_WIDTH))
        ring[:, R_COLUMN] = seen
        row = np.zeros(ROW_WIDTH)
        fold_ring(ring, len(seen), row)
        if row[COUNT_R] == 0.0:
            return None
        count = int(row[COUNT_R])
        return StrategyEvidence(
            strategy=str(asset),
            regime=None,
            recent=figures_of(row),
            closed_trades=count,
            total_r=float(row[TOTAL_R]),
            new_trades=1,
            new_mean_r=float(seen[-1]),
        )


def _risk_multiples(relatives: Floats, window: int) -> Floats:
    """Return R (n_periods, n_assets), NaN in the first ``window`` periods or without spread."""
    multiples = np.full(relatives.shape, np.nan)
    for t in range(window, len(relatives)):
        spread = relatives[t - window : t].std(axis=0, ddof=1)
        known = spread > 0.0
        multiples[t, known] = (relatives[t, known] - 1.0) / spread[known]
    return multiples


def limited_shares(old: Floats, wished: Floats, max_step: float) -> Floats:
    """Return the shares nearest to ``wished`` in relative entropy that move no share by more than
    ``max_step`` of itself, and sum to 1.

    The answer is ``clip(c * wished, old (1 - s), old (1 + s))`` for the one c that sums to 1;
    the sum rises with c from 1 - s to 1 + s, so halving finds it.
    """
    # a hair inside, so that no rounding of the sums below is a breach
    step = max_step * (1.0 - 1e-12)
    if (np.abs(wished - old) <= step * old).all():
        return wished
    low, high = old * (1.0 - step), old * (1.0 + step)
    below, above = 0.0, float(np.max(high / np.maximum(wished, 1e-300)))
    for _ in range(200):
        middle = 0.5 * (below + above)
        if np.clip(middle * wished, low, high).sum() < 1.0:
            below = middle
        else:
            above = middle
    reached: Floats = np.clip(above * wished, low, high)
    return reached


@dataclass(frozen=True, slots=True)
class AllocationRun:
    """What a policy made of one unit.

    * ``turnover``: summed over periods, half the absolute change from the shares as the prices
      left them to the next period's (1 = the whole portfolio exchanged once);
      the first purchase is not counted.
    * ``max_step_fraction``: largest change of one share between two periods' decisions, of itself.
    """

    final_wealth: float
    turnover: float
    max_step_fraction: float
    log_wealth: float


def run_allocation(
    relatives: Floats, allocator: Allocator, max_step: float | None = None
) -> AllocationRun:
    """Run over all periods from equal shares; ``max_step`` None = no limit."""
    n_periods, n_assets = relatives.shape
    shares = np.full(n_assets, 1.0 / n_assets)
    log_wealth = turnover = largest = 0.0
    for t in range(n_periods):
        earned = shares * relatives[t]
        gain = float(earned.sum())
        log_wealth += log(gain)
        if t + 1 == n_periods:
            break
        following = allocator.wish(t, shares, relatives)
        if max_step is not None:
            following = limited_shares(shares, following, max_step)
        turnover += 0.5 * float(np.abs(following - earned / gain).sum())
        largest = max(largest, float((np.abs(following - shares) / shares).max()))
        shares = following
    return AllocationRun(float(np.exp(log_wealth)), turnover, largest, log_wealth)


@dataclass(frozen=True, slots=True)
class References:
    """Final wealth of one unit without a policy.

    ``best_asset`` and ``best_constant_rebalanced`` know the future.
    """

    buy_and_hold: float
    uniform: float
    best_asset: float
    best_constant_rebalanced: float


def references(relatives: Floats) -> References:
    """Compute the four references from the whole table."""
    wealth = np.exp(np.log(relatives).sum(axis=0))
    shares = best_constant_shares(relatives)
    equal = relatives.mean(axis=1)
    return References(
        buy_and_hold=float(wealth.mean()),
        uniform=float(np.exp(np.log(equal).sum())),
        best_asset=float(wealth.max()),
        best_constant_rebalanced=float(np.exp(np.log(relatives @ shares).sum())),
    )


def gradient_regret_bound(relatives: Floats, eta: float) -> float:
    """The regret bound of EG on this table, in log wealth."""
    smallest = float((relatives / relatives.max(axis=1, keepdims=True)).min())
    return portfolio_regret_bound(relatives.shape[1], len(relatives), eta, smallest)


def require_relatives(names: tuple[str, ...], relatives: Floats) -> None:
    """Check a table of price relatives.

    Raises:
        AllocationError: it is empty, or an entry is not a number above 0.
    """
    if relatives.shape[0] == 0 or relatives.shape[1] == 0:
        raise AllocationError(
            f"periods were {relatives.shape[0]} and assets {relatives.shape[1]},"
            " allowed: at least 1 of each"
        )
    bad = np.argwhere(~(np.isfinite(relatives) & (relatives > 0.0)))
    if len(bad):
        period, asset = (int(index) for index in bad[0])
        raise AllocationError(
            f"row {period}: {names[asset] or 'the unnamed column'} was {relatives[period, asset]},"
            " allowed: a price relative above 0"
        )
