"""What the weights and the health of a strategy rest on, in R, as of one closed trade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.performance import Cut
from optimization.core.errors import EvidenceError
from optimization.core.performance import Decomposition
from optimization.core.trade_sums import Figures

Number = int | float | None


@dataclass(frozen=True, slots=True)
class StrategyEvidence:
    """One strategy (in one entry regime, or in all): its recent window and what is new.

    ``recent`` are the figures of the last N trades (OPT-33). ``closed_trades`` and ``total_r``
    count over its life. ``new_trades`` closed since its weight last moved; ``new_mean_r`` is
    their mean R, None where there is none.
    """

    strategy: str
    regime: str | None
    recent: Figures
    closed_trades: int
    total_r: float
    new_trades: int
    new_mean_r: float | None

    def numbers(self) -> dict[str, Number]:
        """The figures that are stored with a change of weight."""
        return {
            "trades": self.recent.count,
            "trades_r": self.recent.count_r,
            "expectancy_r": self.recent.expectancy_r,
            "profit_factor_r": self.recent.profit_factor_r,
            "sharpe_r": self.recent.sharpe_r,
            "max_drawdown_r": self.recent.max_drawdown_r,
            "win_rate": self.recent.win_rate,
            "closed_trades": self.closed_trades,
            "new_trades": self.new_trades,
            "new_mean_r": self.new_mean_r,
        }


def strategy_evidence(
    performance: Decomposition,
    strategy: str,
    regime: str | None,
    *,
    trades_seen: int = 0,
    total_r_seen: float = 0.0,
) -> StrategyEvidence:
    """Read one strategy's evidence; ``..._seen`` is what its last move had seen.

    Only trades with a stop have an R and count as evidence.
    """
    cut = Cut(strategy=strategy, regime=regime)
    life = performance.lifetime(cut)
    new = life.count_r - trades_seen
    return StrategyEvidence(
        strategy=strategy,
        regime=regime,
        recent=performance.rolling(cut),
        closed_trades=life.count_r,
        total_r=life.total_r,
        new_trades=new,
        new_mean_r=(life.total_r - total_r_seen) / new if new > 0 else None,
    )


def require_past(performance: Decomposition, now_ms: int) -> None:
    """Refuse evidence from the future (OPT-89).

    Raises:
        EvidenceError: a trade closed after ``now_ms``.
    """
    if performance.last_closed_at_ms > now_ms:
        raise EvidenceError(
            f"evidence must be closed by {now_ms}, last close was {performance.last_closed_at_ms}"
        )


def regime_effectiveness(performance: Decomposition) -> Mapping[tuple[str, str], Figures]:
    """Lifetime figures of each strategy in each regime it has entered in (OPT-82)."""
    return {
        (cut.strategy, cut.regime): performance.lifetime(cut)
        for cut in performance.cuts()
        if cut.strategy is not None and cut.regime is not None and cut.symbol is None
    }


def strategies_by_expectancy(performance: Decomposition) -> tuple[tuple[str, Figures], ...]:
    """Strategies with their recent figures, best expectancy in R first, ties by name (OPT-82).

    Only whole strategies are ranked, never a symbol's or a regime's sum; those without an R yet
    stand last.
    """
    found = [
        (cut.strategy, performance.rolling(cut))
        for cut in performance.cuts()
        if cut.strategy is not None and cut.symbol is None and cut.regime is None
    ]
    return tuple(
        sorted(
            found,
            key=lambda pair: (
                pair[1].expectancy_r is None,
                -(pair[1].expectancy_r or 0.0),
                pair[0],
            ),
        )
    )
