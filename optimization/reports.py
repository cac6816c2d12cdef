"""Reports from the rows the layer learns from: summary, allocation, health, regimes (OPT-82)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from engine.performance import TradeStatistics, TradeStats
from engine.ports import StrategyStatus
from optimization.books import book_of, leading_run, trades_of
from optimization.core.alerts import normalized
from optimization.core.charts import Change, allocation_timeline, effective_weight
from optimization.core.charts import quality_histogram as counted
from optimization.models import FinalReport, UpdatePeriod
from optimization.selectors import get_optimization_status
from strategies.models import HealthChange, Strategy, WeightUpdate
from trades.core.performance import few_trades
from trades.models import Decision, Trade, TradingRun
from trades.records import milliseconds, trade_value

UNKNOWN_REGIME = "UNKNOWN"
# The newest decisions the histogram looks at; most of them are HOLDs without a quality.
DECISIONS_SEEN = 20_000
CHANGES_SHOWN = 500


def layer_report() -> dict[str, Any]:
    """Return every report of the layer as one JSON document."""
    run = leading_run()
    cuts = _cuts(run)
    return {
        "at": timezone.now().isoformat(),
        "book": None if run is None else book_of(run),
        "status": get_optimization_status(),
        "strategies": strategy_summary(cuts),
        "regimes": regime_effectiveness(cuts),
        "quality": quality_histogram(run),
    }


def strategy_summary(cuts: dict[tuple[str, str], TradeStats]) -> list[dict[str, Any]]:
    """Return each strategy with where it stands and what it earned, by code."""
    rows = list(Strategy.objects.all())
    effective = {row.code: effective_weight(row.weight, StrategyStatus(row.status)) for row in rows}
    shares = normalized(effective, {row.code: StrategyStatus(row.status) for row in rows})
    return [
        {
            "strategy": row.code,
            "name": row.name,
            "status": row.status,
            "status_reason": row.status_reason,
            "status_changed_at_ms": milliseconds(row.status_changed_at),
            "override_until_ms": (
                milliseconds(row.override_until_at) if row.override_until_at else None
            ),
            "base_weight": row.base_weight,
            "weight": row.weight,
            "effective_weight": effective[row.code],
            "share_fraction": shares.get(row.code, 0.0),
            **figures(cuts.get((row.code, ""))),
        }
        for row in rows
    ]


def regime_effectiveness(cuts: dict[tuple[str, str], TradeStats]) -> list[dict[str, Any]]:
    """Return what each strategy earned in each regime it entered in."""
    return [
        {"strategy": code, "regime": regime, **figures(stats)}
        for (code, regime), stats in sorted(cuts.items())
        if regime
    ]


def figures(stats: TradeStats | None) -> dict[str, Any]:
    """Return the figures of one cut; what its trades do not define is None. ``lacks`` is why
    they say nothing, as "too few trades (3 of 30)"; empty where they do."""
    known: TradeStatistics = (stats or TradeStats()).statistics()
    return {
        "trades": known.count,
        "lacks": few_trades(known.count),
        "win_rate_fraction": known.win_rate,
        "expectancy_r": known.expectancy_r,
        "profit_factor": known.profit_factor,
        "sharpe_r": known.sharpe_r,
        "max_drawdown_r": known.max_drawdown_r,
        "streak": known.streak,
        "pnl_quote": str(known.pnl_quote),
    }


def cuts_of(run: TradingRun | None) -> dict[tuple[str, str], TradeStats]:
    return _cuts(run)


def _cuts(run: TradingRun | None) -> dict[tuple[str, str], TradeStats]:
    """Return statistics by (strategy, "") and (strategy, entry regime), in one pass over rows."""
    cuts: dict[tuple[str, str], TradeStats] = defaultdict(TradeStats)
    if run is None:
        return cuts
    row: Trade
    for row in trades_of(run).iterator(chunk_size=5_000):
        trade = trade_value(row)
        cuts[row.strategy, ""].add(trade)
        cuts[row.strategy, row.entry_regime or UNKNOWN_REGIME].add(trade)
    return dict(cuts)


def quality_histogram(run: TradingRun | None) -> dict[str, Any]:
    """Return how quality is spread over entries that were made and those that were filtered."""
    executed: list[float] = []
    filtered: list[float] = []
    if run is not None:
        newest = Decision.objects.filter(run=run).order_by("-id")
        floor = newest.values_list("id", flat=True)[DECISIONS_SEEN : DECISIONS_SEEN + 1].first()
        seen = newest.filter(id__gt=floor or 0).exclude(payload__policy__quality=None)
        for policy, action in seen.values_list("payload__policy", "action"):
            quality = policy.get("quality") if isinstance(policy, dict) else None
            if not isinstance(quality, int | float) or not math.isfinite(quality):
                continue
            if not policy.get("accepted"):
                filtered.append(float(quality))
            elif action in ("BUY", "SELL"):
                executed.append(float(quality))
    return {
        **counted(executed, filtered),
        "n_executed": len(executed),
        "n_filtered": len(filtered),
    }


def allocation_series() -> dict[str, Any]:
    """Return allocation over time as columns: one point a change of weight or status."""
    strategies = {row.pk: row for row in Strategy.objects.all()}
    changes: list[Change] = []
    began = {row.code: row.weight for row in strategies.values()}
    stood = {row.code: StrategyStatus(row.status) for row in strategies.values()}
    updates = WeightUpdate.objects.filter(regime="").order_by("-at", "-id")[:CHANGES_SHOWN]
    for update in updates:
        code = strategies[update.strategy_id].code
        # newest first, so that the oldest change shown has the last word on where it began
        began[code] = update.old_weight
        at_ms = milliseconds(update.at)
        changes.append(Change(at_ms, code, update.reason, weight=update.new_weight))
    for edge in HealthChange.objects.order_by("-at", "-id")[:CHANGES_SHOWN]:
        code = strategies[edge.strategy_id].code
        stood[code] = StrategyStatus(edge.from_status)
        status = StrategyStatus(edge.to_status)
        text = f"{edge.from_status} to {edge.to_status}: {edge.reason}"
        changes.append(Change(milliseconds(edge.at), code, text, status=status))
    points = allocation_timeline(began, stood, changes)
    return {
        "strategies": sorted(began),
        "ts_ms": [point.ts_ms for point in points],
        "changed": [point.strategy for point in points],
        "reasons": [point.reason for point in points],
        **{
            kind: {code: [getattr(point, kind)[code] for point in points] for code in began}
            for kind in ("raw", "effective", "share")
        },
    }


def final_report_latest() -> FinalReport | None:
    return FinalReport.objects.first()


def changes_latest(limit: int) -> list[dict[str, Any]]:
    """Return the newest changes of weight and status, newest first, with their reasons."""
    edges = HealthChange.objects.select_related("strategy")[:limit]
    updates = WeightUpdate.objects.select_related("strategy")[:limit]
    found = [
        {
            "at_ms": milliseconds(edge.at),
            "strategy": edge.strategy.code,
            "kind": "health",
            "what": f"{edge.from_status} → {edge.to_status}",
            "reason": edge.reason,
            "actor": edge.actor,
        }
        for edge in edges
    ]
    found += [
        {
            "at_ms": milliseconds(update.at),
            "strategy": update.strategy.code,
            "kind": f"weight {update.regime.lower()}".strip(),
            "what": f"{update.old_weight:.3f} → {update.new_weight:.3f}",
            "reason": update.reason,
            "actor": update.actor,
        }
        for update in updates
    ]
    return sorted(found, key=lambda row: row["at_ms"], reverse=True)[:limit]


def updates_latest(rows: Iterable[UpdatePeriod]) -> list[dict[str, Any]]:
    """Return the updates that were made, in the order given; times are the venue's."""
    return [
        {
            "period_at_ms": milliseconds(row.period_at),
            "status": row.status,
            "error": row.error,
            "summary": row.summary,
        }
        for row in rows
    ]
