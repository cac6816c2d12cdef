"""What a replay found, under the names that scripts rely on."""

from __future__ import annotations

from dataclasses import dataclass

from engine.types.decisions import JsonValue
from research.core.journal import MemoryJournal


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Fractions are fractions; None where a number has no meaning (no trades, no spread).

    ``layer`` is what the optimization layer did, None where it was off.
    """

    bars: int
    decisions: int
    proposals: int
    filtered: int
    orders: int
    fills: int
    trades: int
    final_equity: str
    return_fraction: float | None
    max_drawdown_fraction: float
    sharpe: float | None
    sortino: float | None
    profit_factor: float | None
    expectancy_r: float | None
    win_rate_fraction: float | None
    exposure_max_fraction: float | None
    cap_breaches: int
    digest: str
    elapsed_s: float
    bars_per_s: float
    peak_rss_mb: float
    rejected_events: int
    interventions: int
    layer: dict[str, JsonValue] | None = None


def replay_result(
    journal: MemoryJournal,
    *,
    starting_cash: str,
    elapsed_s: float,
    peak_rss_mb: float,
    interventions: int,
    layer: dict[str, JsonValue] | None = None,
) -> ReplayResult:
    """Summarise a finished replay; ``elapsed_s`` is the session's own time, loading included."""
    counts, trades = journal.counts, journal.trades.cut()
    equity, last = journal.equity.statistics(), journal.last_equity
    return ReplayResult(
        bars=counts.bars,
        decisions=counts.decisions,
        proposals=counts.proposals,
        filtered=counts.filtered,
        orders=counts.orders,
        fills=counts.fills,
        trades=counts.trades,
        final_equity=starting_cash if last is None else str(last.equity_quote),
        return_fraction=equity.total_return_fraction,
        max_drawdown_fraction=equity.max_drawdown_fraction,
        sharpe=equity.sharpe,
        sortino=equity.sortino,
        profit_factor=trades.profit_factor,
        expectancy_r=trades.expectancy_r,
        win_rate_fraction=trades.win_rate,
        exposure_max_fraction=equity.max_exposure_fraction,
        cap_breaches=counts.cap_breaches,
        digest=journal.hexdigest(),
        elapsed_s=elapsed_s,
        bars_per_s=counts.bars / elapsed_s if elapsed_s > 0 else 0.0,
        peak_rss_mb=peak_rss_mb,
        rejected_events=counts.rejected_events,
        interventions=interventions,
        layer=layer,
    )
