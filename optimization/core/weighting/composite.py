"""The composite score: expectancy, profit factor, Sharpe and drawdown of the last N trades, in R.

    score = 0.4 e + 0.3 p + 0.1 s - 0.2 d        target = base weight * (1 + score)

e, p, s are in [-1, 1], 0 at break-even and of the sign of the total R; d is in [0, 1]. So a
break-even strategy is never raised, a loser is always lowered, and nothing depends on the size of
the account, because R has no currency.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite, log2, sqrt

from optimization.core.errors import WeightingError
from optimization.core.evidence import StrategyEvidence
from optimization.core.trade_sums import Figures

_MIN_TARGET = 0.01


@dataclass(frozen=True, slots=True)
class CompositeSettings:
    """Importances of the four terms, and the R at which each term is full.

    ``prior_trades`` break-even trades of one R up or down are mixed in, so that few trades say
    little (20 trades count half, 60 three quarters); below ``min_trades`` nothing is said.
    """

    expectancy_importance: float = 0.4
    profit_factor_importance: float = 0.3
    drawdown_importance: float = 0.2
    sharpe_importance: float = 0.1
    full_expectancy_r: float = 0.5
    full_sharpe: float = 0.5
    full_drawdown_r: float = 20.0
    prior_trades: float = 20.0
    min_trades: int = 10

    def __post_init__(self) -> None:
        scales = (self.full_expectancy_r, self.full_sharpe, self.full_drawdown_r)
        if not all(isfinite(scale) and scale > 0.0 for scale in scales):
            raise WeightingError(f"full scales must be above 0, was {scales}")
        if self.prior_trades < 0.0 or self.min_trades < 1:
            raise WeightingError(
                "prior trades must be 0 or more and min trades 1 or more, was"
                f" {self.prior_trades} and {self.min_trades}"
            )


@dataclass(frozen=True, slots=True)
class CompositeScore:
    """The terms after shrinkage: expectancy, profit factor and Sharpe in [-1, 1], drawdown in
    [0, 1], and the score they sum to."""

    expectancy: float
    profit_factor: float
    sharpe: float
    drawdown: float
    score: float


def composite_score(recent: Figures, settings: CompositeSettings) -> CompositeScore:
    """Score the last N trades of a strategy; no trades score 0 (Source: OPT-79)."""
    n, prior = recent.count_r, settings.prior_trades
    if n == 0:
        return CompositeScore(0.0, 0.0, 0.0, 0.0, 0.0)
    mean = recent.total_r / (n + prior)
    squares = (recent.deviation_r or 0.0) ** 2 * (n - 1)
    spread = sqrt((squares + prior) / (n + prior)) or 1.0
    half = prior / 2.0  # the prior's gains and its losses, in R: profit factor 1
    ratio = (recent.gained_r + half) / (recent.lost_r + half) if recent.lost_r + half else 2.0
    expectancy = _clip(mean / settings.full_expectancy_r)
    profit_factor = _clip(log2(ratio)) if ratio > 0.0 else -1.0
    sharpe = _clip(mean / spread / settings.full_sharpe)
    drawdown = min(recent.max_drawdown_r / settings.full_drawdown_r, 1.0) * n / (n + prior)
    score = (
        settings.expectancy_importance * expectancy
        + settings.profit_factor_importance * profit_factor
        + settings.sharpe_importance * sharpe
        - settings.drawdown_importance * drawdown
    )
    return CompositeScore(expectancy, profit_factor, sharpe, drawdown, score)


def _clip(value: float) -> float:
    return min(max(value, -1.0), 1.0)


@dataclass(frozen=True, slots=True)
class CompositePolicy:
    """Targets base weight * (1 + score); the weight follows the evidence, it does not compound.

    A strategy that is not in ``base_weights`` has base weight 1.
    """

    base_weights: Mapping[str, float] = field(default_factory=dict)
    settings: CompositeSettings = field(default_factory=CompositeSettings)

    @property
    def code(self) -> str:
        return "composite"

    def propose(
        self, current: Mapping[str, float], evidence: Mapping[str, StrategyEvidence]
    ) -> dict[str, float]:
        targets = dict(current)
        for code in current:
            found = evidence.get(code)
            if found is None or found.recent.count_r < self.settings.min_trades:
                continue
            score = composite_score(found.recent, self.settings).score
            targets[code] = max(self.base_weights.get(code, 1.0) * (1.0 + score), _MIN_TARGET)
        return targets
