"""Exponentiated gradient: weight times exp(eta * reward), the whole kept.

Two readings of one step. Over price relatives x_t it is Helmbold, Schapire, Singer and Warmuth,
"On-line portfolio selection using multiplicative updates", Mathematical Finance 8 (1998): the
reward of asset i is x_ti / (b_t . x_t). Over rewards in [0, 1] it is Hedge (Freund and Schapire,
1997). Both lose at most ``*_regret_bound`` against the best fixed choice, on every sequence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import log

import numpy as np

from optimization.core.errors import WeightingError
from optimization.core.evidence import StrategyEvidence
from optimization.core.trade_sums import Floats


def multiplicative_step(weights: Floats, rewards: Floats, eta: float) -> Floats:
    """Return weights * exp(eta * rewards), scaled to the old total; both have shape (n,)."""
    # The largest reward is taken out first: the scale cancels, and exp cannot overflow.
    raised = weights * np.exp(eta * (rewards - rewards.max()))
    step: Floats = raised * (weights.sum() / raised.sum())
    return step


def hedge_regret_bound(n_experts: int, n_rounds: int, eta: float) -> float:
    """Bound of (best expert's reward) - (ours) for rewards in [0, 1]: ln N / eta + eta T / 8."""
    return log(n_experts) / eta + eta * n_rounds / 8.0


def portfolio_regret_bound(n_assets: int, n_periods: int, eta: float, smallest: float) -> float:
    """Bound of ln(wealth of the best constant rebalanced portfolio) - ln(ours).

    ln N / eta + eta T / (8 r^2), where ``smallest`` = r > 0 bounds x_ti / max_j x_tj from below
    in every period (Helmbold et al., Theorem 4.1).
    """
    return log(n_assets) / eta + eta * n_periods / (8.0 * smallest**2)


@dataclass(frozen=True, slots=True)
class ExponentiatedGradientPolicy:
    """Hedge over strategies; a strategy's reward is the mean R of its trades since its last move.

    R is cut to [-``full_r``, ``full_r``] and mapped to [0, 1]. A strategy with fewer than
    ``min_new_trades`` new trades sleeps: its weight stays, so silence is neither rewarded nor
    punished. Those awake share what the base weights (1 where there is none) leave them: the
    limits hold back one side of an exchange more than the other, and without an anchor the whole
    would drift.

    Raises:
        WeightingError: a parameter is not above 0.
    """

    eta: float = 0.5
    full_r: float = 1.0
    min_new_trades: int = 5
    base_weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.eta > 0.0 and self.full_r > 0.0 and self.min_new_trades > 0):
            raise WeightingError(
                "eta, full R and min new trades must be above 0, was"
                f" {self.eta}, {self.full_r}, {self.min_new_trades}"
            )

    @property
    def code(self) -> str:
        return "exponentiated_gradient"

    def reward(self, mean_r: float) -> float:
        """Return the reward in [0, 1] of a mean R; break-even is 0.5."""
        cut = min(max(mean_r / self.full_r, -1.0), 1.0)
        return (1.0 + cut) / 2.0

    def propose(
        self, current: Mapping[str, float], evidence: Mapping[str, StrategyEvidence]
    ) -> dict[str, float]:
        targets = dict(current)
        awake = {
            code: self.reward(found.new_mean_r)
            for code in current
            if (found := evidence.get(code)) is not None
            and found.new_mean_r is not None
            and found.new_trades >= self.min_new_trades
        }
        if awake:
            held = np.array([current[code] for code in awake])
            raised = multiplicative_step(held, np.array(list(awake.values())), self.eta)
            raised *= self._whole(current, awake) / raised.sum()
            targets.update(zip(awake, raised.tolist(), strict=True))
        return targets

    def _whole(self, current: Mapping[str, float], awake: Collection[str]) -> float:
        """What the base weights leave for those awake; what they hold where that is nothing."""
        base = sum(self.base_weights.get(code, 1.0) for code in current)
        asleep = sum(weight for code, weight in current.items() if code not in awake)
        return base - asleep if base > asleep else sum(current[code] for code in awake)
